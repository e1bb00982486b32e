#pragma once

#include "engine/arg_reader.h"

namespace lxmert {

// Dropout of one op instance. The row ids give (global sample, row in the sample) of each row. The mask depends only on
// these ids, the column, the instance, the step and the seed.
struct Dropout {
  float p;
  uint32_t instance;
  Ints rowIds;  // [R, 2]
  const StepRecord* record;

  static Dropout read(ArgReader& r, const Rows& rows) {
    Dropout d{};
    d.p = r.probability("dropout");
    d.instance = r.word("instance");
    d.rowIds = r.optional<int32_t>("rowIds", rows.capacity * 2);
    d.record = rows.record;
    if (d.p > 0 && (!d.rowIds || !d.record)) r.fail("rowIds", "and a step record are needed for dropout");
    return d;
  }
};

}  // namespace lxmert
