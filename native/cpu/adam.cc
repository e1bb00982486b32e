// BertAdam over chunks of the arenas (all tensors at once): no bias correction, decoupled weight decay on everything.
//
//   g ← g · min(1, maxNorm / (norm + 1e-6)),  m ← β1 m + (1 - β1) g,  v ← β2 v + (1 - β2) g²
//   w ← w - lr (m / (√v + ε) + decay · w)
//
// norm[1] is not 0 if the norm of the gradient or the sum of a loss is not finite. In this case the update changes
// nothing.
#include <algorithm>
#include <cmath>

#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace lxmert::cpu {

namespace {

// Chunk i of [begin, length], cut to the size of the arena.
Range chunkAt(const Ints& chunks, int64_t i, int64_t size) {
  const int64_t begin = Rows::clamp(chunks[2 * i], size);
  return {begin, begin + Rows::clamp(chunks[2 * i + 1], size - begin)};
}

}  // namespace

void gradNorm(Device&, const GradNorm& a) {
  parallelFor(a.chunkCount, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Range chunk = chunkAt(a.chunks, i, a.gradients.size);
      const float* g = a.gradients.data;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = chunk.begin; j < chunk.end; ++j) sum += g[j] * g[j];
      a.partial[i] = sum;
    }
  });
  gradNormOf({a.partial.data, a.chunkCount}, {a.sums.data, a.sumCount}, a.norm.data);
}

void adamUpdate(Device&, const AdamUpdate& a) {
  if (a.norm[1] != 0.0f) return;
  const float clip = a.maxNorm > 0 ? std::min(1.0f, a.maxNorm / (a.norm[0] + 1e-6f)) : 1.0f;
  const float rate = a.record->learningRate;
  const auto beta1 = static_cast<float>(a.beta1), beta2 = static_cast<float>(a.beta2);
  const auto rest1 = static_cast<float>(1.0 - a.beta1), rest2 = static_cast<float>(1.0 - a.beta2);
  parallelFor(a.chunkCount, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Range chunk = chunkAt(a.chunks, i, a.parameters.size);
      float *w = a.parameters.data, *m = a.firstMoment.data, *v = a.secondMoment.data;
      const float* gradients = a.gradients.data;
#pragma omp simd
      for (int64_t j = chunk.begin; j < chunk.end; ++j) {
        const float g = gradients[j] * clip;
        const float first = beta1 * m[j] + rest1 * g;
        const float second = beta2 * v[j] + rest2 * g * g;
        m[j] = first;
        v[j] = second;
        w[j] -= rate * (first / (std::sqrt(second) + a.epsilon) + a.weightDecay * w[j]);
      }
    }
  });
}

}  // namespace lxmert::cpu
