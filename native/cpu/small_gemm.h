// Small matrix products for attention: C [m, n] (+)= A [m, k] B [k, n], one thread, everything in cache. A may be read
// in any layout, so a transposed A needs no copy; B and C are row-major with n a multiple of the vector width.
#pragma once

#include <cstdint>

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
  for (; i < g.m; ++i) tile<1, kVectors>(g, i, j);
}

}  // namespace detail

// C = A B.
inline void smallGemm(const SmallGemm& g) {
  int64_t j = 0;
  for (; j + 4 * kLanes <= g.n; j += 4 * kLanes) detail::columns<4>(g, j);
  for (; j + 2 * kLanes <= g.n; j += 2 * kLanes) detail::columns<2>(g, j);
  for (; j < g.n; j += kLanes) detail::columns<1>(g, j);
}

}  // namespace lxmert::cpu
