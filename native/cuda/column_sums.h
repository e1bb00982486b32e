// Sums over rows for each column: partial sums of blocks of rows, added in the order of the blocks.
#pragma once

#include <initializer_list>

#include "cuda/device.h"

namespace lxmert::cuda {

// The maximum number of blocks that compute partial sums: three for each multiprocessor of a large device, because the
// registers of a multiprocessor are enough for three blocks of layer norm's backward. More blocks would only write more
// partial sums, which must be read again.
constexpr int64_t kMostPartials = 384;

struct ColumnTarget {
  float* data;
  int64_t first, count;  // the columns of the partial sums that belong to this target
};

// target (=, +=) Σ over blocks of its columns of partial [blocks, columns], for at most 6 targets.
void sumPartials(CudaDevice& device, const float* partial, int64_t blocks, int64_t columns,
                 std::initializer_list<ColumnTarget> targets, bool accumulate);

// target [columns] (=, +=) Σ over rows of values [rows, columns].
void sumColumns(CudaDevice& device, const Values& values, int64_t rows, int64_t columns, bool accumulate,
                float* target);

}  // namespace lxmert::cuda
