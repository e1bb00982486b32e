// The CPU kernels divide rows among threads in contiguous blocks, in the order of the thread numbers. With the same
// number of threads the results are therefore the same in every run.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <exception>
#include <vector>

#include "engine/step_record.h"

namespace lxmert::cpu {

// The first exception of a parallel region. An exception that leaves the region itself ends the process, so each
// thread's work runs in `guard`, and the thread that began the region calls `rethrow` after it.
class RegionFailure {
 public:
  template <class Work>
  void guard(Work&& work) noexcept {
    try {
      work();
    } catch (...) {
      if (!taken_.test_and_set()) failure_ = std::current_exception();
    }
  }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::atomic_flag taken_ = ATOMIC_FLAG_INIT;
  std::exception_ptr failure_;
};

struct Range {
  int64_t begin, end;
};

inline Range shareOf(int64_t n, int thread, int threads) { return {n * thread / threads, n * (thread + 1) / threads}; }

// Divides [0, n) among the threads, and calls body(begin, end) on each thread. If there is little work, only one thread
// does it. If a body throws, the exception is thrown again after all threads have ended.
template <class Body>
void parallelFor(int64_t n, int64_t grain, Body&& body) {
  const int threads = static_cast<int>(std::clamp<int64_t>(n / std::max<int64_t>(grain, 1), 1, omp_get_max_threads()));
  if (threads == 1) {
    body(int64_t{0}, n);
    return;
  }
  RegionFailure failure;
#pragma omp parallel num_threads(threads)
  failure.guard([&] {
    const Range mine = shareOf(n, omp_get_thread_num(), omp_get_num_threads());
    body(mine.begin, mine.end);
  });
  failure.rethrow();
}

inline int64_t activeCount(const Segments& s) {
  int64_t n = 0;
  for (int i = 0; i < s.count; ++i) n += s.part[i].end - s.part[i].begin;
  return n;
}

// The i-th active row.
inline int64_t activeRow(const Segments& s, int64_t i) {
  const int64_t first = s.part[0].end - s.part[0].begin;
  return i < first ? s.part[0].begin + i : s.part[1].begin + i - first;
}

// Calls body(row) for every active row, in parallel.
template <class Body>
void parallelRows(const Rows& rows, int64_t costOfRow, Body&& body) {
  const Segments s = rows.active();
  parallelFor(activeCount(s), 16384 / std::max<int64_t>(costOfRow, 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(activeRow(s, i));
  });
}

// Writes zeros to the inactive rows. They are always zeros, so that products over all rows need no mask.
template <class T>
void zeroInactive(const Rows& rows, T* data, int64_t width) {
  const Segments s = rows.active();
  int64_t from = 0;
  for (int i = 0; i <= s.count; ++i) {
    const int64_t to = i < s.count ? s.part[i].begin : rows.capacity;
    if (to > from) std::memset(data + from * width, 0, static_cast<size_t>(to - from) * width * sizeof(T));
    if (i < s.count) from = std::max(from, s.part[i].end);
  }
}

// Sums over rows, for each of `width` columns. Each thread computes a partial sum. The partial sums are added in the
// order of the threads.
class ColumnSums {
 public:
  explicit ColumnSums(int64_t width) : stride_((width + 15) / 16 * 16), sums_(omp_get_max_threads() * stride_, 0.0f) {}

  float* mine() { return sums_.data() + omp_get_thread_num() * stride_; }

  void into(float* target, int64_t first, int64_t count, bool accumulate) const {
    const int64_t threads = static_cast<int64_t>(sums_.size()) / stride_;
    for (int64_t c = 0; c < count; ++c) {
      float sum = accumulate ? target[c] : 0.0f;
      for (int64_t t = 0; t < threads; ++t) sum += sums_[t * stride_ + first + c];
      target[c] = sum;
    }
  }

 private:
  int64_t stride_;
  std::vector<float> sums_;
};

}  // namespace lxmert::cpu
