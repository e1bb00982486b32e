// y = x W^T + b over the active rows.
//
// Backward: dx = dy W, dW = dy^T x, db = Σ_rows dy. Inactive rows are zeros, so a product may include the inactive rows
// that lie between active rows.
#include <algorithm>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/packed_weights.h"
#include "cpu/parallel.h"
#include "cpu/product.h"

namespace lxmert::cpu {

namespace {

struct Blocks {
  Range block[2];
  int count;
};

// The rows to multiply. Usually this is one block, from the first row to a row soon after the last active row. The rows
// in the gap between language and vision rows are zeros. There are two blocks if the gap has more than a quarter of the
// number of rows of both blocks, as in a small batch.
Blocks blocksOf(const Rows& rows) {
  const Segments s = rows.active();
  const auto end = [&](int i, int64_t limit) {
    return s.part[i].begin + productRows(s.part[i].end - s.part[i].begin, limit - s.part[i].begin);
  };
  const bool both = s.count == 2 && s.part[1].end > s.part[1].begin;
  if (!both) return {{{0, end(0, rows.capacity)}, {}}, 1};
  const Range language{0, end(0, rows.split)}, vision{rows.split, end(1, rows.capacity)};
  if (4 * (vision.begin - language.end) > language.end + vision.end - vision.begin) return {{language, vision}, 2};
  return {{{0, vision.end}, {}}, 1};
}

}  // namespace

void linearForward(Device& device, const LinearForward& a) {
  const Blocks blocks = blocksOf(a.rows);
  const auto packed = packedAt(a.weight.data, a.out, a.in);
  for (int i = 0; i < blocks.count; ++i) {
    const auto [begin, end] = blocks.block[i];
    multiply({.m = end - begin,
              .n = a.out,
              .k = a.in,
              .a = a.x.data + begin * a.in,
              .transposeA = false,
              .b = a.weight.data,
              .transposeB = true,
              .bias = a.bias.data,
              .c = a.y.data + begin * a.out,
              .accumulate = false,
              .packed = packed ? packed->data : nullptr},
             device.precision());
  }
  zeroInactive(a.rows, a.y.data, a.out);
}

void linearBackwardInput(Device& device, const LinearBackwardInput& a) {
  const Blocks blocks = blocksOf(a.rows);
  const float* weight = a.weight.data;
  thread_local std::vector<float> plain;
  if (const auto packed = packedAt(weight, a.out, a.in)) {
    plain.resize(std::max<size_t>(plain.size(), a.out * a.in));
    unpackTo(*packed, a.out, a.in, plain.data());
    weight = plain.data();
  }
  for (int i = 0; i < blocks.count; ++i) {
    const auto [begin, end] = blocks.block[i];
    multiply({.m = end - begin,
              .n = a.in,
              .k = a.out,
              .a = a.dy.data + begin * a.out,
              .transposeA = false,
              .b = weight,
              .transposeB = false,
              .bias = nullptr,
              .c = a.dx.data + begin * a.in,
              .accumulate = a.accumulate},
             device.precision());
  }
  if (!a.accumulate) zeroInactive(a.rows, a.dx.data, a.in);
}

void linearBackwardWeight(Device& device, const LinearBackwardWeight& a) {
  const Blocks blocks = blocksOf(a.rows);
  for (int i = 0; i < blocks.count; ++i) {
    const auto [begin, end] = blocks.block[i];
    multiply({.m = a.out,
              .n = a.in,
              .k = end - begin,
              .a = a.dy.data + begin * a.out,
              .transposeA = true,
              .b = a.x.data + begin * a.in,
              .transposeB = false,
              .bias = nullptr,
              .c = a.dWeight.data,
              .accumulate = a.accumulateWeight || i > 0},
             device.precision());
  }
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
