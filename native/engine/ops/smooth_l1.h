#pragma once

#include "engine/arg_reader.h"

namespace lxmert {

// Smooth L1 (beta 1) of prediction - target: the mean over the width, summed over rows into tally[0]. Backward
// overwrites the prediction with its gradient.
struct SmoothL1Forward {
  Rows rows;
  int64_t width;
  Values prediction;
  Floats target, rowLoss, tally;

  static SmoothL1Forward read(ArgReader& r) {
    SmoothL1Forward a{};
    a.rows = r.rows();
    a.width = r.dim("width");
    a.prediction = r.values("prediction", a.rows.capacity * a.width);
    a.target = r.tensor<float>("target", a.rows.capacity * a.width);
    a.rowLoss = r.tensor<float>("rowLoss", a.rows.capacity);
    a.tally = r.tensor<float>("tally", 4);
    return a;
  }
};

struct SmoothL1Backward {
  Rows rows;
  int64_t width;
  int64_t slot;
  Values prediction;
  Floats target;

  static SmoothL1Backward read(ArgReader& r) {
    SmoothL1Backward a{};
    a.rows = r.rows();
    a.width = r.dim("width");
    a.slot = r.integer("slot", 0, kLossSlots - 1);
    if (!a.rows.record) r.fail("record", "is missing");
    a.prediction = r.values("prediction", a.rows.capacity * a.width);
    a.target = r.tensor<float>("target", a.rows.capacity * a.width);
    return a;
  }
};

}  // namespace lxmert
