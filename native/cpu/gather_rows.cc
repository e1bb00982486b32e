// to[i] = from[indices[i]]. Backward: from[indices[i]] += to[i].
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace lxmert::cpu {

void gatherRowsForward(Device&, const GatherRows& a) {
  parallelRows(a.rows, a.width, [&](int64_t row) {
    const int64_t index = a.indices[row];
    float* to = a.to.data + row * a.width;
    if (index >= 0 && index < a.fromRows)
      std::memcpy(to, a.from.data + index * a.width, a.width * sizeof(float));
    else
      std::memset(to, 0, a.width * sizeof(float));
  });
  zeroInactive(a.rows, a.to.data, a.width);
}

// Each thread works on its own columns, so two rows with the same index do not conflict.
void gatherRowsBackward(Device&, const GatherRows& a) {
  const Segments segments = a.rows.active();
  const int64_t rows = activeCount(segments);
  parallelFor(a.width, 1 + 16384 / (rows + 1), [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = activeRow(segments, i), index = a.indices[row];
      if (index < 0 || index >= a.fromRows) continue;
      const float* to = a.to.data + row * a.width;
      float* from = a.from.data + index * a.width;
#pragma omp simd
      for (int64_t c = begin; c < end; ++c) from[c] += to[c];
    }
  });
}

}  // namespace lxmert::cpu
