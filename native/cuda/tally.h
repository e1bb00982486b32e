// The sums of a loss over its rows, added to its tally in one fixed order.
#pragma once

#include "cuda/device.h"
#include "engine/ops.h"

namespace lxmert::cuda {

// What a loss computed for each row, [R] each. Pointers that a loss does not need are null.
struct LossRows {
  Rows rows;
  const float* rowLoss;  // 0 in rows that do not count
      // For a classification with one label a row (outside [0, classes): none): the arg-maxes and the labels.
  const int32_t* predictions = nullptr;
  const int32_t* labels = nullptr;
  int64_t classes = 0;
  // For a classification with scores: the score of each arg-max, 0 in inactive rows. Each active row counts as
  // labelled.
  const float* rowScore = nullptr;

  static LossRows scored(const Rows& rows, const float* rowLoss, const float* rowScore) {
    return {rows, rowLoss, nullptr, nullptr, 0, rowScore};
  }
};

// tally[0] += Σ rowLoss. With labels: tally[1] += right predictions, tally[2] += rows with a label. With scores:
// tally[1] += Σ rowScore, tally[2] += active rows.
void addToTally(CudaDevice& device, const LossRows& loss, float* tally);

}  // namespace lxmert::cuda
