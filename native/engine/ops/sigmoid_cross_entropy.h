#pragma once

#include "engine/arg_reader.h"

namespace lxmert {

// Targets t [R, C] in [0, 1] of a classification with several right answers. All targets except a few entries of each
// row are zero, so they are stored as compressed sparse rows: row r has the entries offsets[r] to offsets[r + 1]. Each
// entry has a class and a score. An entry whose class lies outside [0, C) is ignored. The scores of two entries with
// the same class are added. Offsets are cut to [0, entries], so that no offset points outside the lists.
struct SoftTargets {
  Ints offsets;  // [R + 1]
  int64_t entries;
  Ints ids;       // [entries]
  Floats scores;  // [entries]

  static SoftTargets read(ArgReader& r, const Rows& rows) {
    SoftTargets t{};
    t.entries = r.dim("entries");
    t.offsets = r.tensor<int32_t>("targetOffsets", rows.capacity + 1);
    t.ids = r.tensor<int32_t>("targetIds", t.entries);
    t.scores = r.tensor<float>("targetScores", t.entries);
    return t;
  }

  // The entries of a row.
  LXMERT_HOST_DEVICE Segment of(int64_t row) const {
    const int64_t begin = Rows::clamp(offsets.data[row], entries), end = Rows::clamp(offsets.data[row + 1], entries);
    return {begin, end < begin ? begin : end};
  }
};

// Binary cross-entropy of sigmoid(logits) [R, C] with the targets, summed over classes and rows. A row of logits has
// `width` columns; the columns after the C classes are not read. Every active row counts, even a row without a target.
// Adds to tally[0..2]: Σ loss, Σ target of the arg-max class (VQA's score of the given answer), and the number of rows.
// predictions [R] are the arg-maxes, and rowScore [R] are the targets of these classes.
struct SigmoidCrossEntropyForward {
  Rows rows;
  int64_t classes, width;
  Values logits;
  SoftTargets targets;
  Ints predictions;
  Floats rowScore, rowLoss, tally;

  static SigmoidCrossEntropyForward read(ArgReader& r) {
    SigmoidCrossEntropyForward a{};
    a.rows = r.rows();
    a.classes = r.dim("classes");
    a.width = r.dim("width");
    if (a.width < a.classes) r.fail("width", "is less than the number of classes");
    a.logits = r.values("logits", a.rows.capacity * a.width);
    a.targets = SoftTargets::read(r, a.rows);
    a.predictions = r.tensor<int32_t>("predictions", a.rows.capacity);
    a.rowScore = r.tensor<float>("rowScore", a.rows.capacity);
    a.rowLoss = r.tensor<float>("rowLoss", a.rows.capacity);
    a.tally = r.tensor<float>("tally", 4);
    return a;
  }
};

// Overwrites the logits with their gradient: lossScale[slot] × (sigmoid - target), and zeros in the columns after the
// classes.
struct SigmoidCrossEntropyBackward {
  Rows rows;
  int64_t classes, width;
  int64_t slot;
  Values logits;
  SoftTargets targets;

  static SigmoidCrossEntropyBackward read(ArgReader& r) {
    SigmoidCrossEntropyBackward a{};
    a.rows = r.rows();
    a.classes = r.dim("classes");
    a.width = r.dim("width");
    if (a.width < a.classes) r.fail("width", "is less than the number of classes");
    a.slot = r.integer("slot", 0, kLossSlots - 1);
    if (!a.rows.record) r.fail("record", "is missing");
    a.logits = r.values("logits", a.rows.capacity * a.width);
    a.targets = SoftTargets::read(r, a.rows);
    return a;
  }
};

}  // namespace lxmert
