// GELU (exact, with erf): y = x Φ(x), dx = dy (Φ(x) + x φ(x)). The backward pass needs x.
// tanh: y = tanh x, dx = dy (1 - y²). The backward pass needs y.
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "cuda/rows.cuh"

namespace lxmert::cuda {

namespace {

struct Normal {
  float cdf, pdf;
};

// Computes Φ and φ as on the CPU (cpu/math.h): erf by Abramowitz & Stegun 7.1.26 (absolute error 1.5e-7), and Φ of a
// negative x without cancellation. Φ and φ use the same exponential, so that the speed is limited by memory and not by
// computation.
__device__ __forceinline__ Normal normal(float x) {
  const float a = fabsf(x) * 0.70710678118654752f;
  const float e = __expf(-a * a);
  const float t = __fdividef(1.0f, 1.0f + 0.3275911f * a);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float tail = 0.5f * p * t * e;
  return {x < 0 ? tail : 1.0f - tail, 0.39894228040143268f * e};
}

struct Gelu {
  __device__ static float value(float x) { return x * normal(x).cdf; }
  __device__ static float gradient(float x, float dy) {
    const Normal n = normal(x);
    return dy * (n.cdf + x * n.pdf);
  }
};

struct Tanh {
  __device__ static float value(float x) { return tanhf(x); }
  __device__ static float gradient(float y, float dy) { return dy * (1.0f - y * y); }
};

// One block works on one row. y may be in the same memory as x, and dx in that of dy, because each thread reads its
// elements before it writes them.
template <class Function, class T, int V>
__global__ void __launch_bounds__(kRowThreads) forwardKernel(const ElementwiseForward a) {
  blockRows(a.rows, [&](int64_t row, bool active) {
    const T* x = at<T>(a.x, row * a.width);
    T* y = at<T>(a.y, row * a.width);
    Packed<T, V> in[kVectorsAtOnce];
    const auto load = [&](int i, int64_t c) {
      if (active) in[i] = loadPacked<V>(x + c);
    };
    eachVector<V>(static_cast<int>(threadIdx.x), kRowThreads, 0, a.width, load, [&](int i, int64_t c) {
      float value[V] = {};
      if (active) {
        unpack(in[i], value);
#pragma unroll
        for (int j = 0; j < V; ++j) value[j] = Function::value(value[j]);
      }
      store<V>(y + c, value);
    });
  });
}

template <class Function, class T, int V>
__global__ void __launch_bounds__(kRowThreads) backwardKernel(const ElementwiseBackward a) {
  blockRows(a.rows, [&](int64_t row, bool active) {
    const T *kept = at<T>(a.kept, row * a.width), *dy = at<T>(a.dy, row * a.width);
    T* dx = at<T>(a.dx, row * a.width);
    Packed<T, V> in[kVectorsAtOnce], d[kVectorsAtOnce];
    const auto load = [&](int i, int64_t c) {
      if (active) in[i] = loadPacked<V>(kept + c), d[i] = loadPacked<V>(dy + c);
    };
    eachVector<V>(static_cast<int>(threadIdx.x), kRowThreads, 0, a.width, load, [&](int i, int64_t c) {
      float value[V] = {}, gradient[V];
      if (active) {
        unpack(in[i], value);
        unpack(d[i], gradient);
#pragma unroll
        for (int j = 0; j < V; ++j) value[j] = Function::gradient(value[j], gradient[j]);
      }
      store<V>(dx + c, value);
    });
  });
}

template <class Function>
void forward(Device& device, const ElementwiseForward& a) {
  withType(a.x.dtype, [&](auto t) {
    using T = decltype(t);
    const unsigned blocks = rowBlocks(a.rows.capacity, 1);
    const cudaStream_t stream = cudaOf(device).stream();
    if (aligned<kWide<T>>(a.width, {a.x.data, a.y.data}))
      LXMERT_LAUNCH((forwardKernel<Function, T, kWide<T>>), blocks, kRowThreads, 0, stream, a);
    else
      LXMERT_LAUNCH((forwardKernel<Function, T, 1>), blocks, kRowThreads, 0, stream, a);
  });
}

template <class Function>
void backward(Device& device, const ElementwiseBackward& a) {
  withType(a.kept.dtype, [&](auto t) {
    using T = decltype(t);
    const unsigned blocks = rowBlocks(a.rows.capacity, 1);
    const cudaStream_t stream = cudaOf(device).stream();
    if (aligned<kWide<T>>(a.width, {a.kept.data, a.dy.data, a.dx.data}))
      LXMERT_LAUNCH((backwardKernel<Function, T, kWide<T>>), blocks, kRowThreads, 0, stream, a);
    else
      LXMERT_LAUNCH((backwardKernel<Function, T, 1>), blocks, kRowThreads, 0, stream, a);
  });
}

}  // namespace

void geluForward(Device& device, const ElementwiseForward& a) { forward<Gelu>(device, a); }
void geluBackward(Device& device, const ElementwiseBackward& a) { backward<Gelu>(device, a); }
void tanhForward(Device& device, const ElementwiseForward& a) { forward<Tanh>(device, a); }
void tanhBackward(Device& device, const ElementwiseBackward& a) { backward<Tanh>(device, a); }

}  // namespace lxmert::cuda
