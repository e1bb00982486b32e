// y = x W^T + b over the active rows.
//
// Backward: dx = dy W, dW = dy^T x, db = Σ_rows dy. Inactive rows are zeros, so a product over the span of all active
// rows, gaps included, is the product over the active rows.
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/product.h"

namespace lxmert::cpu {

namespace {

// Rows from the first to the last active one, and a few more.
int64_t spanOf(const Rows& rows) {
  const Segments s = rows.active();
  int64_t end = 0;
  for (int i = 0; i < s.count; ++i)
    if (s.part[i].end > s.part[i].begin) end = s.part[i].end;
  return productRows(end, rows.capacity);
}

}  // namespace

void linearForward(Device& device, const LinearForward& a) {
  multiply({.m = spanOf(a.rows),
            .n = a.out,
            .k = a.in,
            .a = a.x.data,
            .transposeA = false,
            .b = a.weight.data,
            .transposeB = true,
            .bias = a.bias.data,
            .c = a.y.data,
            .accumulate = false},
           device.precision());
  zeroInactive(a.rows, a.y.data, a.out);
}

void linearBackwardInput(Device& device, const LinearBackwardInput& a) {
  multiply({.m = spanOf(a.rows),
            .n = a.in,
            .k = a.out,
            .a = a.dy.data,
            .transposeA = false,
            .b = a.weight.data,
            .transposeB = false,
            .bias = nullptr,
            .c = a.dx.data,
            .accumulate = a.accumulate},
           device.precision());
  if (!a.accumulate) zeroInactive(a.rows, a.dx.data, a.in);
}

void linearBackwardWeight(Device& device, const LinearBackwardWeight& a) {
  multiply({.m = a.out,
            .n = a.in,
            .k = spanOf(a.rows),
            .a = a.dy.data,
            .transposeA = true,
            .b = a.x.data,
            .transposeB = false,
            .bias = nullptr,
            .c = a.dWeight.data,
            .accumulate = a.accumulateWeight},
           device.precision());
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
