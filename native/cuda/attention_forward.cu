// Attention on tensor cores, forward. A block computes one head of one sample in one direction, and each warp computes
// 16 of its queries:
//
//   S = Q K^T / √d,  P = softmax(S),  L = log Σ exp(S),  O = (P ∘ M) V,   M the dropout mask
//
// All of Q, K and V is loaded into shared memory at the beginning. S, P and O stay in registers. They are float32 until
// they become operands of a product. P is not divided by its sum; O is divided at the end.
#include "cuda/attention_tiles.cuh"

namespace lxmert::cuda {

namespace {

// Writes the probabilities before dropout, if they were requested.
template <int kTiles>
__device__ __forceinline__ void writeMap(const Head& h, float* map, int side, int first,
                                         const float (&p)[2 * kTiles][4], const float (&inverse)[2]) {
  const Lane l;
#pragma unroll
  for (int n = 0; n < 2 * kTiles; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = first + l.g + i / 2 * 8, column = 8 * n + 2 * l.t + i % 2;
      if (row < min(h.query.count, side) && column < min(h.key.count, side))
        map[row * side + column] = p[n][i] * inverse[i / 2];
    }
}

// The number of warps for which a multiprocessor must have registers.
template <int kDim, int kTiles>
constexpr int kForwardWarps = kDim > 64     ? 12
                              : kTiles == 4 ? 20
                                            : 24;

template <int kDim, int kTiles>
__global__ void __launch_bounds__(32 * kTiles, residentBlocks(kForwardWarps<kDim, kTiles>, kTiles))
    attentionForwardKernel(AttentionCall c, const bf16* qkv, bf16* context, float* logSumExp, AttentionMaps maps) {
  LXMERT_SHARED(bf16, shared);
  const auto block = static_cast<int>(blockIdx.x);
  if (block >= c.blocks) {
    clearInactive(c, context, c.hidden);
    clearInactive(c, logSumExp, c.heads);
    return;
  }
  Head h;
  if (!headOf(c, block, h)) return;
  const int queries = h.query.count, keys = h.key.count;
  const int64_t stride = 3 * int64_t{c.hidden};
  const int room = roundUp(c.longest, 16) * kPitch<kDim>;
  bf16 *const q = shared, *const k = q + room, *const v = k + room;
  const bf16* const from = qkv + h.head * c.headDim;
  loadRows<kDim>(c, from + h.query.begin * stride, stride, queries, roundUp(queries, 16), q);
  loadRows<kDim>(c, from + h.key.begin * stride + c.hidden, stride, keys, roundUp(keys, 16), k);
  loadRows<kDim>(c, from + h.key.begin * stride + 2 * c.hidden, stride, keys, roundUp(keys, 16), v);
  cpAsyncCommit();
  const Lane l;
  const int first = static_cast<int>(threadIdx.x) / 32 * 16;
  const TileMask mask(c, h, first);
  cpAsyncWait<0>();
  __syncthreads();
  if (first >= queries) return;

  float p[2 * kTiles][4] = {};  // of rows g and g + 8: first the scores, then the probabilities
  multiplyRows<kDim, kTiles>(p, q + first * kPitch<kDim>, k, keys);
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {};
#pragma unroll
  for (int n = 0; n < 2 * kTiles; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      p[n][i] = 8 * n + 2 * l.t + i % 2 < keys ? p[n][i] * c.scale : -INFINITY;
      largest[i / 2] = fmaxf(largest[i / 2], p[n][i]);
    }
  for (float& x : largest) x = overRow(x, [](float a, float b) { return fmaxf(a, b); });
#pragma unroll
  for (int n = 0; n < 2 * kTiles; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      p[n][i] = 8 * n < keys ? __expf(p[n][i] - largest[i / 2]) : 0.0f;
      sum[i / 2] += p[n][i];
    }
  for (float& x : sum) x = overRow(x, [](float a, float b) { return a + b; });

  // Without keys the result is zeros.
  const float inverse[2] = {keys > 0 ? 1.0f / sum[0] : 0.0f, keys > 0 ? 1.0f / sum[1] : 0.0f};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first + l.g + 8 * half;
    if (l.t == 0 && row < h.query.active)
      logSumExp[(int64_t{h.query.begin} + row) * c.heads + h.head] = keys > 0 ? largest[half] + logf(sum[half]) : 0.0f;
  }
  float* const map = maps.at(h.direction, int64_t{h.sample} * c.heads + h.head);
  if (map) writeMap<kTiles>(h, map, maps.side, first, p, inverse);
  if (c.dropout) {
#pragma unroll
    for (int n = 0; n < 2 * kTiles; ++n) {
      if (8 * n >= keys) continue;
      const uint32_t kept = mask.kept(n);
#pragma unroll
      for (int i = 0; i < 4; ++i) p[n][i] = kept >> i & 1 ? p[n][i] : 0.0f;
    }
  }
  uint32_t w[kTiles][4];
  toOperands<kTiles>(p, w);
  float out[kDim / 8][4] = {};
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile)
    if (16 * tile < keys) addCombination<kDim>(out, w[tile], v + 16 * tile * kPitch<kDim>);
  storeRows<kDim>(c, out, {inverse[0] * c.keepScale, inverse[1] * c.keepScale}, h.query.active - first,
                  context + (int64_t{h.query.begin} + first) * c.hidden + h.head * c.headDim, c.hidden);
}

}  // namespace

size_t tensorForwardBytes(const AttentionCall& c) {
  size_t bytes = 0;
  withTiles(c, [&](auto dim, auto) { bytes = sizeof(bf16) * 3 * roundUp(c.longest, 16) * kPitch<dim()>; });
  return bytes;
}

void tensorForward(CudaDevice& device, const AttentionCall& c, const AttentionForward& a) {
  withTiles(c, [&](auto dim, auto tiles) {
    LXMERT_LAUNCH((attentionForwardKernel<dim(), tiles()>), dim3(c.blocks + kClearingBlocks),
                  dim3(2 * roundUp(c.longest, 16)), tensorForwardBytes(c), device.stream(), c, a.qkv.as<bf16>(),
                  a.context.as<bf16>(), a.logSumExp.data, mapsOf(a));
  });
}

}  // namespace lxmert::cuda
