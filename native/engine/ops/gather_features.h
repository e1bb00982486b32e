#pragma once

#include "engine/arg_reader.h"

namespace lxmert {

// to[i] = table[indices[i]], converted to the type of `to`; `rows` are the rows of `to`. An index outside the table's
// `tableRows` gives a row of zeros. Masked objects have such an index. There is no backward, because features are not
// trained.
struct GatherFeatures {
  Rows rows;
  int64_t width, tableRows;
  Ints indices;
  Halves table;
  Values to;

  static GatherFeatures read(ArgReader& r) {
    GatherFeatures a{};
    a.rows = r.rows();
    a.width = r.dim("width");
    a.tableRows = r.dim("tableRows");
    a.indices = r.tensor<int32_t>("indices", a.rows.capacity);
    a.table = r.halves("table", a.tableRows * a.width);
    a.to = r.values("to", a.rows.capacity * a.width);
    return a;
  }
};

}  // namespace lxmert
