// loss = Σ_rows mean_c h(d), d = prediction - target, h(d) = d² / 2 where |d| < 1, else |d| - 1/2.
//
// Backward, in place: the prediction becomes scale · clamp(d, -1, 1) / width.
#include "cuda/kernels.h"
#include "cuda/rows.cuh"
#include "cuda/tally.h"

namespace lxmert::cuda {

namespace {

// The number of columns that a thread processes at a time: 16 bytes of the target. With 8 columns, each thread would
// access every sector of the target twice.
constexpr int kColumns = kWide<float>;

// One block works on one row.
template <class T, int V>
__global__ void __launch_bounds__(kRowThreads) smoothL1ForwardKernel(const SmoothL1Forward a) {
  LXMERT_SHARED(float, shared);
  blockRows(a.rows, [&](int64_t row, bool active) {
    float sum = 0;
    if (active) {
      const T* prediction = at<T>(a.prediction, row * a.width);
      const float* target = a.target.data + row * a.width;
#pragma unroll 2
      for (int64_t c = threadIdx.x * V; c < a.width; c += kRowThreads * V) {
        float p[V], t[V];
        load<V>(prediction + c, p);
        load<V>(target + c, t);
#pragma unroll
        for (int i = 0; i < V; ++i) {
          const float d = fabsf(p[i] - t[i]);
          sum += d < 1.0f ? 0.5f * d * d : d - 0.5f;
        }
      }
    }
    sum = blockSum(sum, shared);
    if (threadIdx.x == 0) a.rowLoss.data[row] = sum / static_cast<float>(a.width);
    __syncthreads();
  });
}

template <class T, int V>
__global__ void __launch_bounds__(kRowThreads) smoothL1BackwardKernel(const SmoothL1Backward a) {
  const float scale = a.rows.record->lossScale[a.slot] / static_cast<float>(a.width);
  blockRows(a.rows, [&](int64_t row, bool active) {
    T* prediction = at<T>(a.prediction, row * a.width);
    const float* target = a.target.data + row * a.width;
    Packed<T, V> predictions[kVectorsAtOnce];
    Packed<float, V> targets[kVectorsAtOnce];
    const auto load = [&](int i, int64_t c) {
      if (active) predictions[i] = loadPacked<V>(prediction + c), targets[i] = loadPacked<V>(target + c);
    };
    eachVector<V>(static_cast<int>(threadIdx.x), kRowThreads, 0, a.width, load, [&](int i, int64_t c) {
      float p[V] = {}, t[V];
      if (active) {
        unpack(predictions[i], p);
        unpack(targets[i], t);
#pragma unroll
        for (int j = 0; j < V; ++j) {
          float d = p[j] - t[j];  // NaN stays NaN
          d = d < -1.0f ? -1.0f : d;
          d = d > 1.0f ? 1.0f : d;
          p[j] = scale * d;
        }
      }
      store<V>(prediction + c, p);
    });
  });
}

}  // namespace

void smoothL1Forward(Device& device, const SmoothL1Forward& a) {
  CudaDevice& cuda = cudaOf(device);
  withType(a.prediction.dtype, [&](auto t) {
    using T = decltype(t);
    const unsigned blocks = rowBlocks(a.rows.capacity, 1);
    const size_t shared = kRowWarps * sizeof(float);
    if (aligned<kColumns>(a.width, {a.prediction.data, a.target.data}))
      LXMERT_LAUNCH((smoothL1ForwardKernel<T, kColumns>), blocks, kRowThreads, shared, cuda.stream(), a);
    else
      LXMERT_LAUNCH((smoothL1ForwardKernel<T, 1>), blocks, kRowThreads, shared, cuda.stream(), a);
  });
  addToTally(cuda, {a.rows, a.rowLoss.data}, a.tally.data);
}

void smoothL1Backward(Device& device, const SmoothL1Backward& a) {
  withType(a.prediction.dtype, [&](auto t) {
    using T = decltype(t);
    const unsigned blocks = rowBlocks(a.rows.capacity, 1);
    const cudaStream_t stream = cudaOf(device).stream();
    if (aligned<kColumns>(a.width, {a.prediction.data, a.target.data}))
      LXMERT_LAUNCH((smoothL1BackwardKernel<T, kColumns>), blocks, kRowThreads, 0, stream, a);
    else
      LXMERT_LAUNCH((smoothL1BackwardKernel<T, 1>), blocks, kRowThreads, 0, stream, a);
  });
}

}  // namespace lxmert::cuda
