// to[i] = bfloat16(from[i]), rounded to nearest even. A thread converts four elements at a time if the addresses allow
// it.
#include "cuda/convert.h"

#include <algorithm>
#include <cstdint>

#include "cuda/vectors.cuh"

namespace lxmert::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kAtOnce = kWide<float>;
constexpr int64_t kMostBlocks = 4096;

__global__ void convertFours(const float* __restrict__ from, bf16* __restrict__ to, int64_t count) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x * kAtOnce;
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kAtOnce;
  for (int64_t i = first; i < count; i += stride) {
    float x[kAtOnce];
    load<kAtOnce>(from + i, x);
    store<kAtOnce>(to + i, x);
  }
}

__global__ void convertEach(const float* __restrict__ from, bf16* __restrict__ to, int64_t count) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride)
    to[i] = fromFloat<bf16>(from[i]);
}

unsigned blocksFor(int64_t work) {
  return static_cast<unsigned>(std::clamp<int64_t>((work + kThreads - 1) / kThreads, 1, kMostBlocks));
}

}  // namespace

void convertToBf16(cudaStream_t stream, const float* from, bf16* to, int64_t count) {
  if (count == 0) return;
  if (aligned<kAtOnce>(count, {from, to}))
    LXMERT_LAUNCH(convertFours, dim3(blocksFor(count / kAtOnce)), dim3(kThreads), 0, stream, from, to, count);
  else
    LXMERT_LAUNCH(convertEach, dim3(blocksFor(count)), dim3(kThreads), 0, stream, from, to, count);
}

}  // namespace lxmert::cuda
