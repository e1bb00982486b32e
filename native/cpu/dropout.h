// Dropout masks: 0 or 1 / (1 - p) for each column of a row. The element at (sample, row in sample, column) of an op
// instance is kept or dropped by one word of Philox, wherever and in however many parts the row is computed.
#pragma once

#include <cstdint>

#include "engine/ops.h"

namespace lxmert::cpu {

// mask[0 … round up(columns, 4)) for columns first … first + columns; `first` is a multiple of 4.
inline void dropoutMask(const Dropout& dropout, int64_t row, int64_t first, int64_t columns, float* mask) {
  const uint32_t threshold = dropoutThreshold(dropout.p);
  const float scale = 1.0f / (1.0f - dropout.p);
  const auto sample = static_cast<uint32_t>(dropout.rowIds[2 * row]);
  const auto rowInSample = static_cast<uint32_t>(dropout.rowIds[2 * row + 1]);
  const uint32_t instance = dropout.instance, seed = dropout.record->seed, step = dropout.record->step;
  const auto firstGroup = static_cast<uint32_t>(first / 4);
  const auto groups = static_cast<uint32_t>((columns + 3) / 4);
#pragma omp simd
  for (uint32_t g = 0; g < groups; ++g) {
    const Philox4 r = philox(firstGroup + g, rowInSample, sample, instance, seed, step);
    mask[4 * g] = r.v[0] >= threshold ? scale : 0.0f;
    mask[4 * g + 1] = r.v[1] >= threshold ? scale : 0.0f;
    mask[4 * g + 2] = r.v[2] >= threshold ? scale : 0.0f;
    mask[4 * g + 3] = r.v[3] >= threshold ? scale : 0.0f;
  }
}

}  // namespace lxmert::cpu
