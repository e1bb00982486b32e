// Attention in float32, without tensor cores, forward and backward:
//
//   S = Q K^T / √d,  P = softmax(S),  L = log Σ exp(S),  O = (P ∘ M) V,   M the dropout mask
//   P = exp(S - L),  G = dO V^T ∘ M,  dS = P ∘ (G - rowsum(P ∘ G)) / √d,  dV = (P ∘ M)^T dO,  dQ = dS K,  dK = dS^T Q
//
// Used for float32 activations, and for bfloat16 activations if the kernels on tensor cores need more shared memory
// than the device has. A block computes one head of one sample in one direction. Shared memory has one [queries, keys]
// matrix and 32 rows of K or V. In the backward pass that matrix is P, in which a negative sign marks a dropped
// element, and then dS.
#include "cuda/attention.h"

namespace lxmert::cuda {

namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;
constexpr int kRowsAtOnce = 4;  // rows of the left matrix for which each element of the right matrix is read only once

// Rows of a matrix in global memory.
template <class T>
struct Matrix {
  T* data;
  int64_t stride;
  int rows;

  __device__ __forceinline__ T* row(int i) const { return data + min(i, rows - 1) * stride; }
};

struct Shared {
  float *map, *stage, *dot;
  int pitch;

  __device__ __forceinline__ Shared(const AttentionCall& c, float* shared)
      : map(shared),
        stage(map + c.longest * (c.longest + 1)),
        dot(stage + 32 * (c.headDim + 1)),
        pitch(c.longest + 1) {}

  static size_t bytes(const AttentionCall& c) {
    return sizeof(float) * (c.longest * (c.longest + 1) + 32 * (c.headDim + 1) + c.longest);
  }
};

// Calls use(i, j, left_i · right_j) for all rows i and j. All lanes of a warp make each call, so j also takes values
// after the last row, up to a multiple of 32.
template <class T, class Use>
__device__ __forceinline__ void eachDot(int columns, const Matrix<const T>& left, const Matrix<const T>& right,
                                        float* stage, Use&& use) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const float* const mine = stage + lane * (columns + 1);
  for (int first = 0; first < right.rows; first += 32) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < 32 * columns; i += kThreads)
      stage[i / columns * (columns + 1) + i % columns] = toFloat(right.row(first + i / columns)[i % columns]);
    __syncthreads();
    for (int i = kRowsAtOnce * warp; i < left.rows; i += kRowsAtOnce * kWarps) {
      const T* rows[kRowsAtOnce];
      float dot[kRowsAtOnce] = {};
      for (int r = 0; r < kRowsAtOnce; ++r) rows[r] = left.row(i + r);
      for (int c = 0; c < columns; ++c)
        for (int r = 0; r < kRowsAtOnce; ++r) dot[r] += toFloat(rows[r][c]) * mine[c];
      for (int r = 0; r < kRowsAtOnce; ++r)
        if (i + r < left.rows) use(i + r, first + lane, dot[r]);
    }
  }
  __syncthreads();
}

// Computes out_i = Σ_j weight(i, j) rows_j for i < out.rows, and writes only the first `active` of these rows.
template <class T, class Weight>
__device__ __forceinline__ void combine(int columns, const Matrix<const T>& rows, const Matrix<T>& out, int active,
                                        Weight&& weight) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  for (int i = kRowsAtOnce * warp; i < active; i += kRowsAtOnce * kWarps)
    for (int c = lane; c < columns; c += 32) {
      float sum[kRowsAtOnce] = {};
      for (int j = 0; j < rows.rows; ++j) {
        const float x = toFloat(rows.row(j)[c]);
        for (int r = 0; r < kRowsAtOnce; ++r) sum[r] += weight(min(i + r, out.rows - 1), j) * x;
      }
      for (int r = 0; r < kRowsAtOnce; ++r)
        if (i + r < active) out.row(i + r)[c] = fromFloat<T>(sum[r]);
    }
}

template <class Op>
__device__ __forceinline__ float overWarp(float x, Op&& op) {
  for (int distance = 16; distance > 0; distance /= 2) x = op(x, __shfl_xor_sync(0xFFFFFFFFu, x, distance));
  return x;
}

// The operands of the block's head.
template <class T>
struct Operands {
  Matrix<const T> q, k, v;

  __device__ __forceinline__ Operands(const AttentionCall& c, const Head& h, const T* qkv) {
    const int64_t stride = 3 * int64_t{c.hidden};
    const T* const from = qkv + h.head * c.headDim;
    q = {from + h.query.begin * stride, stride, h.query.count};
    k = {from + h.key.begin * stride + c.hidden, stride, h.key.count};
    v = {k.data + c.hidden, stride, h.key.count};
  }
};

// The factor of the dropout mask for one key of a row.
__device__ __forceinline__ bool isKept(const QueryMask& mask, int key) { return mask.kept(key / 4) >> key % 4 & 1; }

template <class T>
__global__ void __launch_bounds__(kThreads)
    plainForwardKernel(AttentionCall c, const T* qkv, T* context, float* logSumExp, AttentionMaps maps) {
  LXMERT_SHARED(float, shared);
  const auto block = static_cast<int>(blockIdx.x);
  if (block >= c.blocks) {
    clearInactive(c, context, c.hidden);
    clearInactive(c, logSumExp, c.heads);
    return;
  }
  Head h;
  if (!headOf(c, block, h)) return;
  const Shared s(c, shared);
  const Operands<T> of(c, h, qkv);
  const int queries = h.query.count, keys = h.key.count;
  eachDot(c.headDim, of.q, of.k, s.stage, [&](int i, int j, float dot) {
    if (j < keys) s.map[i * s.pitch + j] = dot * c.scale;
  });
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = static_cast<int>(threadIdx.x) / 32; i < queries; i += kWarps) {
    float* const p = s.map + i * s.pitch;
    float largest = -INFINITY, sum = 0;
    for (int j = lane; j < keys; j += 32) largest = fmaxf(largest, p[j]);
    largest = overWarp(largest, [](float a, float b) { return fmaxf(a, b); });
    for (int j = lane; j < keys; j += 32) sum += p[j] = expf(p[j] - largest);
    sum = overWarp(sum, [](float a, float b) { return a + b; });
    if (lane == 0 && i < h.query.active)
      logSumExp[(int64_t{h.query.begin} + i) * c.heads + h.head] = keys > 0 ? largest + logf(sum) : 0.0f;
    const QueryMask mask(c, h, i);
    float* const map = maps.at(h.direction, int64_t{h.sample} * c.heads + h.head);
    for (int j = lane; j < keys; j += 32) {
      p[j] /= sum;
      if (map && i < maps.side && j < maps.side) map[i * maps.side + j] = p[j];
      if (c.dropout) p[j] *= isKept(mask, j) ? c.keepScale : 0.0f;
    }
  }
  __syncthreads();
  const Matrix<T> out{context + h.query.begin * int64_t{c.hidden} + h.head * c.headDim, c.hidden, queries};
  combine(c.headDim, of.v, out, h.query.active, [&](int i, int j) { return s.map[i * s.pitch + j]; });
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    plainBackwardKernel(AttentionCall c, const T* qkv, const float* logSumExp, const T* dContext, T* dQkv) {
  LXMERT_SHARED(float, shared);
  const auto block = static_cast<int>(blockIdx.x);
  if (block >= c.blocks) return clearInactive(c, dQkv, 3 * c.hidden);
  Head h;
  if (!headOf(c, block, h)) return;
  const Shared s(c, shared);
  const Operands<T> of(c, h, qkv);
  const int queries = h.query.count, keys = h.key.count;
  const Matrix<const T> dOut{dContext + h.query.begin * int64_t{c.hidden} + h.head * c.headDim, c.hidden, queries};
  const auto at = [&](int i, int j) -> float& { return s.map[i * s.pitch + j]; };
  eachDot(c.headDim, of.q, of.k, s.stage, [&](int i, int j, float dot) {
    if (j >= keys) return;
    const float p = expf(dot * c.scale - logSumExp[(int64_t{h.query.begin} + i) * c.heads + h.head]);
    at(i, j) = c.dropout && !isKept(QueryMask(c, h, i), j) ? -p : p;
  });
  for (int i = static_cast<int>(threadIdx.x); i < queries; i += kThreads) s.dot[i] = 0;
  // rowsum(P ∘ G). Dropped elements of G are 0.
  eachDot(c.headDim, dOut, of.v, s.stage, [&](int i, int j, float dot) {
    const float p = j < keys ? at(i, j) : 0.0f;
    const float sum = overWarp(p < 0 ? 0.0f : p * c.keepScale * dot, [](float a, float b) { return a + b; });
    if (threadIdx.x % 32 == 0) s.dot[i] += sum;
  });

  T* const dKey = dQkv + h.key.begin * 3 * int64_t{c.hidden} + c.hidden + h.head * c.headDim;
  const Matrix<T> dQ{dQkv + h.query.begin * 3 * int64_t{c.hidden} + h.head * c.headDim, 3 * int64_t{c.hidden}, queries};
  const Matrix<T> dK{dKey, dQ.stride, keys}, dV{dKey + c.hidden, dQ.stride, keys};
  combine(c.headDim, dOut, dV, h.key.active, [&](int j, int i) {
    const float p = at(i, j);
    return p < 0 ? 0.0f : p * c.keepScale;
  });
  eachDot(c.headDim, dOut, of.v, s.stage, [&](int i, int j, float dot) {
    if (j >= keys) return;
    const float p = at(i, j), g = p < 0 ? 0.0f : c.keepScale * dot;
    at(i, j) = fabsf(p) * (g - s.dot[i]) * c.scale;
  });
  combine(c.headDim, of.k, dQ, h.query.active, [&](int i, int j) { return at(i, j); });
  combine(c.headDim, of.q, dK, h.key.active, [&](int j, int i) { return at(i, j); });
}

// Computes only G, the gradient of the probabilities before dropout. Shared memory contains 32 rows of V.
template <class T>
__global__ void __launch_bounds__(kThreads)
    plainMapGradientKernel(AttentionCall c, const T* qkv, const T* dContext, AttentionMaps maps) {
  LXMERT_SHARED(float, stage);
  Head h;
  if (!headOf(c, static_cast<int>(blockIdx.x), h)) return;
  float* const map = maps.at(h.direction, int64_t{h.sample} * c.heads + h.head);
  if (!map) return;
  const Operands<T> of(c, h, qkv);
  const int keys = min(h.key.count, maps.side);
  const Matrix<const T> dOut{dContext + h.query.begin * int64_t{c.hidden} + h.head * c.headDim, c.hidden,
                             min(h.query.count, maps.side)};
  eachDot(c.headDim, dOut, of.v, stage, [&](int i, int j, float dot) {
    if (j >= keys) return;
    map[i * maps.side + j] = !c.dropout ? dot : isKept(QueryMask(c, h, i), j) ? c.keepScale * dot : 0.0f;
  });
}

}  // namespace

template <class T>
void plainForward(CudaDevice& device, const AttentionCall& c, const AttentionForward& a) {
  LXMERT_LAUNCH((plainForwardKernel<T>), dim3(c.blocks + kClearingBlocks), dim3(kThreads), Shared::bytes(c),
                device.stream(), c, a.qkv.as<T>(), a.context.as<T>(), a.logSumExp.data, mapsOf(a));
}

template <class T>
void plainBackward(CudaDevice& device, const AttentionCall& c, const AttentionBackward& a) {
  LXMERT_LAUNCH((plainBackwardKernel<T>), dim3(c.blocks + kClearingBlocks), dim3(kThreads), Shared::bytes(c),
                device.stream(), c, a.qkv.as<T>(), a.logSumExp.data, a.dContext.as<T>(), a.dQkv.as<T>());
}

template <class T>
void plainMapGradient(CudaDevice& device, const AttentionCall& c, const AttentionMapGradient& a) {
  const AttentionMaps maps{a.gradientsA.data, a.gradientsB.data, static_cast<int>(a.mapSide)};
  LXMERT_LAUNCH((plainMapGradientKernel<T>), dim3(c.blocks), dim3(kThreads), sizeof(float) * 32 * (c.headDim + 1),
                device.stream(), c, a.qkv.as<T>(), a.dContext.as<T>(), maps);
}

template void plainForward<float>(CudaDevice&, const AttentionCall&, const AttentionForward&);
template void plainForward<bf16>(CudaDevice&, const AttentionCall&, const AttentionForward&);
template void plainBackward<float>(CudaDevice&, const AttentionCall&, const AttentionBackward&);
template void plainBackward<bf16>(CudaDevice&, const AttentionCall&, const AttentionBackward&);
template void plainMapGradient<float>(CudaDevice&, const AttentionCall&, const AttentionMapGradient&);
template void plainMapGradient<bf16>(CudaDevice&, const AttentionCall&, const AttentionMapGradient&);

}  // namespace lxmert::cuda
