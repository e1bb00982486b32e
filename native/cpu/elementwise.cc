// GELU (exact, with erf): y = x Φ(x), dx = dy (Φ(x) + x φ(x)). The backward pass needs x.
// tanh: y = tanh x, dx = dy (1 - y²). The backward pass needs y.
#include "cpu/kernels.h"
#include "cpu/math.h"
#include "cpu/parallel.h"

namespace lxmert::cpu {

void geluForward(Device&, const ElementwiseForward& a) {
  parallelRows(a.rows, a.width * 8, [&](int64_t row) {
    const float* x = a.x.data + row * a.width;
    float* y = a.y.data + row * a.width;
#pragma omp simd
    for (int64_t c = 0; c < a.width; ++c) y[c] = x[c] * normal(x[c]).cdf;
  });
  zeroInactive(a.rows, a.y.data, a.width);
}

void geluBackward(Device&, const ElementwiseBackward& a) {
  parallelRows(a.rows, a.width * 8, [&](int64_t row) {
    const float *x = a.kept.data + row * a.width, *dy = a.dy.data + row * a.width;
    float* dx = a.dx.data + row * a.width;
#pragma omp simd
    for (int64_t c = 0; c < a.width; ++c) {
      const Normal n = normal(x[c]);
      dx[c] = dy[c] * (n.cdf + x[c] * n.pdf);
    }
  });
  zeroInactive(a.rows, a.dx.data, a.width);
}

void tanhForward(Device&, const ElementwiseForward& a) {
  parallelRows(a.rows, a.width * 8, [&](int64_t row) {
    const float* x = a.x.data + row * a.width;
    float* y = a.y.data + row * a.width;
#pragma omp simd
    for (int64_t c = 0; c < a.width; ++c) y[c] = tanh(x[c]);
  });
  zeroInactive(a.rows, a.y.data, a.width);
}

void tanhBackward(Device&, const ElementwiseBackward& a) {
  parallelRows(a.rows, a.width * 2, [&](int64_t row) {
    const float *y = a.kept.data + row * a.width, *dy = a.dy.data + row * a.width;
    float* dx = a.dx.data + row * a.width;
#pragma omp simd
    for (int64_t c = 0; c < a.width; ++c) dx[c] = dy[c] * (1.0f - y[c] * y[c]);
  });
  zeroInactive(a.rows, a.dx.data, a.width);
}

}  // namespace lxmert::cpu
