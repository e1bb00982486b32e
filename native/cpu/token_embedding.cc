// out = dropout(LN(word[id] + position[p] + type[0])).
//
// Backward: the gradient of the sum of embeddings is computed through dropout and layer norm (the sum itself is
// computed again) and added to the rows of the tables. Row 0 of a table is the original's padding index, so nothing is
// added to it. Each thread works on its own columns, so equal ids do not conflict.
#include "cpu/dropout.h"
#include "cpu/kernels.h"
#include "cpu/layer_norm.h"
#include "cpu/parallel.h"

namespace lxmert::cpu {

namespace {

int64_t within(int64_t i, int64_t n) { return i < 0 || i >= n ? 0 : i; }

int64_t positionOf(const TokenEmbeddingShape& s, int64_t row) { return within(s.rowIds[2 * row + 1], s.positions); }

void lookUp(const TokenEmbeddingShape& s, int64_t row, float* sum) {
  const float* word = s.word.data + within(s.ids[row], s.vocabSize) * s.width;
  const float* position = s.position.data + positionOf(s, row) * s.width;
#pragma omp simd
  for (int64_t c = 0; c < s.width; ++c) sum[c] = word[c] + position[c] + s.type.data[c];
}

}  // namespace

void tokenEmbeddingForward(Device&, const TokenEmbeddingForward& a) {
  const TokenEmbeddingShape& s = a.shape;
  const Segments segments = s.rows.active();
  parallelFor(activeCount(segments), 1 + 8192 / s.width, [&](int64_t begin, int64_t end) {
    std::vector<float> sum(s.width), mask(maskSize(s.width), 1.0f);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = activeRow(segments, i);
      lookUp(s, row, sum.data());
      const Moments m = momentsOf(sum.data(), s.width, a.epsilon);
      a.stats[2 * row] = m.mean;
      a.stats[2 * row + 1] = m.inverseDeviation;
      if (s.dropout.p > 0) dropoutMask(s.dropout, row, 0, s.width, mask.data());
      float* out = a.out.data + row * s.width;
#pragma omp simd
      for (int64_t c = 0; c < s.width; ++c)
        out[c] = mask[c] * ((sum[c] - m.mean) * m.inverseDeviation * s.gamma.data[c] + a.beta.data[c]);
    }
  });
  zeroInactive(s.rows, a.out.data, s.width);
  zeroInactive(s.rows, a.stats.data, 2);
}

void tokenEmbeddingBackward(Device&, const TokenEmbeddingBackward& a) {
  const TokenEmbeddingShape& s = a.shape;
  const Segments segments = s.rows.active();
  ColumnSums sums(2 * s.width);
  parallelFor(activeCount(segments), 1 + 8192 / s.width, [&](int64_t begin, int64_t end) {
    std::vector<float> sum(s.width), dOut(s.width), mask(maskSize(s.width), 1.0f);
    float *dGamma = sums.mine(), *dBeta = dGamma + s.width;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = activeRow(segments, i);
      lookUp(s, row, sum.data());
      if (s.dropout.p > 0) dropoutMask(s.dropout, row, 0, s.width, mask.data());
#pragma omp simd
      for (int64_t c = 0; c < s.width; ++c) dOut[c] = a.dOut[row * s.width + c] * mask[c];
      layerNormGradient({sum.data(), a.stats[2 * row], a.stats[2 * row + 1], dOut.data(), s.gamma.data, s.width},
                        a.scratch.data + row * s.width, dGamma, dBeta);
    }
  });
  sums.into(a.dGamma.data, 0, s.width, a.accumulateParameters);
  sums.into(a.dBeta.data, s.width, s.width, a.accumulateParameters);

  const int64_t rows = activeCount(segments);
  parallelFor(s.width, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = activeRow(segments, i);
      const float* dz = a.scratch.data + row * s.width;
      const auto addTo = [&](float* table, int64_t index) {
        if (index == 0) return;
        float* target = table + index * s.width;
#pragma omp simd
        for (int64_t c = begin; c < end; ++c) target[c] += dz[c];
      };
      addTo(a.dWord.data, within(s.ids[row], s.vocabSize));
      addTo(a.dPosition.data, positionOf(s, row));
    }
  });
}

}  // namespace lxmert::cpu
