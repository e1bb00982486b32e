// z = residual + dropout(y); out = (z - μ) / σ · γ + β, with σ² the biased variance plus epsilon.
//
// Backward, with x̂ = (z - μ) / σ and g = dOut γ: dz = (g - mean(g) - x̂ mean(g x̂)) / σ, dγ = Σ dOut x̂, dβ = Σ dOut.
// The residual gets dz, and y gets dz through the same dropout mask.
#include "cpu/layer_norm.h"

#include "cpu/dropout.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace lxmert::cpu {

void layerNormForward(Device&, const LayerNormForward& a) {
  const int64_t width = a.width;
  parallelFor(activeCount(a.rows.active()), 1 + 8192 / width, [&](int64_t begin, int64_t end) {
    std::vector<float> mask(a.dropout.p > 0 ? maskSize(width) : 0);
    const Segments segments = a.rows.active();
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = activeRow(segments, i);
      float* z = a.z.data + row * width;
      if (a.dropout.p > 0) {
        dropoutMask(a.dropout, row, 0, width, mask.data());
#pragma omp simd
        for (int64_t c = 0; c < width; ++c) z[c] *= mask[c];
      }
      if (a.residual) {
        const float* residual = a.residual.data + row * width;
#pragma omp simd
        for (int64_t c = 0; c < width; ++c) z[c] += residual[c];
      }
      const Moments m = momentsOf(z, width, a.epsilon);
      a.stats[2 * row] = m.mean;
      a.stats[2 * row + 1] = m.inverseDeviation;
      float* out = a.out.data + row * width;
#pragma omp simd
      for (int64_t c = 0; c < width; ++c)
        out[c] = (z[c] - m.mean) * m.inverseDeviation * a.gamma.data[c] + a.beta.data[c];
    }
  });
  zeroInactive(a.rows, a.z.data, width);
  zeroInactive(a.rows, a.out.data, width);
  zeroInactive(a.rows, a.stats.data, 2);
}

void layerNormBackward(Device&, const LayerNormBackward& a) {
  const int64_t width = a.width;
  ColumnSums sums(2 * width);
  parallelFor(activeCount(a.rows.active()), 1 + 8192 / width, [&](int64_t begin, int64_t end) {
    std::vector<float> mask(a.dropout.p > 0 ? maskSize(width) : 0), dz(width);
    float *dGamma = sums.mine(), *dBeta = dGamma + width;
    const Segments segments = a.rows.active();
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = activeRow(segments, i);
      layerNormGradient({a.z.data + row * width, a.stats[2 * row], a.stats[2 * row + 1], a.dOut.data + row * width,
                         a.gamma.data, width},
                        dz.data(), dGamma, dBeta);
      if (a.dResidual) {
        float* dResidual = a.dResidual.data + row * width;
        if (a.accumulateResidual) {
#pragma omp simd
          for (int64_t c = 0; c < width; ++c) dResidual[c] += dz[c];
        } else {
          std::memcpy(dResidual, dz.data(), width * sizeof(float));
        }
      }
      float* dy = a.dy.data + row * width;
      if (a.dropout.p > 0) {
        dropoutMask(a.dropout, row, 0, width, mask.data());
#pragma omp simd
        for (int64_t c = 0; c < width; ++c) dy[c] = dz[c] * mask[c];
      } else {
        std::memcpy(dy, dz.data(), width * sizeof(float));
      }
    }
  });
  if (a.dResidual && !a.accumulateResidual) zeroInactive(a.rows, a.dResidual.data, width);
  zeroInactive(a.rows, a.dy.data, width);
  sums.into(a.dGamma.data, 0, width, a.accumulateParameters);
  sums.into(a.dBeta.data, width, width, a.accumulateParameters);
}

}  // namespace lxmert::cpu
