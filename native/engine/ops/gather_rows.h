#pragma once

#include "engine/arg_reader.h"

namespace lxmert {

// Forward: to[i] = from[indices[i]]. Backward: from[indices[i]] += to[i]. `rows` are the rows of `to`. For an index
// outside `fromRows`, forward writes a row of zeros and backward adds nothing.
struct GatherRows {
  Rows rows;
  int64_t width, fromRows;
  Ints indices;
  Values from, to;

  static GatherRows read(ArgReader& r) {
    GatherRows a{};
    a.rows = r.rows();
    a.width = r.dim("width");
    a.fromRows = r.dim("fromRows");
    a.indices = r.tensor<int32_t>("indices", a.rows.capacity);
    a.from = r.values("from", a.fromRows * a.width);
    a.to = r.values("to", a.rows.capacity * a.width);
    return a;
  }
};

}  // namespace lxmert
