// loss = Σ_rows w (log Σ_c exp(l_c) - l_label) over rows whose label is a class.
//
// Backward, in place: l_c becomes scale · w · (exp(l_c - logSumExp) - [c = label]). Rows without a label, inactive rows
// and the columns after the classes become zeros.
//
// One block works on one row. It reads the logits once, and updates their maximum and the sum of exponentials while it
// reads. It never stores a probability.
#include "cuda/class_rows.cuh"
#include "cuda/kernels.h"
#include "cuda/tally.h"

namespace lxmert::cuda {

namespace {

// For a part of a row: its largest logit, the first class that has it (-1 if all logits are NaN), and
// Σ exp(l - largest).
struct Part {
  float largest = -INFINITY, sum = 0;
  int place = -1;

  // Adds logits whose classes are higher than those of all logits added before.
  template <int V>
  __device__ __forceinline__ void add(int c, const float (&l)[V]) {
    float top = l[0];
#pragma unroll
    for (int i = 1; i < V; ++i) top = l[i] > top || !(top == top) ? l[i] : top;
    if (top > largest || (place < 0 && top == largest)) {
      if (top > largest) sum *= __expf(largest - top);
      largest = top;
#pragma unroll
      for (int i = V - 1; i >= 0; --i) place = l[i] == top ? c + i : place;
    }
    // If all logits are -∞ the difference would be NaN.
    const float base = largest == -INFINITY ? 0.0f : largest;
#pragma unroll
    for (int i = 0; i < V; ++i) sum += __expf(l[i] - base);
  }

  __device__ __forceinline__ void add(const Part& other) {
    const float top = other.largest > largest ? other.largest : largest;
    const float base = top == -INFINITY ? 0.0f : top;
    sum = sum * __expf(largest - base) + other.sum * __expf(other.largest - base);
    const bool theirs =
        other.place >= 0 && (place < 0 || other.largest > largest || (other.largest == largest && other.place < place));
    place = theirs ? other.place : place;
    largest = top;
  }
};

// Every thread gets the result for its warp.
__device__ __forceinline__ void addWarp(Part& part) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    Part other;
    other.largest = __shfl_xor_sync(kAllLanes, part.largest, distance);
    other.sum = __shfl_xor_sync(kAllLanes, part.sum, distance);
    other.place = __shfl_xor_sync(kAllLanes, part.place, distance);
    part.add(other);
  }
}

template <class T>
__global__ void __launch_bounds__(kMostClassThreads)
    softmaxCrossEntropyForwardKernel(const SoftmaxCrossEntropyForward a) {
  LXMERT_SHARED(Part, warps);
  const int classes = static_cast<int>(a.classes);
  blockRows(a.rows, [&](int64_t row, bool active) {
    if (!active) {
      if (threadIdx.x == 0) a.logSumExp.data[row] = 0, a.predictions.data[row] = 0, a.rowLoss.data[row] = 0;
      return;
    }
    const T* logits = at<T>(a.logits, row * a.width);
    Part part;
    eachClass(logits, classes, [&]<int V>(int c, const float(&l)[V]) { part.add(c, l); });
    addWarp(part);
    if (laneOf() == 0) warps[threadIdx.x / kLanes] = part;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (unsigned w = 1; w < blockDim.x / kLanes; ++w) part.add(warps[w]);
      const int32_t label = a.labels.data[row];
      const float logSum = logf(part.sum);
      const float weight = a.weights.data ? a.weights.data[row] : 1.0f;
      const bool labelled = label >= 0 && label < classes;
      a.logSumExp.data[row] = part.largest + logSum;
      a.predictions.data[row] = part.place;
      // With this order of the terms, the loss is accurate even if the probability of the label is almost 1.
      a.rowLoss.data[row] = labelled ? weight * (part.largest - toFloat(logits[label]) + logSum) : 0.0f;
    }
    __syncthreads();
  });
}

template <class T>
__global__ void __launch_bounds__(kMostClassThreads)
    softmaxCrossEntropyBackwardKernel(const SoftmaxCrossEntropyBackward a) {
  const int classes = static_cast<int>(a.classes), width = static_cast<int>(a.width);
  const float lossScale = a.rows.record->lossScale[a.slot];
  blockRows(a.rows, [&](int64_t row, bool active) {
    T* logits = at<T>(a.logits, row * a.width);
    for (int c = classes + static_cast<int>(threadIdx.x); c < width; c += static_cast<int>(blockDim.x))
      logits[c] = fromFloat<T>(0.0f);
    const int32_t label = active ? a.labels.data[row] : -1;
    const bool labelled = label >= 0 && label < classes;
    const float scale = labelled ? lossScale * (a.weights.data ? a.weights.data[row] : 1.0f) : 0.0f;
    const float logSumExp = labelled ? a.logSumExp.data[row] : 0.0f;
    eachClass(logits, classes, [&]<int V>(int c, const float(&l)[V]) {
      float d[V] = {};
      if (labelled) {
#pragma unroll
        for (int i = 0; i < V; ++i) {
          d[i] = scale * __expf(l[i] - logSumExp);
          if (c + i == label) d[i] -= scale;
        }
      }
      store<V>(logits + c, d);
    });
  });
}

}  // namespace

void softmaxCrossEntropyForward(Device& device, const SoftmaxCrossEntropyForward& a) {
  CudaDevice& cuda = cudaOf(device);
  const int threads = classThreads(a.classes);
  withType(a.logits.dtype, [&](auto t) {
    LXMERT_LAUNCH(softmaxCrossEntropyForwardKernel<decltype(t)>, rowBlocks(a.rows.capacity, 1), threads,
                  threads / kLanes * sizeof(Part), cuda.stream(), a);
  });
  addToTally(cuda, {a.rows, a.rowLoss.data, a.predictions.data, a.labels.data, a.classes}, a.tally.data);
}

void softmaxCrossEntropyBackward(Device& device, const SoftmaxCrossEntropyBackward& a) {
  withType(a.logits.dtype, [&](auto t) {
    LXMERT_LAUNCH(softmaxCrossEntropyBackwardKernel<decltype(t)>, rowBlocks(a.rows.capacity, 1),
                  classThreads(a.classes), 0, cudaOf(device).stream(), a);
  });
}

}  // namespace lxmert::cuda
