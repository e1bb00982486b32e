// Sums over rows into columns: partial sums of blocks of rows, added up in the order of the blocks.
#pragma once

#include <initializer_list>

#include "cuda/device.h"

namespace lxmert::cuda {

// Blocks that make partial sums, at most: three for each multiprocessor of a large device, all that layer norm's backward
// leaves registers for. What more blocks write is read again for nothing.
constexpr int64_t kMostPartials = 384;

struct ColumnTarget {
  float* data;
  int64_t first, count;  // columns of the partial sums
};

// target (+)= Σ over blocks of its columns of partial [blocks, columns]; at most 6 targets.
void sumPartials(CudaDevice& device, const float* partial, int64_t blocks, int64_t columns,
                 std::initializer_list<ColumnTarget> targets, bool accumulate);

// target [columns] (+)= Σ over rows of values [rows, columns].
void sumColumns(CudaDevice& device, const Values& values, int64_t rows, int64_t columns, bool accumulate,
                float* target);

}  // namespace lxmert::cuda
