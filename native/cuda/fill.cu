// x = value, and x ~ N(0, deviation²) by the Box–Muller method. Values in the parameter arena are also written to its
// bf16 copy.
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "cuda/vectors.cuh"

namespace lxmert::cuda {

namespace {

constexpr int kThreads = 256;

unsigned blocksFor(int64_t n) {
  return static_cast<unsigned>(std::clamp<int64_t>((n + kThreads - 1) / kThreads, 1, 1 << 16));
}

// This thread's first element, and the distance to its next one.
__device__ __forceinline__ int64_t firstElement() { return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; }
__device__ __forceinline__ int64_t allThreads() { return static_cast<int64_t>(gridDim.x) * kThreads; }

// Writes single elements before the first 16-byte boundary and after the last one, and 16 bytes at a time between them.
template <class T>
__global__ void __launch_bounds__(kThreads) fillKernel(T* x, int64_t n, float value) {
  constexpr int V = kWide<T>;
  const int64_t misplaced = static_cast<int64_t>(reinterpret_cast<uintptr_t>(x) % 16 / sizeof(T));
  const int64_t begin = min(n, (V - misplaced) % V), end = begin + (n - begin) / V * V;
  float values[V];
#pragma unroll
  for (int i = 0; i < V; ++i) values[i] = value;
  for (int64_t i = begin + firstElement() * V; i < end; i += allThreads() * V) store<V>(x + i, values);
  for (int64_t i = firstElement(); i < begin + n - end; i += allThreads())
    x[i < begin ? i : end + i - begin] = fromFloat<T>(value);
}

// With u = (word 0 + 1/2) / 2³² and v = word 1 / 2³² of Philox block b: √(-2 ln u) cos 2πv is element 2b, and the same
// with sin element 2b + 1.
__global__ void __launch_bounds__(kThreads) fillNormalKernel(const FillNormal a, bf16* copy) {
  constexpr double kScale = 1.0 / 4294967296.0, kTwoPi = 6.283185307179586;
  for (int64_t block = firstElement(); 2 * block < a.x.size; block += allThreads()) {
    const Philox4 r =
        philox(static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, a.stream, a.seed, 0x6E6F726Du);
    const double radius = sqrt(-2.0 * log((r.v[0] + 0.5) * kScale));
    const double angle = kTwoPi * (r.v[1] * kScale);
    for (int i = 0; i < 2 && 2 * block + i < a.x.size; ++i) {
      const auto x = static_cast<float>(a.deviation * radius * (i == 0 ? cos(angle) : sin(angle)));
      a.x.data[2 * block + i] = x;
      if (copy) copy[2 * block + i] = fromFloat<bf16>(x);
    }
  }
}

}  // namespace

void fill(Device& device, const Fill& a) {
  if (a.x.size == 0) return;
  CudaDevice& cuda = cudaOf(device);
  withType(a.x.dtype, [&](auto t) {
    using T = decltype(t);
    LXMERT_LAUNCH(fillKernel<T>, blocksFor(a.x.size / kWide<T>), kThreads, 0, cuda.stream(), a.x.as<T>(), a.x.size,
                  a.value);
  });
  bf16* const copy = a.x.dtype == DType::F32 ? cuda.shadow(a.x.data) : nullptr;
  if (copy)
    LXMERT_LAUNCH(fillKernel<bf16>, blocksFor(a.x.size / kWide<bf16>), kThreads, 0, cuda.stream(), copy, a.x.size,
                  a.value);
}

void fillNormal(Device& device, const FillNormal& a) {
  if (a.x.size == 0) return;
  CudaDevice& cuda = cudaOf(device);
  LXMERT_LAUNCH(fillNormalKernel, blocksFor((a.x.size + 1) / 2), kThreads, 0, cuda.stream(), a, cuda.shadow(a.x.data));
}

}  // namespace lxmert::cuda
