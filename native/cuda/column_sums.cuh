// Computes the sum over the rows for each column. Repeated calls give the same bits. First every block adds its rows
// (this file). Then the partial sums are added in the order of the blocks (column_sums.h).
#pragma once

#include "cuda/column_sums.h"
#include "cuda/rows.cuh"

namespace lxmert::cuda {

// N sums for each column over the rows of a block. `partial` is [blocks, N · width]. With K > 0 the sums are in
// registers until `finish`. With K = 0 they are in `partial` from the beginning, and a block is one warp.
template <int V, int K, int N>
class ColumnSums {
 public:
  static constexpr int kThreads = K > 0 ? kRowThreads : kLanes;
  static constexpr int kWarps = kThreads / kLanes;

  // The number of blocks to launch for this number of rows.
  static unsigned blocks(int64_t rows) { return rowBlocks(rows, kWarps, kMostPartials); }
  static size_t sharedBytes(int64_t width) { return K > 0 ? kWarps * N * width * sizeof(float) : 0; }

  __device__ __forceinline__ ColumnSums(const Columns<V, K>& columns, float* partial)
      : columns_(columns), mine_(partial + static_cast<int64_t>(blockIdx.x) * N * columns.width) {
    if constexpr (K == 0)
      for (int n = 0; n < N; ++n) columns_.zero(mine_ + n * columns_.width);
  }

  __device__ __forceinline__ void add(int n, int k, int c, const float (&x)[V]) {
    if constexpr (K > 0) {
#pragma unroll
      for (int i = 0; i < V; ++i) sums_[n][k][i] += x[i];
    } else {
      mine_[n * columns_.width + c] += x[0];
    }
  }

  // Adds the sums of the warps, in their order. Every thread of the block must call this once.
  __device__ __forceinline__ void finish(float* shared) {
    if constexpr (K > 0) {
      const int columns = N * columns_.width;
      float* warp = shared + threadIdx.x / kLanes * columns;
      columns_.each([&](int k, int c) {
#pragma unroll
        for (int n = 0; n < N; ++n) storeShared<V>(warp + n * columns_.width + c, sums_[n][k]);
      });
      __syncthreads();
      for (int c = static_cast<int>(threadIdx.x); c < columns; c += kThreads) {
        float sum = 0;
        for (int w = 0; w < kWarps; ++w) sum += shared[w * columns + c];
        mine_[c] = sum;
      }
    }
  }

 private:
  const Columns<V, K> columns_;
  float* const mine_;
  float sums_[N][Columns<V, K>::kTimes][V] = {};
};

}  // namespace lxmert::cuda
