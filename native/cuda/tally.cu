// tally[0] += Σ_rows loss, tally[1] += Σ_rows score, tally[2] += number of labelled rows; score: [arg-max = label], or
// the soft score of the arg-max. One block adds all rows in double precision, in a fixed order.
#include "cuda/tally.h"

#include "cuda/rows.cuh"

namespace lxmert::cuda {

namespace {

constexpr int kThreads = 1024;  // of the one block: each thread takes one row of 1,024 rows at a time
constexpr int kSums = 3;

__global__ void __launch_bounds__(kThreads) addToTallyKernel(const LossRows loss, float* tally) {
  LXMERT_SHARED(double, shared);
  const ActiveRows active(loss.rows);
  double sums[kSums] = {};
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
  blockSumsDouble(sums, shared);
  if (threadIdx.x != 0) return;
  for (int i = 0; i < (loss.labels || loss.rowScore ? kSums : 1); ++i) tally[i] += static_cast<float>(sums[i]);
}

}  // namespace

void addToTally(CudaDevice& device, const LossRows& loss, float* tally) {
  LXMERT_LAUNCH(addToTallyKernel, 1, kThreads, kSums * kThreads * sizeof(double), device.stream(), loss, tally);
}

}  // namespace lxmert::cuda
