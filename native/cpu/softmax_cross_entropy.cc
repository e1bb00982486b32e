// loss = Σ_rows w (log Σ_c exp(l_c) - l_label) over rows whose label is a class.
//
// Backward, in place: l_c becomes scale · w · (exp(l_c - logSumExp) - [c = label]). Rows without a label, inactive rows
// and the columns after the classes become zeros.
#include <cmath>

#include "cpu/kernels.h"
#include "cpu/math.h"
#include "cpu/parallel.h"

namespace lxmert::cpu {

namespace {

float logSumExpOf(const float* l, int64_t n, float largest) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < n; ++c) sum += exp(l[c] - largest);
  return largest + std::log(sum);
}

int32_t argMax(const float* l, int64_t n, float largest) {
  for (int64_t c = 0; c < n; ++c)
    if (l[c] == largest) return static_cast<int32_t>(c);
  return -1;  // every logit is NaN
}

}  // namespace

void softmaxCrossEntropyForward(Device&, const SoftmaxCrossEntropyForward& a) {
  parallelRows(a.rows, a.classes * 4, [&](int64_t row) {
    const float* l = a.logits.data + row * a.width;
    float largest = l[0];
#pragma omp simd reduction(max : largest)
    for (int64_t c = 0; c < a.classes; ++c) largest = l[c] > largest ? l[c] : largest;
    const int64_t label = a.labels[row];
    const float logSumExp = logSumExpOf(l, a.classes, largest);
    a.logSumExp[row] = logSumExp;
    a.predictions[row] = argMax(l, a.classes, largest);
    const bool labelled = label >= 0 && label < a.classes;
    a.rowLoss[row] = labelled ? (a.weights ? a.weights[row] : 1.0f) * (logSumExp - l[label]) : 0.0f;
  });
  zeroInactive(a.rows, a.logSumExp.data, 1);
  zeroInactive(a.rows, a.predictions.data, 1);
  zeroInactive(a.rows, a.rowLoss.data, 1);

  const Segments segments = a.rows.active();
  double loss = 0, correct = 0, labelled = 0;
  for (int64_t i = 0, n = activeCount(segments); i < n; ++i) {
    const int64_t row = activeRow(segments, i), label = a.labels[row];
    if (label < 0 || label >= a.classes) continue;
    loss += a.rowLoss[row];
    correct += a.predictions[row] == label;
    labelled += 1;
  }
  a.tally[0] += static_cast<float>(loss);
  a.tally[1] += static_cast<float>(correct);
  a.tally[2] += static_cast<float>(labelled);
}

void softmaxCrossEntropyBackward(Device&, const SoftmaxCrossEntropyBackward& a) {
  const float lossScale = a.rows.record->lossScale[a.slot];
  parallelRows(a.rows, a.classes * 4, [&](int64_t row) {
    float* l = a.logits.data + row * a.width;
    const int64_t label = a.labels[row];
    if (label < 0 || label >= a.classes) {
      std::memset(l, 0, a.width * sizeof(float));
      return;
    }
    const float scale = lossScale * (a.weights ? a.weights[row] : 1.0f), logSumExp = a.logSumExp[row];
#pragma omp simd
    for (int64_t c = 0; c < a.classes; ++c) l[c] = scale * exp(l[c] - logSumExp);
    l[label] -= scale;
    std::memset(l + a.classes, 0, (a.width - a.classes) * sizeof(float));
  });
  zeroInactive(a.rows, a.logits.data, a.width);
}

}  // namespace lxmert::cpu
