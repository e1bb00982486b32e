// Dropout masks. A mask has the value 0 or 1 / (1 - p) for each column of a row. Each value is computed from its own
// random word of the Philox generator, which depends on the seed, the step, the op instance, the sample, the row in the
// sample and the column. So the mask does not depend on the place of the row in memory, or on how the rows are divided
// among threads.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/philox_lanes.h"
#include "engine/ops.h"

namespace lxmert::cpu {

// The number of columns whose mask is computed at a time.
constexpr int64_t kMaskColumns = 4 * kPhiloxLanes;

constexpr int64_t maskSize(int64_t columns) { return (columns + kMaskColumns - 1) / kMaskColumns * kMaskColumns; }

// Writes mask[0 … maskSize(columns)) for columns first … first + columns; `first` must be a multiple of 4.
inline void dropoutMask(const Dropout& dropout, int64_t row, int64_t first, int64_t columns, float* mask) {
  typedef uint32_t Words __attribute__((vector_size(sizeof(PhiloxWords))));
  const uint32_t threshold = dropoutThreshold(dropout.p);
  const float scale = 1.0f / (1.0f - dropout.p);
  uint32_t scaleBits;
  std::memcpy(&scaleBits, &scale, sizeof(scale));
  const auto sample = static_cast<uint32_t>(dropout.rowIds[2 * row]);
  const auto rowInSample = static_cast<uint32_t>(dropout.rowIds[2 * row + 1]);
  const uint32_t instance = dropout.instance, seed = dropout.record->seed, step = dropout.record->step;
  for (int64_t c = 0; c < columns; c += kMaskColumns) {
    const PhiloxBlock block =
        philoxLanes(static_cast<uint32_t>((first + c) / 4), rowInSample, sample, instance, seed, step);
    for (int half = 0; half < 2; ++half) {
      // A vector comparison gives a word of one bits for true and 0 for false, so `&` gives the scale or 0.
      const auto kept =
          reinterpret_cast<Words>(reinterpret_cast<Words>(block.half[half]) >= threshold) & (Words{} + scaleBits);
      std::memcpy(mask + c + half * kMaskColumns / 2, &kept, sizeof(kept));
    }
  }
}

}  // namespace lxmert::cpu
