// BertAdam over chunks of the arenas (all tensors at once): no bias correction, decoupled weight decay on everything.
//
//   g ← g · min(1, maxNorm / (norm + 1e-6)),  m ← β1 m + (1 - β1) g,  v ← β2 v + (1 - β2) g²
//   w ← w - lr (m / (√v + ε) + decay · w),  and the bf16 copy of w, if there is one
//
// norm[1] is not 0 if the norm of the gradient or the sum of a loss is not finite. In this case the update changes
// nothing. The update moves 28 bytes for each parameter, or 30 bytes with the copy.
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "cuda/reduce.cuh"
#include "cuda/vectors.cuh"

namespace lxmert::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kPartsOfChunk = 4;  // blocks among which adamUpdate divides a chunk
constexpr int kNormThreads = 512;

struct Chunk {
  int64_t begin, end;
};

// Chunk i of the list, which has (begin, length) for each chunk. The chunk is cut at the end of the arena.
__device__ __forceinline__ Chunk chunkAt(const Ints& chunks, int64_t i, int64_t size) {
  const int64_t begin = Rows::clamp(chunks.data[2 * i], size);
  return {begin, begin + Rows::clamp(chunks.data[2 * i + 1], size - begin)};
}

// The difference is NaN if the value is NaN or infinite.
__device__ __forceinline__ bool isFinite(float x) { return x - x == 0; }

__device__ __forceinline__ bool isAligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

template <int V>
__device__ __forceinline__ float squares(const float* g, int64_t begin, int64_t end) {
  float sum = 0;
#pragma unroll 4
  for (int64_t j = begin + threadIdx.x * V; j < end; j += kNormThreads * V) {
    float x[V];
    load<V>(g + j, x);
#pragma unroll
    for (int i = 0; i < V; ++i) sum += x[i] * x[i];
  }
  return sum;
}

// One block sums one chunk: partial[i] = Σ g².
__global__ void __launch_bounds__(kNormThreads) chunkNormKernel(const GradNorm a) {
  LXMERT_SHARED(float, shared);
  const Chunk chunk = chunkAt(a.chunks, blockIdx.x, a.gradients.size);
  const float* g = a.gradients.data;
  const int64_t wide = isAligned(g + chunk.begin) ? (chunk.end - chunk.begin) / 4 * 4 : 0;
  float sum = squares<4>(g, chunk.begin, chunk.begin + wide);
  sum += squares<1>(g, chunk.begin + wide, chunk.end);
  sum = blockSum(sum, shared);
  if (threadIdx.x == 0) a.partial.data[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kNormThreads) normKernel(const GradNorm a) {
  LXMERT_SHARED(double, shared);
  double sum = 0, broken = 0;
  for (int64_t i = threadIdx.x; i < a.chunkCount; i += kNormThreads) sum += a.partial.data[i];
  for (int64_t i = threadIdx.x; i < a.sumCount; i += kNormThreads) broken += isFinite(a.sums.data[i]) ? 0 : 1;
  sum = blockSumDouble(sum, shared);
  __syncthreads();
  broken = blockSumDouble(broken, shared);
  if (threadIdx.x != 0) return;
  const auto norm = static_cast<float>(sqrt(sum));
  a.norm.data[0] = norm;
  a.norm.data[1] = isFinite(norm) && broken == 0 ? 0.0f : 1.0f;
}

// The host computes these numbers in double precision, because many devices have few units for double precision.
struct Decay {
  float beta1, beta2, rest1, rest2;

  explicit Decay(const AdamUpdate& a)
      : beta1(static_cast<float>(a.beta1)),
        beta2(static_cast<float>(a.beta2)),
        rest1(static_cast<float>(1.0 - a.beta1)),
        rest2(static_cast<float>(1.0 - a.beta2)) {}
};

// The numbers of one step, the same in every thread.
struct Step : Decay {
  float clip, rate;

  __device__ Step(const AdamUpdate& a, const Decay& decay)
      : Decay(decay),
        clip(a.maxNorm > 0 ? fminf(1.0f, a.maxNorm / (a.norm.data[0] + 1e-6f)) : 1.0f),
        rate(a.record->learningRate) {}
};

// Updates the parameters of [begin, end) that belong to this thread.
template <int V>
__device__ __forceinline__ void update(const AdamUpdate& a, const Step& s, bf16* copy, int64_t begin, int64_t end) {
  const int64_t first = begin + (static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x) * V;
  for (int64_t j = first; j < end; j += static_cast<int64_t>(kThreads) * kPartsOfChunk * V) {
    float g[V], m[V], v[V], w[V];
    load<V>(a.gradients.data + j, g);
    load<V>(a.firstMoment.data + j, m);
    load<V>(a.secondMoment.data + j, v);
    load<V>(a.parameters.data + j, w);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const float gradient = g[i] * s.clip;
      m[i] = s.beta1 * m[i] + s.rest1 * gradient;
      v[i] = s.beta2 * v[i] + s.rest2 * gradient * gradient;
      w[i] -= s.rate * (m[i] / (sqrtf(v[i]) + a.epsilon) + a.weightDecay * w[i]);
    }
    store<V>(a.firstMoment.data + j, m);
    store<V>(a.secondMoment.data + j, v);
    store<V>(a.parameters.data + j, w);
    if (copy) store<V>(copy + j, w);
  }
}

__global__ void __launch_bounds__(kThreads) adamUpdateKernel(const AdamUpdate a, const Decay decay, bf16* copy) {
  if (a.norm.data[1] != 0.0f) return;
  const Step step(a, decay);
  const Chunk chunk = chunkAt(a.chunks, blockIdx.x, a.parameters.size);
  const int64_t at = chunk.begin;
  const bool wide = isAligned(a.parameters.data + at) && isAligned(a.gradients.data + at) &&
                    isAligned(a.firstMoment.data + at) && isAligned(a.secondMoment.data + at);
  const int64_t middle = wide ? at + (chunk.end - at) / 4 * 4 : at;
  update<4>(a, step, copy, at, middle);
  update<1>(a, step, copy, middle, chunk.end);
}

}  // namespace

void gradNorm(Device& device, const GradNorm& a) {
  const cudaStream_t stream = cudaOf(device).stream();
  const size_t shared = kNormThreads / kLanes * sizeof(float);
  LXMERT_LAUNCH(chunkNormKernel, static_cast<unsigned>(a.chunkCount), kNormThreads, shared, stream, a);
  LXMERT_LAUNCH(normKernel, 1, kNormThreads, kNormThreads * sizeof(double), stream, a);
}

void CudaDevice::finishNorm(Span<const float> squares, Span<const float> sums, float* norm) {
  GradNorm a{};
  a.chunkCount = squares.size;
  a.sumCount = sums.size;
  a.partial = {const_cast<float*>(squares.data), squares.size};
  a.sums = {const_cast<float*>(sums.data), sums.size};
  a.norm = {norm, 2};
  LXMERT_LAUNCH(normKernel, 1, kNormThreads, kNormThreads * sizeof(double), stream(), a);
}

void adamUpdate(Device& device, const AdamUpdate& a) {
  CudaDevice& cuda = cudaOf(device);
  const dim3 grid(static_cast<unsigned>(a.chunkCount), kPartsOfChunk);
  LXMERT_LAUNCH(adamUpdateKernel, grid, kThreads, 0, cuda.stream(), a, Decay(a), cuda.shadow(a.parameters.data));
}

}  // namespace lxmert::cuda
