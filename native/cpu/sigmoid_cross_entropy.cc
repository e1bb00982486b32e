// loss = Σ_rows Σ_c h(l_c, t_c), with targets t_c in [0, 1] and
//   h(l, t) = -t log σ(l) - (1 - t) log(1 - σ(l)) = |l| (1 - t) + log(1 + e) where l ≥ 0, else |l| t + log(1 + e),
// e = exp(-|l|). No term is negative, so nothing cancels, and e never overflows.
//
// Backward, in place: l_c becomes scale · (σ(l_c) - t_c); inactive rows and the columns after the classes become zeros.
// With q = e / (1 + e): σ(l) - t = (1 - t) - q where l ≥ 0, else q - t.
#include <algorithm>
#include <limits>

#include "cpu/kernels.h"
#include "cpu/math.h"
#include "cpu/parallel.h"

namespace lxmert::cpu {

namespace {

// Classes whose targets are unpacked at a time; they stay in the first-level cache.
constexpr int64_t kBlock = 256;

// Calls body(first, count, t) for blocks of the classes; t [count] are the targets of the classes from `first` on.
template <class Body>
void eachBlock(const SoftTargets& targets, int64_t row, int64_t classes, Body&& body) {
  const Segment entries = targets.of(row);
  float t[kBlock];
  for (int64_t first = 0; first < classes; first += kBlock) {
    const int64_t count = std::min(kBlock, classes - first);
    std::fill_n(t, count, 0.0f);
    for (int64_t i = entries.begin; i < entries.end; ++i) {
      const int64_t c = targets.ids[i] - first;
      if (c >= 0 && c < count) t[c] += targets.scores[i];
    }
    body(first, count, t);
  }
}

}  // namespace

void sigmoidCrossEntropyForward(Device&, const SigmoidCrossEntropyForward& a) {
  parallelRows(a.rows, a.classes * 8, [&](int64_t row) {
    const float* logits = a.logits.data + row * a.width;
    float loss = 0, largest = -std::numeric_limits<float>::infinity(), score = 0;
    int64_t prediction = -1;  // keeps this value if every logit is NaN
    eachBlock(a.targets, row, a.classes, [&](int64_t first, int64_t count, const float* t) {
      const float* l = logits + first;
      float sum = 0, top = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(+ : sum) reduction(max : top)
      for (int64_t c = 0; c < count; ++c) {
        const float size = l[c] < 0 ? -l[c] : l[c];
        sum += size * (l[c] >= 0 ? 1.0f - t[c] : t[c]) + log1p(exp(-size));
        top = l[c] > top ? l[c] : top;
      }
      loss += sum;
      if (prediction >= 0 && !(top > largest)) return;
      const int64_t place = std::find(l, l + count, top) - l;
      if (place < count) largest = top, score = t[place], prediction = first + place;
    });
    a.predictions[row] = static_cast<int32_t>(prediction);
    a.rowScore[row] = score;
    a.rowLoss[row] = loss;
  });
  zeroInactive(a.rows, a.predictions.data, 1);
  zeroInactive(a.rows, a.rowScore.data, 1);
  zeroInactive(a.rows, a.rowLoss.data, 1);

  const Segments segments = a.rows.active();
  const int64_t rows = activeCount(segments);
  double loss = 0, score = 0;
  for (int64_t i = 0; i < rows; ++i) {
    loss += a.rowLoss[activeRow(segments, i)];
    score += a.rowScore[activeRow(segments, i)];
  }
  a.tally[0] += static_cast<float>(loss);
  a.tally[1] += static_cast<float>(score);
  a.tally[2] += static_cast<float>(rows);
}

void sigmoidCrossEntropyBackward(Device&, const SigmoidCrossEntropyBackward& a) {
  const float scale = a.rows.record->lossScale[a.slot];
  parallelRows(a.rows, a.classes * 4, [&](int64_t row) {
    float* logits = a.logits.data + row * a.width;
    eachBlock(a.targets, row, a.classes, [&](int64_t first, int64_t count, const float* t) {
      float* l = logits + first;
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) {
        const float e = exp(l[c] < 0 ? l[c] : -l[c]), q = e / (1.0f + e);
        l[c] = scale * (l[c] >= 0 ? (1.0f - t[c]) - q : q - t[c]);
      }
    });
    std::memset(logits + a.classes, 0, (a.width - a.classes) * sizeof(float));
  });
  zeroInactive(a.rows, a.logits.data, a.width);
}

}  // namespace lxmert::cpu
