#include "cuda/column_sums.h"

#include <algorithm>

#include "cuda/reduce.cuh"
#include "cuda/vectors.cuh"

namespace lxmert::cuda {

namespace {

constexpr int kTargets = 6, kGroups = 16;
constexpr int kWarps = 8;             // warps of a block of partial sums
constexpr int64_t kRowsOfBlock = 64;  // gives each multiprocessor several blocks at the model's widths

struct Targets {
  ColumnTarget of[kTargets];
};

// A warp reads 32 neighbouring columns. The partial sums of these columns are divided among the warps of a block, and
// the results are added in the order of the warps.
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

// The sums of a warp in shared memory: first those of its lanes' first columns, then of their second columns, and so
// on. The distance between them is chosen so that neither lanes nor neighbouring columns use the same bank.
template <int V>
constexpr int kSumsPitch = kLanes + kLanes / V;
template <int V>
constexpr int kSumsOfWarp = V* kSumsPitch<V>;

// Computes partial [row blocks, columns]. A lane has V neighbouring columns. The rows of a block are divided among its
// warps, and their sums are added in the order of the warps, so the sum of a column does not depend on V.
template <class T, int V>
__global__ void __launch_bounds__(kLanes* kWarps)
    partialColumnSums(const T* __restrict__ values, int64_t rows, int64_t columns, float* __restrict__ partial) {
  constexpr int kWidth = kLanes * V;
  LXMERT_SHARED(float, sums);  // [warps, V, pitch]
  const int lane = laneOf(), warp = static_cast<int>(threadIdx.x) / kLanes;
  const int64_t left = static_cast<int64_t>(blockIdx.y) * kWidth, column = left + lane * V;
  const int64_t first = blockIdx.x * kRowsOfBlock, end = min(first + kRowsOfBlock, rows);
  float sum[V] = {};
  if (column < columns) {
#pragma unroll 4
    for (int64_t row = first + warp; row < end; row += kWarps) {
      float x[V];
      load<V>(values + row * columns + column, x);
#pragma unroll
      for (int i = 0; i < V; ++i) sum[i] += x[i];
    }
  }
  float* const mine = sums + warp * kSumsOfWarp<V> + lane;
#pragma unroll
  for (int i = 0; i < V; ++i) mine[i * kSumsPitch<V>] = sum[i];
  __syncthreads();
  const int c = static_cast<int>(threadIdx.x);
  if (c >= kWidth || left + c >= columns) return;
  const float* const of = sums + c % V * kSumsPitch<V> + c / V;
  float all = of[0];
  for (int w = 1; w < kWarps; ++w) all += of[w * kSumsOfWarp<V>];
  partial[blockIdx.x * columns + left + c] = all;
}

template <class T, int V>
void sumBlocks(CudaDevice& device, const Values& values, int64_t rows, int64_t columns, unsigned blocks,
               float* partial) {
  static_assert(V <= kWarps, "each thread adds up one column at most");
  constexpr int64_t kWidth = kLanes * V;
  // Row blocks are along x, because a grid may have 2^31 - 1 blocks along x, but only 65,535 along y. The blocks along
  // y are enough for two million columns.
  const dim3 grid(blocks, static_cast<unsigned>((columns + kWidth - 1) / kWidth));
  LXMERT_LAUNCH((partialColumnSums<T, V>), grid, kLanes * kWarps, kWarps * kSumsOfWarp<V> * sizeof(float),
                device.stream(), values.as<const T>(), rows, columns, partial);
}

}  // namespace

void sumColumns(CudaDevice& device, const Values& values, int64_t rows, int64_t columns, bool accumulate,
                float* target) {
  const auto blocks = static_cast<unsigned>((rows + kRowsOfBlock - 1) / kRowsOfBlock);
  float* partial = device.scratch<float>(std::max<int64_t>(blocks, 1) * columns);
  if (blocks > 0)
    withType(values.dtype, [&](auto t) {
      using T = decltype(t);
      if (aligned<kWide<T>>(columns, {values.data}))
        sumBlocks<T, kWide<T>>(device, values, rows, columns, blocks, partial);
      else
        sumBlocks<T, 1>(device, values, rows, columns, blocks, partial);
    });
  sumPartials(device, partial, blocks, columns, {{target, 0, columns}}, accumulate);
}

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
