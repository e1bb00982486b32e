// y = x W^T + b over the active rows.
//
// Backward: dx = dy W, dW = dy^T x, db = Σ_rows dy. Inactive rows are zeros, so a product over the span of all active
// rows, gaps included, is the product over the active rows.
#include <dnnl.h>

#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace lxmert::cpu {

namespace {

struct Product {
  char transA, transB;
  int64_t m, n, k;
  const float *a, *b;
  float* c;
  float beta;
};

// C [m, n] = op(A) op(B) + beta C, all row-major and dense.
void multiply(const Product& p) {
  if (p.m == 0 || p.n == 0) return;
  if (p.k == 0) {
    if (p.beta == 0) std::memset(p.c, 0, static_cast<size_t>(p.m * p.n) * sizeof(float));
    return;
  }
  const int64_t lda = p.transA == 'N' ? p.k : p.m, ldb = p.transB == 'N' ? p.n : p.k;
  const dnnl_status_t status =
      dnnl_sgemm(p.transA, p.transB, p.m, p.n, p.k, 1.0f, p.a, lda, p.b, ldb, p.beta, p.c, p.n);
  if (status != dnnl_success)
    throw Error(ErrorCode::Internal, "oneDNN matrix product failed with status " + std::to_string(status));
}

// One past the last active row.
int64_t spanOf(const Rows& rows) {
  const Segments s = rows.active();
  int64_t end = 0;
  for (int i = 0; i < s.count; ++i)
    if (s.part[i].end > s.part[i].begin) end = s.part[i].end;
  return end;
}

}  // namespace

void linearForward(Device&, const LinearForward& a) {
  multiply({'N', 'T', spanOf(a.rows), a.out, a.in, a.x.data, a.weight.data, a.y.data, 0.0f});
  if (a.bias)
    parallelRows(a.rows, a.out, [&](int64_t row) {
      float* y = a.y.data + row * a.out;
      const float* b = a.bias.data;
#pragma omp simd
      for (int64_t c = 0; c < a.out; ++c) y[c] += b[c];
    });
  zeroInactive(a.rows, a.y.data, a.out);
}

void linearBackwardInput(Device&, const LinearBackwardInput& a) {
  multiply({'N', 'N', spanOf(a.rows), a.in, a.out, a.dy.data, a.weight.data, a.dx.data, a.accumulate ? 1.0f : 0.0f});
  if (!a.accumulate) zeroInactive(a.rows, a.dx.data, a.in);
}

void linearBackwardWeight(Device&, const LinearBackwardWeight& a) {
  multiply(
      {'T', 'N', a.out, a.in, spanOf(a.rows), a.dy.data, a.x.data, a.dWeight.data, a.accumulateWeight ? 1.0f : 0.0f});
  if (!a.dBias) return;
  ColumnSums sums(a.out);
  parallelRows(a.rows, a.out, [&](int64_t row) {
    const float* dy = a.dy.data + row * a.out;
    float* sum = sums.mine();
#pragma omp simd
    for (int64_t c = 0; c < a.out; ++c) sum[c] += dy[c];
  });
  sums.into(a.dBias.data, 0, a.out, a.accumulateBias);
}

}  // namespace lxmert::cpu
