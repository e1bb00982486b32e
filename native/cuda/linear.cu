// y = x W^T + b, dx = dy W, dW = dy^T x, db = Σ_rows dy. The products are those of gemm.h.
//
// Inactive rows of x are zeros, or, if x is the output of a linear op, the bias of that op. The inactive rows of dy are
// always zeros, so products over the whole capacity give the gradients of the active rows. In bf16 precision, weights
// and bias are read from the bf16 copy of the parameters; gradients of parameters are float32.
#include "cuda/column_sums.h"
#include "cuda/convert.h"
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "cuda/rows.cuh"

namespace lxmert::cuda {

namespace {

template <class T>
constexpr DType dtypeOf() {
  return sizeof(T) == sizeof(float) ? DType::F32 : DType::BF16;
}

// The input features are F32 even if all other activations are bf16.
template <class T>
const T* operand(CudaDevice& device, const Values& values, int64_t count) {
  if (values.dtype == dtypeOf<T>()) return values.as<const T>();
  if constexpr (sizeof(T) == sizeof(float)) throw Error(ErrorCode::BadArgument, "linear: x is bf16, but y is f32");
  T* converted = device.scratch<T>(count);
  if constexpr (sizeof(T) != sizeof(float)) convertToBf16(device.stream(), values.data, converted, count);
  return converted;
}

// A parameter in the type of the operands. A parameter outside the parameter arena (in tests) has no bf16 copy, so it
// is converted here.
template <class T>
const T* parameter(CudaDevice& device, const Floats& master, int64_t count) {
  if (!master) return nullptr;
  if (const T* copy = device.weights<T>(master.data)) return copy;
  return operand<T>(device, {master, DType::F32}, count);
}

// A bias at an address that a product accepts: the given one, or a copy.
template <class T>
const T* biasOf(CudaDevice& device, const Floats& master, int64_t count) {
  const T* bias = parameter<T>(device, master, count);
  if (reinterpret_cast<uintptr_t>(bias) % kBiasAlignment == 0) return bias;
  T* moved = device.scratch<T>(count);
  const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
  check(cudaMemcpyAsync(moved, bias, bytes, cudaMemcpyDeviceToDevice, device.stream()), "a linear op");
  return moved;
}

void multiply(CudaDevice& device, const Gemm& g) {
  if (g.m == 0 || g.n == 0) return;
  if (g.k > 0) return device.multiply(g);
  if (g.beta == 0) check(cudaMemsetAsync(g.c, 0, g.m * g.n * bytesOf(g.output), device.stream()), "a linear op");
}

}  // namespace

void linearForward(Device& base, const LinearForward& a) {
  CudaDevice& device = cudaOf(base);
  const int64_t rows = a.rows.capacity;
  withType(a.y.dtype, [&](auto t) {
    using T = decltype(t);
    const T* x = operand<T>(device, a.x, rows * a.in);
    const T* weight = parameter<T>(device, a.weight, a.out * a.in);
    const T* bias = biasOf<T>(device, a.bias, a.out);
    multiply(device, {rows, a.out, a.in, false, true, a.y.dtype, a.y.dtype, x, weight, a.y.data, bias, 0.0f});
  });
}

void linearBackwardInput(Device& base, const LinearBackwardInput& a) {
  CudaDevice& device = cudaOf(base);
  withType(a.dy.dtype, [&](auto t) {
    using T = decltype(t);
    const T* weight = parameter<T>(device, a.weight, a.out * a.in);
    multiply(device, {a.rows.capacity, a.in, a.out, false, false, a.dy.dtype, a.dx.dtype, a.dy.data, weight, a.dx.data,
                      nullptr, a.accumulate ? 1.0f : 0.0f});
  });
}

void linearBackwardWeight(Device& base, const LinearBackwardWeight& a) {
  CudaDevice& device = cudaOf(base);
  const int64_t rows = a.rows.capacity;
  withType(a.dy.dtype, [&](auto t) {
    using T = decltype(t);
    const T* x = operand<T>(device, a.x, rows * a.in);
    multiply(device, {a.out, a.in, rows, true, false, a.dy.dtype, DType::F32, a.dy.data, x, a.dWeight.data, nullptr,
                      a.accumulateWeight ? 1.0f : 0.0f});
    if (a.dBias) sumColumns(device, a.dy, rows, a.out, a.accumulateBias, a.dBias.data);
  });
}

// Products on CUDA take weights as they are.
void packWeight(Device&, const PackWeight&) {}

}  // namespace lxmert::cuda
