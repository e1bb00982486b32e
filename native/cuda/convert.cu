// float32 to bfloat16, rounded to nearest even: two elements a thread at a time where the places allow it.
#include "cuda/convert.h"

#include <algorithm>
#include <cstdint>

namespace lxmert::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 4096;

__global__ void convertPairs(const float2* __restrict__ from, uint32_t* __restrict__ to, int64_t pairs) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < pairs; i += stride) {
    const float2 v = from[i];
    to[i] = packBf16(v.x, v.y);
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

bool aligned(const void* place, uintptr_t bytes) { return reinterpret_cast<uintptr_t>(place) % bytes == 0; }

}  // namespace

void convertToBf16(cudaStream_t stream, const float* from, bf16* to, int64_t count) {
  if (count == 0) return;
  if (aligned(from, 8) && aligned(to, 4) && count % 2 == 0)
    LXMERT_LAUNCH(convertPairs, dim3(blocksFor(count / 2)), dim3(kThreads), 0, stream,
                  reinterpret_cast<const float2*>(from), reinterpret_cast<uint32_t*>(to), count / 2);
  else
    LXMERT_LAUNCH(convertEach, dim3(blocksFor(count)), dim3(kThreads), 0, stream, from, to, count);
}

}  // namespace lxmert::cuda
