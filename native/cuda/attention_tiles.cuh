// Products of a head's small matrices on tensor cores. One warp computes 16 rows of the result. Matrices are in shared
// memory as bfloat16 rows of kDim + 8 elements. The 8 additional elements shift each row by four banks, so that the
// eight rows of an ldmatrix are in different banks. Fragments are those of mma16816 (ptx.cuh): lane 4 g + t has columns
// 2t, 2t + 1 of rows g and g + 8.
#pragma once

#include <type_traits>

#include "cuda/attention.h"
#include "cuda/ptx.cuh"

namespace lxmert::cuda {

template <int kDim>
constexpr int kPitch = kDim + 8;

// The minimum number of blocks per multiprocessor (for __launch_bounds__), chosen so that enough warps keep loads in
// flight. With a smaller number, ptxas uses more registers than are useful. Without a number, ptxas spills registers to
// make room for one more block. On 12.0, the shared memory (100 KB) is enough for only 12 such warps; a larger number
// would cause spills.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
constexpr int kMostWarps = 12;
#else
constexpr int kMostWarps = 24;
#endif
constexpr int residentBlocks(int warps, int tiles) {
  return tiles <= 4 ? (warps < kMostWarps ? warps : kMostWarps) / tiles : 1;
}

struct Lane {
  int lane = static_cast<int>(threadIdx.x) % 32;
  int g = lane / 4, t = lane % 4;
};

// Copies rows [rows, kDim] of a head into shared memory, asynchronously. Writes zeros to the rows from `rows` to
// `padded` and to the columns from headDim on.
template <int kDim>
__device__ __forceinline__ void loadRows(const AttentionCall& c, const bf16* from, int64_t stride, int rows, int padded,
                                         bf16* to) {
  const auto thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  if (c.wholeVectors) {
#pragma unroll 4
    for (int i = thread; i < padded * (kDim / 8); i += threads) {
      const int row = i / (kDim / 8), column = i % (kDim / 8) * 8;
      const bool there = row < rows && column < c.headDim;
      cpAsync16(to + row * kPitch<kDim> + column, there ? from + row * stride + column : from, there);
    }
    return;
  }
  for (int i = thread; i < padded * kDim; i += threads) {
    const int row = i / kDim, column = i % kDim;
    const bool there = row < rows && column < c.headDim;
    to[row * kPitch<kDim> + column] = there ? from[row * stride + column] : fromFloat<bf16>(0.0f);
  }
}

// out [16, keys] = a [16, kDim] b^T, with b [keys, kDim]. Columns from 16 ⌈keys / 16⌉ on are not changed.
template <int kDim, int kTiles>
__device__ __forceinline__ void multiplyRows(float (&out)[2 * kTiles][4], const bf16* a, const bf16* b, int keys) {
  const Lane l;
  const bf16* const aAt = a + l.lane % 16 * kPitch<kDim> + l.lane / 16 * 8;
  const bf16* const bAt = b + (l.lane / 16 * 8 + l.lane % 8) * kPitch<kDim> + l.lane / 8 % 2 * 8;
#pragma unroll
  for (int k = 0; k < kDim; k += 16) {
    uint32_t x[4];
    ldmatrixX4(x, aAt + k);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      if (16 * tile >= keys) continue;
      uint32_t y[4];
      ldmatrixX4(y, bAt + 16 * tile * kPitch<kDim> + k);
      mma16816(out[2 * tile], x, {y[0], y[1]});
      mma16816(out[2 * tile + 1], x, {y[2], y[3]});
    }
  }
}

// out [16, kDim] += w [16, 16] rows [16, kDim].
template <int kDim>
__device__ __forceinline__ void addCombination(float (&out)[kDim / 8][4], const uint32_t (&w)[4], const bf16* rows) {
  const Lane l;
  const bf16* const at = rows + l.lane % 16 * kPitch<kDim> + l.lane / 16 * 8;
#pragma unroll
  for (int n = 0; n < kDim; n += 16) {
    uint32_t y[4];
    ldmatrixX4Trans(y, at + n);
    mma16816(out[n / 8], w, {y[0], y[1]});
    mma16816(out[n / 8 + 1], w, {y[2], y[3]});
  }
}

// Converts columns of accumulators to the left operand of another product.
template <int kTiles>
__device__ __forceinline__ void toOperands(const float (&from)[2 * kTiles][4], uint32_t (&to)[kTiles][4]) {
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float(&pair)[4] = from[2 * tile + i / 2];
      to[tile][i] = packBf16(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
    }
}

// Transposes w[0 … 3] of four neighbouring lanes: lane t receives the w[t] of each of the four lanes.
__device__ __forceinline__ void transposeQuad(uint32_t (&w)[4], int t) {
  const auto swap = [](uint32_t& low, uint32_t& high, bool upper, int distance) {
    const uint32_t other = __shfl_xor_sync(0xFFFFFFFFu, upper ? low : high, distance);
    (upper ? low : high) = other;
  };
  swap(w[0], w[1], t % 2, 1), swap(w[2], w[3], t % 2, 1);
  swap(w[0], w[2], t / 2, 2), swap(w[1], w[3], t / 2, 2);
}

// Writes 16 rows of a result to global memory, 64 bytes of a row at a time, so that whole sectors are written. `factor`
// has the factors of rows g and g + 8. Rows from `rows` on and columns from headDim on are not written.
template <int kDim>
__device__ __forceinline__ void storeRows(const AttentionCall& c, const float (&values)[kDim / 8][4],
                                          const float (&factor)[2], int rows, bf16* to, int64_t stride) {
  const Lane l;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = l.g + 8 * half;
#pragma unroll
    for (int n = 0; n < kDim / 8; n += 4) {
      uint32_t w[4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        w[i] = packBf16(values[n + i][2 * half] * factor[half], values[n + i][2 * half + 1] * factor[half]);
      if (c.wholeVectors) {
        transposeQuad(w, l.t);
        const int column = 8 * (n + l.t);
        if (row < rows && column < c.headDim)
          *reinterpret_cast<uint4*>(to + row * stride + column) = make_uint4(w[0], w[1], w[2], w[3]);
        continue;
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = 8 * (n + i) + 2 * l.t;
        const float2 pair = unpackBf16(w[i]);
        if (row < rows && column < c.headDim) to[row * stride + column] = fromFloat<bf16>(pair.x);
        if (row < rows && column + 1 < c.headDim) to[row * stride + column + 1] = fromFloat<bf16>(pair.y);
      }
    }
  }
}

// Sum or maximum over the four lanes that share a row.
template <class Op>
__device__ __forceinline__ float overRow(float x, Op&& op) {
  x = op(x, __shfl_xor_sync(0xFFFFFFFFu, x, 1));
  return op(x, __shfl_xor_sync(0xFFFFFFFFu, x, 2));
}

// The dropout masks of 16 query rows, in the layout of the accumulators. One call of Philox gives the numbers of four
// keys, and these keys belong to two lanes. The even lane makes the call for row g, the odd lane for row g + 8, and
// they exchange the bits.
struct TileMask {
  bool upper;
  QueryMask mask;

  __device__ __forceinline__ TileMask(const AttentionCall& c, const Head& h, int first)
      : upper(Lane().t % 2), mask(c, h, first + Lane().g + (upper ? 8 : 0)) {}

  // Which elements of the accumulators of keys 8 n … 8 n + 7 are kept: one bit each.
  __device__ __forceinline__ uint32_t kept(int n) const {
    const uint32_t mine = mask.kept(2 * n + Lane().t / 2);
    const uint32_t other = __shfl_xor_sync(0xFFFFFFFFu, mine, 1);
    const uint32_t low = upper ? other : mine, high = upper ? mine : other;
    const int shift = upper ? 2 : 0;
    return (low >> shift & 3) | (high >> shift & 3) << 2;
  }
};

// Calls body(D, N). D is the smallest value of kDim that has kernels and is not less than the number of columns of a
// head. N is the smallest value of kTiles that has kernels and is not less than the number of 16-row tiles of a sample.
template <class Body>
void withTiles(const AttentionCall& c, Body&& body) {
  const auto least = []<int... kOptions>(std::integer_sequence<int, kOptions...>, int n, auto&& then) {
    bool done = false;
    ((!done && n <= kOptions && (then(std::integral_constant<int, kOptions>{}), done = true)), ...);
  };
  least(std::integer_sequence<int, 32, 64, 128>{}, c.headDim, [&](auto dim) {
    least(std::integer_sequence<int, 2, 3, 4, 8>{}, roundUp(c.longest, 16) / 16, [&](auto tiles) { body(dim, tiles); });
  });
}

}  // namespace lxmert::cuda
