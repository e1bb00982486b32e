#pragma once

#include "engine/arg_reader.h"

namespace lxmert {

// Cross-entropy of softmax(logits) [R, C] at labels [R], times weights [R] if weights are given. A label outside [0, C)
// means that the row has no label. A row of logits has `width` columns; the columns after the C classes are not read.
// Adds to tally[0..2]: Σ weight × loss, the number of right arg-maxes, and the number of labels. Keeps logSumExp [R]
// for backward; predictions [R] are the arg-maxes.
struct SoftmaxCrossEntropyForward {
  Rows rows;
  int64_t classes, width;
  Values logits;
  Floats weights;
  Ints labels;
  Floats logSumExp;
  Ints predictions;
  Floats rowLoss, tally;

  static SoftmaxCrossEntropyForward read(ArgReader& r) {
    SoftmaxCrossEntropyForward a{};
    a.rows = r.rows();
    a.classes = r.dim("classes");
    a.width = r.dim("width");
    if (a.width < a.classes) r.fail("width", "is less than the number of classes");
    a.logits = r.values("logits", a.rows.capacity * a.width);
    a.weights = r.optional<float>("weights", a.rows.capacity);
    a.labels = r.tensor<int32_t>("labels", a.rows.capacity);
    a.logSumExp = r.tensor<float>("logSumExp", a.rows.capacity);
    a.predictions = r.tensor<int32_t>("predictions", a.rows.capacity);
    a.rowLoss = r.tensor<float>("rowLoss", a.rows.capacity);
    a.tally = r.tensor<float>("tally", 4);
    return a;
  }
};

// Overwrites the logits with their gradient: lossScale[slot] × weight × (softmax - onehot), and zeros in the columns
// after the classes.
struct SoftmaxCrossEntropyBackward {
  Rows rows;
  int64_t classes, width;
  int64_t slot;
  Values logits;
  Floats weights;
  Ints labels;
  Floats logSumExp;

  static SoftmaxCrossEntropyBackward read(ArgReader& r) {
    SoftmaxCrossEntropyBackward a{};
    a.rows = r.rows();
    a.classes = r.dim("classes");
    a.width = r.dim("width");
    if (a.width < a.classes) r.fail("width", "is less than the number of classes");
    a.slot = r.integer("slot", 0, kLossSlots - 1);
    if (!a.rows.record) r.fail("record", "is missing");
    a.logits = r.values("logits", a.rows.capacity * a.width);
    a.weights = r.optional<float>("weights", a.rows.capacity);
    a.labels = r.tensor<int32_t>("labels", a.rows.capacity);
    a.logSumExp = r.tensor<float>("logSumExp", a.rows.capacity);
    return a;
  }
};

}  // namespace lxmert
