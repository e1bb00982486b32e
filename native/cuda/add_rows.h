// Rows added to the rows of a table that keys name, where keys repeat: no atomics, and the same bits each time.
#pragma once

#include "cuda/device.h"
#include "engine/ops.h"

namespace lxmert::cuda {

// The key of row i is data[i · stride]; a key outside [first, end) names nothing.
struct RowKeys {
  Rows rows;
  const int32_t* data;
  int stride;
  int64_t first, end;
};

// table[key of i] += from[i] for every active row i. from [R, width], table [end, width]; instantiated for float and bf16,
// both of one type.
template <class T>
void addRows(CudaDevice& device, const RowKeys& keys, const T* from, T* table, int64_t width);

}  // namespace lxmert::cuda
