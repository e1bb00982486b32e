// The sums of a loss over its rows, added to its tally in one order.
#pragma once

#include "cuda/device.h"
#include "engine/ops.h"

namespace lxmert::cuda {

struct LossRows {
  Rows rows;
  const float* rowLoss;  // 0 in rows that do not count
  // Of classifications: [R] each, and where a class ends. Else null.
  const int32_t* predictions = nullptr;
  const int32_t* labels = nullptr;
  int64_t classes = 0;
};

// tally[0] += Σ rowLoss and, of classifications, tally[1] += right predictions, tally[2] += rows with a label.
void addToTally(CudaDevice& device, const LossRows& loss, float* tally);

}  // namespace lxmert::cuda
