// to[i] = table[indices[i]], float16 made float32 or bfloat16; an index outside of the table gives zeros.
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "cuda/rows.cuh"
#include "engine/half.h"

namespace lxmert::cuda {

namespace {

template <int V>
__device__ __forceinline__ void loadHalves(const uint16_t* p, float (&x)[V]) {
  const Packed<uint16_t, V> packed = loadPacked<V>(p);
#pragma unroll
  for (int i = 0; i < V / 2; ++i) {
    x[2 * i] = floatOfHalf(static_cast<uint16_t>(packed.word[i] & 0xFFFFu));
    x[2 * i + 1] = floatOfHalf(static_cast<uint16_t>(packed.word[i] >> 16));
  }
}
__device__ __forceinline__ void loadHalves(const uint16_t* p, float (&x)[1]) { x[0] = floatOfHalf(*p); }

// A warp a row. Places in the table are 64-bit numbers: it may have more than 2^31 elements.
template <class T, int V>
__global__ void __launch_bounds__(kRowThreads) gatherFeaturesKernel(const GatherFeatures a) {
  warpRows(a.rows, [&](int64_t row, bool active) {
    const int64_t index = active ? a.indices.data[row] : -1;
    const bool inside = index >= 0 && index < a.tableRows;
    const uint16_t* from = a.table.data + (inside ? index * a.width : 0);
    T* to = at<T>(a.to, row * a.width);
#pragma unroll 2
    for (int64_t c = laneOf() * V; c < a.width; c += kLanes * V) {
      float x[V] = {};
      if (inside) loadHalves(from + c, x);
      store<V>(to + c, x);
    }
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
