// to[i] = table[indices[i]], converted from float16 to float32. An index outside the table gives a row of zeros.
#include <cstring>

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/widen_halves.h"

namespace lxmert::cpu {

void gatherFeatures(Device&, const GatherFeatures& a) {
  parallelRows(a.rows, a.width, [&](int64_t row) {
    const int64_t index = a.indices[row];
    float* to = a.to.data + row * a.width;
    if (index >= 0 && index < a.tableRows)
      widenHalves(a.table.data + index * a.width, to, a.width);
    else
      std::memset(to, 0, a.width * sizeof(float));
  });
  zeroInactive(a.rows, a.to.data, a.width);
}

}  // namespace lxmert::cpu
