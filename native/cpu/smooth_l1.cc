// loss = Σ_rows mean_c h(d), d = prediction - target, h(d) = d² / 2 where |d| < 1, else |d| - 1/2.
//
// Backward, in place: the prediction becomes scale · clamp(d, -1, 1) / width.
#include <cmath>

#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace lxmert::cpu {

void smoothL1Forward(Device&, const SmoothL1Forward& a) {
  parallelRows(a.rows, a.width * 2, [&](int64_t row) {
    const float *p = a.prediction.data + row * a.width, *t = a.target.data + row * a.width;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < a.width; ++c) {
      const float d = std::fabs(p[c] - t[c]);
      sum += d < 1.0f ? 0.5f * d * d : d - 0.5f;
    }
    a.rowLoss[row] = sum / static_cast<float>(a.width);
  });
  zeroInactive(a.rows, a.rowLoss.data, 1);

  const Segments segments = a.rows.active();
  double loss = 0;
  for (int64_t i = 0, n = activeCount(segments); i < n; ++i) loss += a.rowLoss[activeRow(segments, i)];
  a.tally[0] += static_cast<float>(loss);
}

void smoothL1Backward(Device&, const SmoothL1Backward& a) {
  const float scale = a.rows.record->lossScale[a.slot] / static_cast<float>(a.width);
  parallelRows(a.rows, a.width * 2, [&](int64_t row) {
    float* p = a.prediction.data + row * a.width;
    const float* t = a.target.data + row * a.width;
#pragma omp simd
    for (int64_t c = 0; c < a.width; ++c) {
      float d = p[c] - t[c];
      d = d < -1.0f ? -1.0f : d;
      d = d > 1.0f ? 1.0f : d;
      p[c] = scale * d;
    }
  });
  zeroInactive(a.rows, a.prediction.data, a.width);
}

}  // namespace lxmert::cpu
