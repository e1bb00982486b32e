// Sums over the lanes of a warp and the threads of a block, always in the same order.
#pragma once

#include "cuda/platform.h"

namespace lxmert::cuda {

constexpr int kLanes = 32;
constexpr uint32_t kAllLanes = 0xFFFFFFFFu;

__device__ __forceinline__ int laneOf() { return static_cast<int>(threadIdx.x) % kLanes; }

// Every lane gets the sum.
__device__ __forceinline__ float warpSum(float x) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
  return x;
}

// Every thread gets the sum. `shared` has one float for each warp. It may be used again only after a barrier.
__device__ __forceinline__ float blockSum(float x, float* shared) {
  x = warpSum(x);
  if (laneOf() == 0) shared[threadIdx.x / kLanes] = x;
  __syncthreads();
  float sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / kLanes; ++warp) sum += shared[warp];
  return sum;
}

// Thread 0 gets the sum; the other threads get a part of it. `shared` has one double for each thread. blockDim.x must
// be a power of two.
__device__ __forceinline__ double blockSumDouble(double x, double* shared) {
  shared[threadIdx.x] = x;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  return shared[threadIdx.x];
}

// The same for N sums at once. `shared` has N doubles for each thread.
template <int N>
__device__ __forceinline__ void blockSumsDouble(double (&x)[N], double* shared) {
  const unsigned threads = blockDim.x;
#pragma unroll
  for (int i = 0; i < N; ++i) shared[i * threads + threadIdx.x] = x[i];
  for (unsigned half = threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
#pragma unroll
      for (int i = 0; i < N; ++i) shared[i * threads + threadIdx.x] += shared[i * threads + threadIdx.x + half];
    }
  }
#pragma unroll
  for (int i = 0; i < N; ++i) x[i] = shared[i * threads + threadIdx.x];
}

}  // namespace lxmert::cuda
