// Attention on tensor cores, backward. P is computed again from Q, K and L = log Σ exp(S), which forward has kept:
// P = exp(S - L), and with G = dO V^T ∘ M
//
//   dV = (P ∘ M)^T dO,  dS = P ∘ (G - rowsum(P ∘ G)) / √d,  dQ = dS K,  dK = dS^T Q
//
// A block computes one head of one sample in one direction. First each warp takes 16 queries: S, G, P and dS stay in
// its registers, and it computes dQ from them. Then P ∘ M and dS are written to shared memory, in place of K and V,
// which are no longer needed. Now each warp takes 16 keys and sums dV and dK over all queries. So no two warps add to
// the same element.
#include "cuda/attention_tiles.cuh"

namespace lxmert::cuda {

namespace {

// The length of a row of a [queries, keys] matrix in shared memory, in elements.
template <int kTiles>
constexpr int kMapPitch = 16 * kTiles + 8;

// The number of rows in shared memory of K or V, or of the matrix that replaces them.
template <int kDim, int kTiles>
constexpr int kSharedPitch = kPitch<kDim> > kMapPitch<kTiles> ? kPitch<kDim> : kMapPitch<kTiles>;

// Writes 16 rows of weights to shared memory.
template <int kTiles>
__device__ __forceinline__ void keepWeights(const uint32_t (&w)[kTiles][4], int keys, bf16* to) {
  const Lane l;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    if (16 * tile >= keys) continue;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      *reinterpret_cast<uint32_t*>(to + (l.g + i % 2 * 8) * kMapPitch<kTiles> + 16 * tile + i / 2 * 8 + 2 * l.t) =
          w[tile][i];
  }
}

// out [16, kDim] = w^T rows, for 16 columns of the weights [queries, …] and the rows [queries, kDim].
template <int kDim, int kTiles>
__device__ __forceinline__ void combineTransposed(float (&out)[kDim / 8][4], const bf16* weights, const bf16* rows,
                                                  int queries) {
  const Lane l;
  const bf16* const at = weights + (l.lane / 16 * 8 + l.lane % 8) * kMapPitch<kTiles> + l.lane / 8 % 2 * 8;
  for (int i = 0; i < queries; i += 16) {
    uint32_t w[4];
    ldmatrixX4Trans(w, at + i * kMapPitch<kTiles>);
    addCombination<kDim>(out, w, rows + i * kPitch<kDim>);
  }
}

template <int kDim, int kTiles>
__global__ void __launch_bounds__(32 * kTiles, residentBlocks(kDim <= 64 ? 16 : 12, kTiles))
    attentionBackwardKernel(AttentionCall c, const bf16* qkv, const float* logSumExp, const bf16* dContext,
                            bf16* dQkv) {
  LXMERT_SHARED(bf16, shared);
  const auto block = static_cast<int>(blockIdx.x);
  if (block >= c.blocks) return clearInactive(c, dQkv, 3 * c.hidden);
  Head h;
  if (!headOf(c, block, h)) return;
  const int queries = h.query.count, keys = h.key.count;
  const int64_t stride = 3 * int64_t{c.hidden}, query = h.query.begin, key = h.key.begin;
  const int column = h.head * c.headDim, padded = roundUp(c.longest, 16);
  bf16 *const q = shared, *const dOut = q + padded * kPitch<kDim>;
  bf16 *const k = dOut + padded * kPitch<kDim>, *const v = k + padded * kSharedPitch<kDim, kTiles>;
  loadRows<kDim>(c, qkv + query * stride + column, stride, queries, roundUp(queries, 16), q);
  loadRows<kDim>(c, qkv + key * stride + c.hidden + column, stride, keys, roundUp(keys, 16), k);
  loadRows<kDim>(c, qkv + key * stride + 2 * c.hidden + column, stride, keys, roundUp(keys, 16), v);
  loadRows<kDim>(c, dContext + query * c.hidden + column, c.hidden, queries, roundUp(queries, 16), dOut);
  cpAsyncCommit();

  const Lane l;
  const int first = static_cast<int>(threadIdx.x) / 32 * 16;  // the first row of this warp's queries, later of its keys
  const TileMask mask(c, h, first);
  float kept[2] = {};  // L of rows g and g + 8
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first + l.g + 8 * half;
    if (row < queries) kept[half] = logSumExp[(query + row) * c.heads + h.head];
  }
  cpAsyncWait<0>();
  __syncthreads();

  uint32_t weights[kTiles][4], dScores[kTiles][4];  // P ∘ M and dS
  if (first < queries) {
    float p[2 * kTiles][4] = {}, g[2 * kTiles][4] = {}, dot[2] = {};
    multiplyRows<kDim, kTiles>(p, q + first * kPitch<kDim>, k, keys);
    multiplyRows<kDim, kTiles>(g, dOut + first * kPitch<kDim>, v, keys);
#pragma unroll
    for (int n = 0; n < 2 * kTiles; ++n) {
      if (8 * n >= keys) continue;
      const uint32_t bits = c.dropout ? mask.kept(n) : 0xF;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float e = 8 * n + 2 * l.t + i % 2 < keys ? __expf(p[n][i] * c.scale - kept[i / 2]) : 0.0f;
        p[n][i] = bits >> i & 1 ? e : -e;  // the negative sign marks a dropped probability
        g[n][i] = bits >> i & 1 ? g[n][i] * c.keepScale : 0.0f;
        dot[i / 2] += p[n][i] * g[n][i];
      }
    }
    for (float& x : dot) x = overRow(x, [](float a, float b) { return a + b; });
#pragma unroll
    for (int n = 0; n < 2 * kTiles; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        g[n][i] = fabsf(p[n][i]) * (g[n][i] - dot[i / 2]) * c.scale;
        p[n][i] = p[n][i] < 0 ? 0.0f : p[n][i] * c.keepScale;
      }
    toOperands<kTiles>(p, weights);
    toOperands<kTiles>(g, dScores);
    float dQ[kDim / 8][4] = {};
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
      if (16 * tile < keys) addCombination<kDim>(dQ, dScores[tile], k + 16 * tile * kPitch<kDim>);
    storeRows<kDim>(c, dQ, {1.0f, 1.0f}, h.query.active - first, dQkv + (query + first) * stride + column, stride);
  }
  __syncthreads();
  if (first < queries) {
    keepWeights<kTiles>(weights, keys, v + first * kMapPitch<kTiles>);
    keepWeights<kTiles>(dScores, keys, k + first * kMapPitch<kTiles>);
  }
  __syncthreads();
  if (first >= keys) return;

  bf16* const to = dQkv + (key + first) * stride + c.hidden + column;
  const auto gradient = [&](const bf16* map, const bf16* rows, bf16* out) {
    float sum[kDim / 8][4] = {};
    combineTransposed<kDim, kTiles>(sum, map + first, rows, queries);
    storeRows<kDim>(c, sum, {1.0f, 1.0f}, h.key.active - first, out, stride);
  };
  gradient(k, q, to);
  gradient(v, dOut, to + c.hidden);
}

}  // namespace

size_t tensorBackwardBytes(const AttentionCall& c) {
  size_t bytes = 0;
  withTiles(c, [&](auto dim, auto tiles) {
    bytes = sizeof(bf16) * 2 * roundUp(c.longest, 16) * (kPitch<dim()> + kSharedPitch<dim(), tiles()>);
  });
  return bytes;
}

void tensorBackward(CudaDevice& device, const AttentionCall& c, const AttentionBackward& a) {
  withTiles(c, [&](auto dim, auto tiles) {
    LXMERT_LAUNCH((attentionBackwardKernel<dim(), tiles()>), dim3(c.blocks + kClearingBlocks),
                  dim3(2 * roundUp(c.longest, 16)), tensorBackwardBytes(c), device.stream(), c, a.qkv.as<bf16>(),
                  a.logSumExp.data, a.dContext.as<bf16>(), a.dQkv.as<bf16>());
  });
}

}  // namespace lxmert::cuda
