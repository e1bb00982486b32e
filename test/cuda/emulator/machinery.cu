// Tests the emulator itself: random order, NaN in new memory, limits, and its matrix products.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>
#include <string>

#include "cuda/gemm.h"
#include "support.h"

namespace lxmert::cuda {

namespace {

// The position of each thread in the order in which threads ran. No atomics are needed, because a block runs on one CPU
// thread.
__global__ void order(int* next, int* place, int barriers) {
  for (int i = 0; i < barriers; ++i) {
    __syncthreads();
    place[i * blockDim.x + threadIdx.x] = next[0]++;
  }
}

std::vector<int> drawOrder(int threads, int barriers) {
  Array<int> next(std::vector<int>{0}), place(static_cast<size_t>(threads) * barriers);
  LXMERT_LAUNCH(order, 1, threads, 0, nullptr, next.data(), place.data(), barriers);
  return place.read();
}

void orderIsOfChance() {
  constexpr int threads = 96, barriers = 4;
  std::set<std::vector<int>> orders;
  for (int launch = 0; launch < 3; ++launch) {
    const std::vector<int> places = drawOrder(threads, barriers);
    for (int i = 0; i < barriers; ++i) {
      std::vector<int> phase(places.begin() + i * threads, places.begin() + (i + 1) * threads);
      for (int& p : phase) p -= i * threads;
      orders.insert(phase);
      std::sort(phase.begin(), phase.end());
      for (int t = 0; t < threads; ++t) CHECK(phase[t] == t);  // all threads of a phase run before the next phase
    }
  }
  CHECK(orders.size() == 3 * barriers);
}

__global__ void blockOrder(int* next, int* place) { place[blockIdx.x] = next[0]++; }

void blocksComeInAnyOrder() {
  constexpr int blocks = 60;  // a launch with so few blocks runs on one CPU thread
  Array<int> next(std::vector<int>{0}), place(blocks);
  LXMERT_LAUNCH(blockOrder, blocks, 1, 0, nullptr, next.data(), place.data());
  std::vector<int> got = place.read();
  CHECK(!std::is_sorted(got.begin(), got.end()));
  std::sort(got.begin(), got.end());
  for (int i = 0; i < blocks; ++i) CHECK(got[i] == i);
}

__global__ void copyShared(float* out) {
  LXMERT_SHARED(float, shared);
  out[threadIdx.x] = shared[threadIdx.x];
  shared[threadIdx.x] = 1;
}

void memoryBeginsAsNan() {
  Array<float> fresh(100), out(64);
  for (const float value : fresh.read()) CHECK(std::isnan(value));
  // There are two launches, and the second must not read values of the first.
  for (int i = 0; i < 2; ++i) {
    LXMERT_LAUNCH(copyShared, 1, 64, 64 * sizeof(float), nullptr, out.data());
    for (const float value : out.read()) CHECK(std::isnan(value));
  }
}

__global__ void nothing(int) {}

std::string errorOf(void (*work)()) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void launchesAreRefused() {
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(has(errorOf([] { LXMERT_LAUNCH(nothing, 0, 32, 0, nullptr, 1); }), "grid of 0 x 1 x 1"));
  CHECK(has(errorOf([] { LXMERT_LAUNCH(nothing, dim3(1, 65536), 32, 0, nullptr, 1); }), "65535"));
  CHECK(has(errorOf([] { LXMERT_LAUNCH(nothing, 1, 1025, 0, nullptr, 1); }), "1 to 1024"));
  CHECK(has(errorOf([] { LXMERT_LAUNCH(nothing, 1, 32, kSharedBytesMost + 1, nullptr, 1); }), "shared memory"));
  CHECK(errorOf([] { LXMERT_LAUNCH(nothing, 1, 1024, kSharedBytesMost, nullptr, 1); }).empty());
}

void memoryHasAnEnd() {
  size_t free, total, after;
  cudaMemGetInfo(&free, &total);
  char* memory = nullptr;
  CHECK(cudaMalloc(&memory, total + 1) == cudaErrorMemoryAllocation && memory == nullptr);
  CHECK(cudaMalloc(&memory, 1000) == cudaSuccess);
  CHECK(reinterpret_cast<uintptr_t>(memory) % 256 == 0);
  cudaMemGetInfo(&after, &total);
  CHECK(after == free - 1000);
  CHECK(cudaFree(memory) == cudaSuccess);
  CHECK(cudaFree(&free) == cudaErrorInvalidValue);
  cudaMemGetInfo(&after, &total);
  CHECK(after == free);
}

template <class In, class Out>
void gemmIsItsLoop(int64_t m, int64_t n, int64_t k, bool transposeA, bool transposeB, bool bias, float beta) {
  const auto fill = [](auto& values, float limit) {
    for (auto& v : values) v = fromFloat<std::decay_t<decltype(v)>>(randomFloat(limit));
  };
  std::vector<In> a(m * k), b(k * n);
  std::vector<Out> c(m * n), biases(n);
  fill(a, 1);
  fill(b, 1);
  fill(biases, 1);
  if (beta != 0)
    fill(c, 2);
  else
    std::fill(c.begin(), c.end(), fromFloat<Out>(NAN));  // with beta 0, the product must not read it
  Array<In> da(a), db(b);
  Array<Out> dc(c), dBias(biases);
  constexpr DType input = sizeof(In) == 2 ? DType::BF16 : DType::F32;
  constexpr DType output = sizeof(Out) == 2 ? DType::BF16 : DType::F32;
  openGemms(0)->run(nullptr, nullptr,
                    {m, n, k, transposeA, transposeB, input, output, da.data(), db.data(), dc.data(),
                     bias ? dBias.data() : nullptr, beta});
  const std::vector<Out> got = dc.read();
  double error = 0, norm = 0;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = bias ? toFloat(biases[j]) : 0;
      if (beta != 0) sum += beta * static_cast<double>(toFloat(c[i * n + j]));
      for (int64_t p = 0; p < k; ++p)
        sum += static_cast<double>(toFloat(a[transposeA ? p * m + i : i * k + p])) *
               toFloat(b[transposeB ? j * k + p : p * n + j]);
      const double difference = toFloat(got[i * n + j]) - sum;
      // The error of one rounding is half a unit in the last place of each number.
      CHECK(std::abs(difference) <= (sizeof(Out) == 2 ? 1 / 256.0 : 1e-6) * std::abs(sum) + 2e-6 * std::sqrt(k));
      error += difference * difference;
      norm += sum * sum;
    }
  CHECK(error <= norm * (sizeof(Out) == 2 ? 1e-5 : 1e-12));
}

void gemms() {
  for (int i = 0; i < 24; ++i) {
    const int64_t m = 1 + randomBelow(70), n = 1 + randomBelow(150), k = 1 + randomBelow(90);
    const bool transposeA = i & 1, transposeB = i & 2, bias = i & 4;
    const float beta = i < 8 ? 0.0f : i < 16 ? 1.0f : 0.5f;
    gemmIsItsLoop<float, float>(m, n, k, transposeA, transposeB, bias, beta);
    gemmIsItsLoop<bf16, float>(m, n, k, transposeA, transposeB, bias, beta);
    gemmIsItsLoop<bf16, bf16>(m, n, k, transposeA, transposeB, bias, beta);
  }
}

}  // namespace

}  // namespace lxmert::cuda

int main() {
  using namespace lxmert::cuda;
  return runTests({
      {"threads come in an order of chance", orderIsOfChance},
      {"blocks, too", blocksComeInAnyOrder},
      {"memory begins as NaN", memoryBeginsAsNan},
      {"launches over the limits are refused", launchesAreRefused},
      {"memory has an end", memoryHasAnEnd},
      {"GEMMs of all layouts and types", gemms},
  });
}
