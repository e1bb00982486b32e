// Small matrix products for attention, and the transposes that they need. C [m, n] = A [m, k] B [k, n] on one thread,
// with all three in the cache. A may have any layout, so a transposed A needs no copy. B and C are row-major, and n is
// a multiple of the vector width.
#pragma once

#include <cstdint>

#include "cpu/shuffle.h"

namespace lxmert::cpu {

constexpr int64_t kLanes = 16;

inline int64_t padToLanes(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

struct SmallGemm {
  int64_t m, n, k;
  const float* a;
  int64_t aRow, aColumn;  // A[i, p] = a[i * aRow + p * aColumn]
  const float* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
};

namespace detail {

typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float)), aligned(4)));

template <int kRows, int kVectors>
inline __attribute__((always_inline)) void tile(const SmallGemm& g, int64_t i, int64_t j) {
  Lanes sum[kRows][kVectors] = {};
  const float* a = g.a + i * g.aRow;
  const float* b = g.b + j;
  for (int64_t p = 0; p < g.k; ++p, a += g.aColumn, b += g.ldb) {
    Lanes row[kVectors];
    for (int v = 0; v < kVectors; ++v) row[v] = *reinterpret_cast<const Lanes*>(b + v * kLanes);
#if defined(__AVX512F__)
    for (int v = 0; v < kVectors; ++v)
      __asm__("" : "+v"(row[v]));  // keeps the value in a register, so that it is not loaded again for each row
#endif
    for (int r = 0; r < kRows; ++r) {
      const float x = a[r * g.aRow];
      for (int v = 0; v < kVectors; ++v) sum[r][v] += x * row[v];
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) *reinterpret_cast<Lanes*>(g.c + (i + r) * g.ldc + j + v * kLanes) = sum[r][v];
}

template <int kVectors>
inline void columns(const SmallGemm& g, int64_t j) {
  int64_t i = 0;
  for (; i + 4 <= g.m; i += 4) tile<4, kVectors>(g, i, j);
  if (g.m - i == 3) tile<3, kVectors>(g, i, j);
  if (g.m - i == 2) tile<2, kVectors>(g, i, j);
  if (g.m - i == 1) tile<1, kVectors>(g, i, j);
}

}  // namespace detail

// C = A B.
inline void smallGemm(const SmallGemm& g) {
  int64_t j = 0;
  for (; j + 4 * kLanes <= g.n; j += 4 * kLanes) detail::columns<4>(g, j);
  const int64_t rest = (g.n - j) / kLanes;
  if (rest == 3) detail::columns<3>(g, j);
  if (rest == 2) detail::columns<2>(g, j);
  if (rest == 1) detail::columns<1>(g, j);
}

namespace detail {

// Swaps the two off-diagonal quarters of each block. A block has 2 kHalf rows and 2 kHalf columns.
template <int kHalf>
inline __attribute__((always_inline)) void swapQuarters(Lanes (&rows)[kLanes]) {
  typedef int32_t Order __attribute__((vector_size(kLanes * sizeof(int32_t))));
  Order upper, lower;
  for (int l = 0; l < kLanes; ++l) {
    upper[l] = l & kHalf ? kLanes + l - kHalf : l;
    lower[l] = l & kHalf ? kLanes + l : l + kHalf;
  }
  for (int i = 0; i < kLanes; ++i) {
    if (i & kHalf) continue;
    const Lanes a = rows[i], b = rows[i + kHalf];
    rows[i] = shuffle(a, b, upper);
    rows[i + kHalf] = shuffle(a, b, lower);
  }
}

}  // namespace detail

// to [columns, padToLanes(rows)] = from^T. `from` [rows, columns] has rows `stride` apart; the padding is zeros.
inline void transpose(const float* from, int64_t stride, int64_t rows, int64_t columns, float* to) {
  using detail::Lanes;
  const int64_t padded = padToLanes(rows);
  for (int64_t i = 0; i < padded; i += kLanes) {
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) {
      Lanes block[kLanes];
      for (int64_t r = 0; r < kLanes; ++r)
        block[r] = i + r < rows ? *reinterpret_cast<const Lanes*>(from + (i + r) * stride + c) : Lanes{};
      detail::swapQuarters<8>(block);
      detail::swapQuarters<4>(block);
      detail::swapQuarters<2>(block);
      detail::swapQuarters<1>(block);
      for (int64_t r = 0; r < kLanes; ++r) *reinterpret_cast<Lanes*>(to + (c + r) * padded + i) = block[r];
    }
    for (; c < columns; ++c)
      for (int64_t r = 0; r < kLanes; ++r) to[c * padded + i + r] = i + r < rows ? from[(i + r) * stride + c] : 0.0f;
  }
}

}  // namespace lxmert::cpu
