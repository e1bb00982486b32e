// to[i] = table[indices[i]], converted from float16 to float32 or bfloat16. An index outside the table gives a row of
// zeros.
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "cuda/rows.cuh"
#include "engine/half.h"

namespace lxmert::cuda {

namespace {

template <int V>
__device__ __forceinline__ void fromHalves(const Packed<uint16_t, V>& packed, float (&x)[V]) {
  if constexpr (V == 1) {
    x[0] = floatOfHalf(packed.value);
  } else {
#pragma unroll
    for (int i = 0; i < V / 2; ++i) {
      x[2 * i] = floatOfHalf(static_cast<uint16_t>(packed.word[i] & 0xFFFFu));
      x[2 * i + 1] = floatOfHalf(static_cast<uint16_t>(packed.word[i] >> 16));
    }
  }
}

// One warp works on one row. Indices of the table's elements have 64 bits, because the table may have more than 2^31
// elements.
template <class T, int V>
__global__ void __launch_bounds__(kRowThreads) gatherFeaturesKernel(const GatherFeatures a) {
  warpRows(a.rows, [&](int64_t row, bool active) {
    const int64_t index = active ? a.indices.data[row] : -1;
    const bool inside = index >= 0 && index < a.tableRows;
    const uint16_t* from = a.table.data + (inside ? index * a.width : 0);
    T* to = at<T>(a.to, row * a.width);
    Packed<uint16_t, V> halves[kVectorsAtOnce];
    const auto load = [&](int i, int64_t c) {
      if (inside) halves[i] = loadPacked<V>(from + c);
    };
    eachVector<V>(laneOf(), kLanes, 0, a.width, load, [&](int i, int64_t c) {
      float x[V] = {};
      if (inside) fromHalves(halves[i], x);
      store<V>(to + c, x);
    });
  });
}

}  // namespace

void gatherFeatures(Device& device, const GatherFeatures& a) {
  withType(a.to.dtype, [&](auto t) {
    using T = decltype(t);
    const unsigned blocks = rowBlocks(a.rows.capacity);
    const cudaStream_t stream = cudaOf(device).stream();
    if (aligned<kWide<T>>(a.width, {a.table.data, a.to.data}))
      LXMERT_LAUNCH((gatherFeaturesKernel<T, kWide<T>>), blocks, kRowThreads, 0, stream, a);
    else
      LXMERT_LAUNCH((gatherFeaturesKernel<T, 1>), blocks, kRowThreads, 0, stream, a);
  });
}

}  // namespace lxmert::cuda
