// All parts of CUDA that kernel files use, both with nvcc and on the emulator (g++, without the toolkit): the language,
// bfloat16, dynamic shared memory and launches. Kernel files include no other file of CUDA.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#else
#include "cuda/emulator/cuda.h"
#endif

#include <string>
#include <utility>

#include "engine/error.h"

namespace lxmert::cuda {

// The dynamic shared memory that a launch may use without a request, and the largest amount that every supported device
// gives on request (99 KB, on compute capability 12.0; the other devices give more).
constexpr size_t kSharedBytesUnasked = 48 * 1024;
constexpr size_t kSharedBytesMost = 99 * 1024;

// The end of a message about an error after which the device cannot be used any more.
constexpr const char* kDeviceIsLost = ". This process cannot use the GPU any more: start it again";

#ifdef __CUDACC__
using bf16 = __nv_bfloat16;

__host__ __device__ __forceinline__ float toFloat(bf16 x) { return __bfloat162float(x); }
__host__ __device__ __forceinline__ bf16 toBf16(float x) { return __float2bfloat16_rn(x); }
#else
using bf16 = emulator::Bf16;

inline float toFloat(bf16 x) { return emulator::widen(x); }
inline bf16 toBf16(float x) { return emulator::roundToBf16(x); }
#endif

__host__ __device__ __forceinline__ float toFloat(float x) { return x; }

// Rounds to nearest even; NaN stays NaN.
template <class T>
__host__ __device__ __forceinline__ T fromFloat(float x);
template <>
__host__ __device__ __forceinline__ float fromFloat<float>(float x) {
  return x;
}
template <>
__host__ __device__ __forceinline__ bf16 fromFloat<bf16>(float x) {
  return toBf16(x);
}

// Two bfloat16 numbers in a word, in the order of tensor cores: the first one is in the lower half.
__device__ __forceinline__ uint32_t packBf16(float low, float high) {
#ifdef __CUDACC__
  const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  uint32_t word;
  memcpy(&word, &both, sizeof word);
  return word;
#else
  return uint32_t{toBf16(low).bits} | uint32_t{toBf16(high).bits} << 16;
#endif
}

__device__ __forceinline__ float2 unpackBf16(uint32_t word) {
  return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xFFFF0000u));
}

#ifdef __CUDACC__
// `LXMERT_SHARED(char, shared);` at the top of a kernel gives all the shared memory of the launch, aligned to 16 bytes.
#define LXMERT_SHARED(type, name)                               \
  extern __shared__ __align__(16) unsigned char lxmertShared[]; \
  type* const name = reinterpret_cast<type*>(lxmertShared)

// Allows a kernel to use all shared memory of the current device. A smaller limit for one launch would not be safe: the
// setting belongs to the kernel, and another thread may launch the same kernel with more shared memory.
inline cudaError_t allowShared(const void* kernel) {
  int device = 0, most = 0;
  cudaError_t status = cudaGetDevice(&device);
  if (status == cudaSuccess) status = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (status != cudaSuccess) return status;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
}

template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t sharedBytes,
            cudaStream_t stream, Arguments&&... arguments) {
  cudaError_t status = cudaSuccess;
  if (sharedBytes > kSharedBytesUnasked) status = allowShared(reinterpret_cast<const void*>(kernel));
  if (status == cudaSuccess) {
    kernel<<<grid, block, sharedBytes, stream>>>(static_cast<Parameters>(std::forward<Arguments>(arguments))...);
    status = cudaGetLastError();
  }
  if (status != cudaSuccess)
    // The error may come from an earlier kernel, because the first call after a failed kernel returns the error of the
    // kernel.
    throw Error(ErrorCode::Internal, std::string(name) + ": the launch failed: " + cudaGetErrorName(status) + ": " +
                                         cudaGetErrorString(status) + kDeviceIsLost);
}

#define LXMERT_LAUNCH(kernel, grid, block, sharedBytes, stream, ...) \
  ::lxmert::cuda::launch(#kernel, kernel, grid, block, sharedBytes, stream, __VA_ARGS__)
#else
#define LXMERT_SHARED(type, name) type* const name = static_cast<type*>(::lxmert::emulator::sharedMemory())

#define LXMERT_LAUNCH(kernel, grid, block, sharedBytes, stream, ...) \
  ::lxmert::emulator::launch(#kernel, kernel, grid, block, sharedBytes, stream, __VA_ARGS__)
#endif

}  // namespace lxmert::cuda
