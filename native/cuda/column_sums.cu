#include "cuda/column_sums.h"

#include <algorithm>

#include "cuda/reduce.cuh"

namespace lxmert::cuda {

namespace {

constexpr int kTargets = 6, kGroups = 16;

struct Targets {
  ColumnTarget of[kTargets];
};

// A warp reads 32 neighbouring columns; the warps of a block share the partial sums of those, and are added up in order.
__global__ void __launch_bounds__(kLanes* kGroups)
    sumPartialsKernel(const float* partial, int64_t blocks, int64_t columns, const Targets targets, bool accumulate) {
  LXMERT_SHARED(float, sums);
  const ColumnTarget& target = targets.of[blockIdx.y];
  const int lane = laneOf(), group = static_cast<int>(threadIdx.x) / kLanes;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kLanes + lane;
  float sum = 0;
  if (column < target.count) {
    const float* from = partial + target.first + column;
#pragma unroll 4
    for (int64_t block = group; block < blocks; block += kGroups) sum += from[block * columns];
  }
  sums[group * kLanes + lane] = sum;
  __syncthreads();
  if (group != 0 || column >= target.count) return;
  float all = accumulate ? target.data[column] : 0.0f;
  for (int g = 0; g < kGroups; ++g) all += sums[g * kLanes + lane];
  target.data[column] = all;
}

}  // namespace

void sumPartials(CudaDevice& device, const float* partial, int64_t blocks, int64_t columns,
                 std::initializer_list<ColumnTarget> targets, bool accumulate) {
  Targets table{};
  std::copy(targets.begin(), targets.end(), table.of);
  int64_t widest = 0;
  for (const ColumnTarget& target : targets) widest = std::max(widest, target.count);
  const dim3 grid(static_cast<unsigned>((widest + kLanes - 1) / kLanes), static_cast<unsigned>(targets.size()));
  LXMERT_LAUNCH(sumPartialsKernel, grid, kLanes * kGroups, kLanes * kGroups * sizeof(float), device.stream(), partial,
                blocks, columns, table, accumulate);
}

}  // namespace lxmert::cuda
