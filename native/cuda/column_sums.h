// Sums over rows for each column: partial sums of blocks of rows, added in the order of the blocks.
#pragma once

#include <initializer_list>

#include "cuda/device.h"

namespace lxmert::cuda {

// The most blocks that make partial sums: three for each multiprocessor of a large device, for which layer norm's
// backward leaves registers. More blocks would write more partial sums to be read again, and gain nothing.
constexpr int64_t kMostPartials = 384;

struct ColumnTarget {
  float* data;
  int64_t first, count;  // columns of the partial sums
};

// target (=, +=) Σ over blocks of its columns of partial [blocks, columns], for at most 6 targets.
void sumPartials(CudaDevice& device, const float* partial, int64_t blocks, int64_t columns,
                 std::initializer_list<ColumnTarget> targets, bool accumulate);

// target [columns] (=, +=) Σ over rows of values [rows, columns].
void sumColumns(CudaDevice& device, const Values& values, int64_t rows, int64_t columns, bool accumulate,
                float* target);

}  // namespace lxmert::cuda
