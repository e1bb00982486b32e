#include "cuda/tally.h"

#include "cuda/rows.cuh"

namespace lxmert::cuda {

namespace {

constexpr int kThreads = 512;

__global__ void __launch_bounds__(kThreads) addToTallyKernel(const LossRows loss, float* tally) {
  LXMERT_SHARED(double, shared);
  const ActiveRows active(loss.rows);
  double sums[3] = {};
  for (int64_t row = threadIdx.x; row < loss.rows.capacity; row += kThreads) {
    sums[0] += loss.rowLoss[row];
    if (loss.rowScore) {
      sums[1] += loss.rowScore[row];
      sums[2] += active.has(row);
      continue;
    }
    if (!loss.labels || !active.has(row)) continue;
    const int32_t label = loss.labels[row];
    if (label < 0 || label >= loss.classes) continue;
    sums[1] += loss.predictions[row] == label;
    sums[2] += 1;
  }
  const bool classified = loss.labels || loss.rowScore;
  for (int i = 0; i < (classified ? 3 : 1); ++i) {
    const double sum = blockSumDouble(sums[i], shared);
    if (threadIdx.x == 0) tally[i] += static_cast<float>(sum);
    __syncthreads();
  }
}

}  // namespace

void addToTally(CudaDevice& device, const LossRows& loss, float* tally) {
  LXMERT_LAUNCH(addToTallyKernel, 1, kThreads, kThreads * sizeof(double), device.stream(), loss, tally);
}

}  // namespace lxmert::cuda
