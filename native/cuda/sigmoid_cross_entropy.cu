// loss = Σ_rows Σ_c h(l_c, t_c), with targets t_c in [0, 1] and
//   h(l, t) = -t log σ(l) - (1 - t) log(1 - σ(l)) = |l| (1 - t) + log(1 + e) where l ≥ 0, else |l| t + log(1 + e),
// e = exp(-|l|). No term is negative, so nothing cancels, and e never overflows.
//
// Backward, in place: l_c becomes scale · (σ(l_c) - t_c); inactive rows and the columns after the classes become zeros.
// With q = e / (1 + e): σ(l) - t = (1 - t) - q where l ≥ 0, else q - t.
//
// One block works on one row and reads the logits once. A row has few targets (VQA: ten at most), so each thread
// compares the class of every target with its own classes. All threads read the same target at the same time.
#include "cuda/class_rows.cuh"
#include "cuda/kernels.h"
#include "cuda/tally.h"

namespace lxmert::cuda {

namespace {

// t[i] = target of class c + i.
template <int V>
__device__ __forceinline__ void targetsAt(const SoftTargets& targets, const Segment& entries, int c, float (&t)[V]) {
#pragma unroll
  for (int i = 0; i < V; ++i) t[i] = 0;
  for (int64_t entry = entries.begin; entry < entries.end; ++entry) {
    const int64_t place = int64_t{targets.ids.data[entry]} - c;
    if (place < 0 || place >= V) continue;
    const float score = targets.scores.data[entry];
#pragma unroll
    for (int i = 0; i < V; ++i) t[i] += i == place ? score : 0.0f;
  }
}

// For a part of a row: Σ h, the largest logit, the first class that has it (-1 if every logit is NaN), and the target
// of that class.
struct RowPart {
  float loss = 0, largest = -INFINITY, score = 0;
  int place = -1;

  __device__ __forceinline__ void add(const RowPart& other) {
    loss += other.loss;
    const bool theirs =
        other.place >= 0 && (place < 0 || other.largest > largest || (other.largest == largest && other.place < place));
    if (theirs) largest = other.largest, score = other.score, place = other.place;
  }
};

// Every lane gets the result for its warp.
__device__ __forceinline__ void addWarp(RowPart& part) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    RowPart other;
    other.loss = __shfl_xor_sync(kAllLanes, part.loss, distance);
    other.largest = __shfl_xor_sync(kAllLanes, part.largest, distance);
    other.score = __shfl_xor_sync(kAllLanes, part.score, distance);
    other.place = __shfl_xor_sync(kAllLanes, part.place, distance);
    part.add(other);
  }
}

template <class T>
__global__ void __launch_bounds__(kMostClassThreads)
    sigmoidCrossEntropyForwardKernel(const SigmoidCrossEntropyForward a) {
  LXMERT_SHARED(RowPart, warps);
  const int classes = static_cast<int>(a.classes);
  blockRows(a.rows, [&](int64_t row, bool active) {
    if (!active) {
      if (threadIdx.x == 0) a.predictions.data[row] = 0, a.rowScore.data[row] = 0, a.rowLoss.data[row] = 0;
      return;
    }
    const Segment entries = a.targets.of(row);
    RowPart part;
    eachClass(at<T>(a.logits, row * a.width), classes, [&]<int V>(int c, const float(&l)[V]) {
      float t[V];
      targetsAt(a.targets, entries, c, t);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float size = fabsf(l[i]);
        part.loss += size * (l[i] >= 0 ? 1.0f - t[i] : t[i]) + log1pf(__expf(-size));
        if (l[i] > part.largest || (part.place < 0 && l[i] == part.largest))
          part.largest = l[i], part.score = t[i], part.place = c + i;
      }
    });
    addWarp(part);
    if (laneOf() == 0) warps[threadIdx.x / kLanes] = part;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (unsigned w = 1; w < blockDim.x / kLanes; ++w) part.add(warps[w]);
      a.predictions.data[row] = part.place;
      a.rowScore.data[row] = part.score;
      a.rowLoss.data[row] = part.loss;
    }
    __syncthreads();
  });
}

template <class T>
__global__ void __launch_bounds__(kMostClassThreads)
    sigmoidCrossEntropyBackwardKernel(const SigmoidCrossEntropyBackward a) {
  const int classes = static_cast<int>(a.classes), width = static_cast<int>(a.width);
  const float scale = a.rows.record->lossScale[a.slot];
  blockRows(a.rows, [&](int64_t row, bool active) {
    T* logits = at<T>(a.logits, row * a.width);
    for (int c = classes + static_cast<int>(threadIdx.x); c < width; c += static_cast<int>(blockDim.x))
      logits[c] = fromFloat<T>(0.0f);
    const Segment entries = active ? a.targets.of(row) : Segment{0, 0};
    eachClass(logits, classes, [&]<int V>(int c, const float(&l)[V]) {
      float d[V] = {};
      if (active) {
        float t[V];
        targetsAt(a.targets, entries, c, t);
#pragma unroll
        for (int i = 0; i < V; ++i) {
          const float e = __expf(-fabsf(l[i])), q = __fdividef(e, 1.0f + e);
          d[i] = scale * (l[i] >= 0 ? (1.0f - t[i]) - q : q - t[i]);
        }
      }
      store<V>(logits + c, d);
    });
  });
}

}  // namespace

void sigmoidCrossEntropyForward(Device& device, const SigmoidCrossEntropyForward& a) {
  CudaDevice& cuda = cudaOf(device);
  const int threads = classThreads(a.classes);
  withType(a.logits.dtype, [&](auto t) {
    LXMERT_LAUNCH(sigmoidCrossEntropyForwardKernel<decltype(t)>, rowBlocks(a.rows.capacity, 1), threads,
                  threads / kLanes * sizeof(RowPart), cuda.stream(), a);
  });
  addToTally(cuda, LossRows::scored(a.rows, a.rowLoss.data, a.rowScore.data), a.tally.data);
}

void sigmoidCrossEntropyBackward(Device& device, const SigmoidCrossEntropyBackward& a) {
  withType(a.logits.dtype, [&](auto t) {
    LXMERT_LAUNCH(sigmoidCrossEntropyBackwardKernel<decltype(t)>, rowBlocks(a.rows.capacity, 1),
                  classThreads(a.classes), 0, cudaOf(device).stream(), a);
  });
}

}  // namespace lxmert::cuda
