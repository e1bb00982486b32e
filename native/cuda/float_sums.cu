// target[i] = a[i] + b[i]; four elements a thread at a time where the addresses allow it.
#include "cuda/float_sums.h"

#include <algorithm>

#include "cuda/vectors.cuh"

namespace lxmert::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 4096;

template <int V>
__global__ void __launch_bounds__(kThreads)
    addFloatsKernel(float* target, const float* a, const float* b, int64_t size) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads * V;
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * V;
  for (int64_t i = first; i < size; i += stride) {
    float x[V], y[V];
    load<V>(a + i, x);
    load<V>(b + i, y);
#pragma unroll
    for (int j = 0; j < V; ++j) x[j] += y[j];
    store<V>(target + i, x);
  }
}

unsigned blocksFor(int64_t work) {
  return static_cast<unsigned>(std::clamp<int64_t>((work + kThreads - 1) / kThreads, 1, kMostBlocks));
}

}  // namespace

void addFloats(cudaStream_t stream, float* target, const float* a, const float* b, int64_t size) {
  if (size == 0) return;
  constexpr int V = kWide<float>;
  if (aligned<V>(size, {target, a, b}))
    LXMERT_LAUNCH(addFloatsKernel<V>, dim3(blocksFor(size / V)), dim3(kThreads), 0, stream, target, a, b, size);
  else
    LXMERT_LAUNCH(addFloatsKernel<1>, dim3(blocksFor(size)), dim3(kThreads), 0, stream, target, a, b, size);
}

}  // namespace lxmert::cuda
