// Sums a loss over its rows and adds the sums to its tally. The order of the additions is fixed.
#pragma once

#include "cuda/device.h"
#include "engine/ops.h"

namespace lxmert::cuda {

// The values that a loss has computed for each row, [R] each. Pointers that a loss does not need are null.
struct LossRows {
  Rows rows;
  const float* rowLoss;  // 0 in rows that do not count
      // For a classification with one label for each row: the arg-maxes and the labels. A label outside [0, classes)
      // means that the row has no label.
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
