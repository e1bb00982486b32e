// The numbers of a step that change from batch to batch. They are in device memory, where kernels read them, so no
// launch depends on them. Therefore a recorded sequence of launches can be used for every batch that fits into its row
// capacities. src/engine/stepRecord.ts writes the same layout.
#pragma once

#include <cstdint>

#include "engine/philox.h"

namespace lxmert {

constexpr int kLossSlots = 8;

struct StepRecord {
  uint32_t step;  // key of the dropout, together with the seed
  uint32_t seed;
  float learningRate;
  int32_t samples;
  int32_t languageRows;
  int32_t visionRows;
  int32_t maskedTokens;
  int32_t maskedObjects;
  float lossScale[kLossSlots];  // d total / d (sum of one loss): weight of the loss / its count in the global batch
};
static_assert(sizeof(StepRecord) == 16 * 4, "src/engine/stepRecord.ts writes 16 words");

// A set of rows. Its kind determines which count of the step record is the number of active rows. `Stacked` has
// language rows from row 0 on and vision rows from row `split` on.
enum class RowSet : int32_t { All, Samples, Language, Vision, Stacked, MaskedTokens, MaskedObjects, Count };

struct Segment {
  int64_t begin, end;
};

struct Segments {
  Segment part[2];
  int count;
};

struct Rows {
  const StepRecord* record;
  RowSet set;
  int64_t capacity;
  int64_t split;  // Stacked: first vision row; else 0

  LXMERT_HOST_DEVICE static int64_t clamp(int64_t n, int64_t limit) { return n < 0 ? 0 : n > limit ? limit : n; }

  // The active rows. They never exceed the capacity, whatever the record contains.
  LXMERT_HOST_DEVICE Segments active() const {
    switch (set) {
      case RowSet::Samples:
        return one(record->samples);
      case RowSet::Language:
        return one(record->languageRows);
      case RowSet::Vision:
        return one(record->visionRows);
      case RowSet::MaskedTokens:
        return one(record->maskedTokens);
      case RowSet::MaskedObjects:
        return one(record->maskedObjects);
      case RowSet::Stacked:
        return {{{0, clamp(record->languageRows, split)}, {split, split + clamp(record->visionRows, capacity - split)}},
                2};
      default:
        return one(capacity);
    }
  }

  LXMERT_HOST_DEVICE bool isActive(int64_t row) const {
    const Segments s = active();
    for (int i = 0; i < s.count; ++i)
      if (row >= s.part[i].begin && row < s.part[i].end) return true;
    return false;
  }

 private:
  LXMERT_HOST_DEVICE Segments one(int64_t n) const { return {{{0, clamp(n, capacity)}, {0, 0}}, 1}; }
};

}  // namespace lxmert
