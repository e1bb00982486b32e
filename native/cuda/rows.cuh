// One warp works on one row, and a lane has the same columns of every row. A row of a usual width stays in registers
// until its last use. A row of another width is read again for each use.
#pragma once

#include <algorithm>

#include "cuda/reduce.cuh"
#include "cuda/vectors.cuh"
#include "engine/arenas.h"
#include "engine/step_record.h"

namespace lxmert::cuda {

constexpr int kRowThreads = 128;
constexpr int kRowWarps = kRowThreads / kLanes;

// The number of blocks of `warps` warps that loop over rows. It is at least one, because some kernels write results
// even if there are no rows.
inline unsigned rowBlocks(int64_t rows, int warps = kRowWarps, int64_t most = 1 << 20) {
  return static_cast<unsigned>(std::clamp<int64_t>((rows + warps - 1) / warps, 1, most));
}

// The active rows, from the step record.
class ActiveRows {
 public:
  __device__ __forceinline__ explicit ActiveRows(const Rows& rows) {
    const Segments s = rows.active();
    end_ = s.part[0].end;
    if (s.count > 1) second_ = s.part[1];
  }
  __device__ __forceinline__ bool has(int64_t row) const {
    return row < end_ || (row >= second_.begin && row < second_.end);
  }

 private:
  int64_t end_;
  Segment second_{0, 0};
};

// Calls body(row, active) once for each row. The warps take the rows in turn.
template <class Body>
__device__ __forceinline__ void warpRows(const Rows& rows, Body&& body) {
  const ActiveRows active(rows);
  const int64_t warps = blockDim.x / kLanes;
  for (int64_t row = blockIdx.x * warps + threadIdx.x / kLanes; row < rows.capacity; row += gridDim.x * warps)
    body(row, active.has(row));
}

// Calls body(row, active) once for each row. The blocks take the rows in turn.
template <class Body>
__device__ __forceinline__ void blockRows(const Rows& rows, Body&& body) {
  const ActiveRows active(rows);
  for (int64_t row = blockIdx.x; row < rows.capacity; row += gridDim.x) body(row, active.has(row));
}

// `threads` threads share a row. This function processes the vectors of one thread, a few at a time: for each of these
// vectors (columns c … c + V) it calls `load(i, c)`, and then for each of them `use(i, c)`. So several loads are in flight at
// once. nvcc does not move a load before a store, because both might have the same address.
constexpr int kVectorsAtOnce = 4;
template <int V, class Load, class Use>
__device__ __forceinline__ void eachVector(int thread, int threads, int64_t begin, int64_t end, Load&& load,
                                           Use&& use) {
  const int stride = threads * V;
  for (int64_t first = begin + thread * V; first < end; first += kVectorsAtOnce * stride) {
#pragma unroll
    for (int i = 0; i < kVectorsAtOnce; ++i)
      if (first + i * stride < end) load(i, first + i * stride);
#pragma unroll
    for (int i = 0; i < kVectorsAtOnce; ++i)
      if (first + i * stride < end) use(i, first + i * stride);
  }
}

template <class T>
__device__ __forceinline__ T* at(const Values& values, int64_t i = 0) {
  return reinterpret_cast<T*>(values.data) + i;
}

// The columns of a lane: V neighbours at a time, K times. K = 0: as many times as the width needs.
template <int V, int K>
struct Columns {
  static constexpr int kTimes = K > 0 ? K : 1;
  int width;

  // Calls body(k, c): columns c … c + V are the lane's k-th vector.
  template <class Body>
  __device__ __forceinline__ void each(Body&& body) const {
    const int first = laneOf() * V;
    if constexpr (K > 0) {
#pragma unroll
      for (int k = 0; k < K; ++k)
        if (first + k * kLanes * V < width) body(k, first + k * kLanes * V);
    } else {
      for (int c = first; c < width; c += kLanes * V) body(0, c);
    }
  }

  template <class T>
  __device__ __forceinline__ void zero(T* row) const {
    each([&](int, int c) { storeZeros<V>(row + c); });
  }
};

// Calls body(Columns<V, K>) with the best V and K for rows at these addresses. V is 4 for bfloat16 rows, too. The
// weights are float32, and a lane with 8 columns would read only 16 of their 32 bytes at a time, so every sector would
// be accessed twice.
template <class Body>
void withColumns(int64_t columns, std::initializer_list<const void*> places, Body&& body) {
  constexpr int V = kWide<float>;
  const int width = static_cast<int>(columns);
  if (!aligned<V>(width, places) || width > 1024)
    body(Columns<1, 0>{width});
  else if (width <= 256)
    body(Columns<V, 8 / V>{width});
  else if (width <= 768)
    body(Columns<V, 24 / V>{width});
  else
    body(Columns<V, 32 / V>{width});
}

// A row in memory. Its values are read when the object is made (all loads at once), or at each use.
template <class T, int V, int K>
class LoadedRow {
 public:
  __device__ __forceinline__ LoadedRow(const Columns<V, K>& columns, const T* row) : row_(row) {
    if constexpr (K > 0) columns.each([&](int k, int c) { packed_[k] = loadPacked<V>(row + c); });
  }
  __device__ __forceinline__ void get(int k, int c, float (&x)[V]) const {
    if constexpr (K > 0)
      unpack(packed_[k], x);
    else
      load<V>(row_ + c, x);
  }

 private:
  const T* row_;
  Packed<T, V> packed_[Columns<V, K>::kTimes];
};

// A row that `source(k, c, x)` computes, when the object is made or at each use.
template <int V, int K, class Source>
class MadeRow {
 public:
  __device__ __forceinline__ MadeRow(const Columns<V, K>& columns, Source source) : source_(source) {
    if constexpr (K > 0) columns.each([&](int k, int c) { source_(k, c, values_[k]); });
  }
  __device__ __forceinline__ void get(int k, int c, float (&x)[V]) const {
    if constexpr (K > 0) {
#pragma unroll
      for (int i = 0; i < V; ++i) x[i] = values_[k][i];
    } else {
      source_(k, c, x);
    }
  }

 private:
  Source source_;
  float values_[Columns<V, K>::kTimes][V];
};

}  // namespace lxmert::cuda
