// Adds each row to the row of a table that its key names. Keys may repeat. The sums use no atomic operations, so
// repeated calls give the same bits.
#pragma once

#include "cuda/device.h"
#include "engine/ops.h"

namespace lxmert::cuda {

// The key of row i is data[i · stride]. A row whose key lies outside [first, end) is not added.
struct RowKeys {
  Rows rows;
  const int32_t* data;
  int stride;
  int64_t first, end;
};

// table[key of i] += from[i] for every active row i. from [R, width] and table [end, width] are of one type, float or
// bf16.
template <class T>
void addRows(CudaDevice& device, const RowKeys& keys, const T* from, T* table, int64_t width);

}  // namespace lxmert::cuda
