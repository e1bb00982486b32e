// out = dropout((LN_f(x) + LN_b(W_b box + b_b)) / 2), where x = W_f feature + b_f comes from the op `linear`.
//
// Backward: each layer norm gets half of the gradient. The projection of the box is computed again;
// dW_b = Σ_rows d(projection) box^T, db_b = Σ_rows d(projection).
#include "cpu/dropout.h"
#include "cpu/kernels.h"
#include "cpu/layer_norm.h"
#include "cpu/parallel.h"

namespace lxmert::cpu {

namespace {

void projectBox(const ObjectEmbeddingShape& s, int64_t row, float* projected) {
  const float* box = s.boxes.data + 4 * row;
  for (int64_t c = 0; c < s.width; ++c) {
    const float* w = s.boxWeight.data + 4 * c;
    projected[c] = s.boxBias.data[c] + w[0] * box[0] + w[1] * box[1] + w[2] * box[2] + w[3] * box[3];
  }
}

}  // namespace

void objectEmbeddingForward(Device&, const ObjectEmbeddingForward& a) {
  const ObjectEmbeddingShape& s = a.shape;
  const Segments segments = s.rows.active();
  parallelFor(activeCount(segments), 1 + 4096 / s.width, [&](int64_t begin, int64_t end) {
    std::vector<float> box(s.width), mask(maskSize(s.width), 1.0f);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = activeRow(segments, i);
      const float* x = s.x.data + row * s.width;
      projectBox(s, row, box.data());
      const Moments f = momentsOf(x, s.width, a.epsilon), b = momentsOf(box.data(), s.width, a.epsilon);
      float* stats = a.stats.data + 4 * row;
      stats[0] = f.mean, stats[1] = f.inverseDeviation, stats[2] = b.mean, stats[3] = b.inverseDeviation;
      if (s.dropout.p > 0) dropoutMask(s.dropout, row, 0, s.width, mask.data());
      float* out = a.out.data + row * s.width;
#pragma omp simd
      for (int64_t c = 0; c < s.width; ++c) {
        const float feature = (x[c] - f.mean) * f.inverseDeviation * s.featureGamma.data[c] + a.featureBeta.data[c];
        const float place = (box[c] - b.mean) * b.inverseDeviation * s.boxGamma.data[c] + a.boxBeta.data[c];
        out[c] = mask[c] * 0.5f * (feature + place);
      }
    }
  });
  zeroInactive(s.rows, a.out.data, s.width);
  zeroInactive(s.rows, a.stats.data, 4);
}

void objectEmbeddingBackward(Device&, const ObjectEmbeddingBackward& a) {
  const ObjectEmbeddingShape& s = a.shape;
  const Segments segments = s.rows.active();
  const int64_t w = s.width;
  // The partial sums of a thread are in one row: dγ_f, dβ_f, dγ_b, dβ_b, db_b, dW_b.
  ColumnSums sums(9 * w);
  parallelFor(activeCount(segments), 1 + 4096 / w, [&](int64_t begin, int64_t end) {
    std::vector<float> projected(w), half(w), mask(maskSize(w), 1.0f), dBox(w);
    float* sum = sums.mine();
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = activeRow(segments, i);
      const float* stats = a.stats.data + 4 * row;
      if (s.dropout.p > 0) dropoutMask(s.dropout, row, 0, w, mask.data());
#pragma omp simd
      for (int64_t c = 0; c < w; ++c) half[c] = 0.5f * mask[c] * a.dOut[row * w + c];
      layerNormGradient({s.x.data + row * w, stats[0], stats[1], half.data(), s.featureGamma.data, w},
                        a.dx.data + row * w, sum, sum + w);
      projectBox(s, row, projected.data());
      layerNormGradient({projected.data(), stats[2], stats[3], half.data(), s.boxGamma.data, w}, dBox.data(),
                        sum + 2 * w, sum + 3 * w);
      const float* box = s.boxes.data + 4 * row;
      for (int64_t c = 0; c < w; ++c) {
        sum[4 * w + c] += dBox[c];
        for (int64_t k = 0; k < 4; ++k) sum[5 * w + 4 * c + k] += dBox[c] * box[k];
      }
    }
  });
  zeroInactive(s.rows, a.dx.data, w);
  float* const targets[] = {a.dFeatureGamma.data, a.dFeatureBeta.data, a.dBoxGamma.data, a.dBoxBeta.data,
                            a.dBoxBias.data};
  for (int64_t t = 0; t < 5; ++t) sums.into(targets[t], t * w, w, a.accumulateParameters);
  sums.into(a.dBoxWeight.data, 5 * w, 4 * w, a.accumulateParameters);
}

}  // namespace lxmert::cpu
