// to[i] = from[indices[i]]. Backward: from[indices[i]] += to[i].
#include "cuda/add_rows.h"
#include "cuda/kernels.h"
#include "cuda/rows.cuh"

namespace lxmert::cuda {

namespace {

// One warp copies one row of `words`, bit by bit.
template <class Word>
__global__ void __launch_bounds__(kRowThreads) gatherRowsKernel(const GatherRows a, int64_t words) {
  warpRows(a.rows, [&](int64_t row, bool active) {
    const int64_t index = active ? a.indices.data[row] : -1;
    const bool inside = index >= 0 && index < a.fromRows;
    const Word* from = at<Word>(a.from, inside ? index * words : 0);
    Word* to = at<Word>(a.to, row * words);
#pragma unroll 4
    for (int64_t i = laneOf(); i < words; i += kLanes) to[i] = inside ? from[i] : Word{};
  });
}

}  // namespace

void gatherRowsForward(Device& device, const GatherRows& a) {
  const unsigned blocks = rowBlocks(a.rows.capacity);
  const cudaStream_t stream = cudaOf(device).stream();
  const int64_t bytes = a.width * bytesOf(a.from.dtype);
  if (aligned<16>(bytes, {a.from.data, a.to.data}))
    LXMERT_LAUNCH(gatherRowsKernel<uint4>, blocks, kRowThreads, 0, stream, a, bytes / 16);
  else if (a.from.dtype == DType::F32)
    LXMERT_LAUNCH(gatherRowsKernel<uint32_t>, blocks, kRowThreads, 0, stream, a, a.width);
  else
    LXMERT_LAUNCH(gatherRowsKernel<uint16_t>, blocks, kRowThreads, 0, stream, a, a.width);
}

void gatherRowsBackward(Device& device, const GatherRows& a) {
  withType(a.from.dtype, [&](auto t) {
    using T = decltype(t);
    const RowKeys keys{a.rows, a.indices.data, 1, 0, a.fromRows};
    addRows<T>(cudaOf(device), keys, a.to.as<T>(), a.from.as<T>(), a.width);
  });
}

}  // namespace lxmert::cuda
