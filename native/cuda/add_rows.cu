// table[key of i] += from[i] for every active row i. Keys may repeat.
//
// Two kernels. The first puts the rows in the order of their keys; rows with equal keys keep their order. The place of
// a row is the number of rows that come before it. This number is found by comparing all pairs of rows, which should
// take a few microseconds for the few thousand rows of a batch. The second has one block for the first row of each key.
// It sums all rows of that key and adds the sum to the table.
#include "cuda/add_rows.h"

#include "cuda/rows.cuh"

namespace lxmert::cuda {

namespace {

constexpr int32_t kNoKey = 0x7FFFFFFF;  // larger than all keys, so it comes last
constexpr int kSumWarps = 8, kSumThreads = kSumWarps * kLanes;
constexpr int kTile = 256;      // columns of a block
constexpr int kRowsAtOnce = 4;  // rows that a warp reads before it adds them
// The columns that a lane reads at a time, for both types. With 8 columns, the two 16-byte halves of a lane would use
// banks of other lanes.
constexpr int kColumns = kWide<float>;

__device__ __forceinline__ int32_t keyOf(const RowKeys& keys, const ActiveRows& active, int64_t row) {
  const int32_t key = keys.data[row * keys.stride];
  return active.has(row) && key >= keys.first && key < keys.end ? key : kNoKey;
}

// The input of the second kernel, in the order of the keys.
struct SortedRow {
  int32_t key, row;
};

// One warp works on one row.
__global__ void __launch_bounds__(kRowThreads) sortRowsKernel(const RowKeys keys, SortedRow* sorted) {
  const ActiveRows active(keys.rows);
  warpRows(keys.rows, [&](int64_t row, bool) {
    const int32_t key = keyOf(keys, active, row);
    int before = 0;
    for (int64_t other = laneOf(); other < keys.rows.capacity; other += kLanes) {
      const int32_t otherKey = keyOf(keys, active, other);
      before += otherKey < key || (otherKey == key && other < row);
    }
#pragma unroll
    for (int distance = kLanes / 2; distance > 0; distance /= 2) before += __shfl_xor_sync(kAllLanes, before, distance);
    if (laneOf() == 0) sorted[before] = {key, static_cast<int32_t>(row)};
  });
}

// The warps of a block take the rows of a key in turn; their sums are added in the order of the warps.
template <class T, int V>
__global__ void __launch_bounds__(kSumThreads)
    addSortedKernel(const SortedRow* sorted, int64_t capacity, const T* from, T* table, int width) {
  constexpr int K = kTile / kLanes / V;
  LXMERT_SHARED(float, shared);
  const int warp = static_cast<int>(threadIdx.x) / kLanes, tile = static_cast<int>(blockIdx.y) * kTile;
  const Columns<V, K> columns{min(width - tile, kTile)};
  for (int64_t first = blockIdx.x; first < capacity; first += gridDim.x) {
    const int32_t key = sorted[first].key;
    if (key == kNoKey) return;
    if (first > 0 && sorted[first - 1].key == key) continue;
    float sums[K][V] = {};
    for (int64_t place = first + warp; place < capacity && sorted[place].key == key; place += kSumWarps * kRowsAtOnce) {
      Packed<T, V> rows[kRowsAtOnce][K];
      bool has[kRowsAtOnce];
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r) {
        const int64_t at = place + r * kSumWarps;
        has[r] = at < capacity && sorted[at].key == key;
        if (!has[r]) continue;
        const T* row = from + static_cast<int64_t>(sorted[at].row) * width + tile;
        columns.each([&](int k, int c) { rows[r][k] = loadPacked<V>(row + c); });
      }
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r) {
        if (!has[r]) continue;
        columns.each([&](int k, int) {
          float x[V];
          unpack(rows[r][k], x);
#pragma unroll
          for (int i = 0; i < V; ++i) sums[k][i] += x[i];
        });
      }
    }
    columns.each([&](int k, int c) { storeShared<V>(shared + warp * kTile + c, sums[k]); });
    __syncthreads();
    T* target = table + key * static_cast<int64_t>(width) + tile;
    for (int c = static_cast<int>(threadIdx.x); c < columns.width; c += kSumThreads) {
      float sum = toFloat(target[c]);
      for (int w = 0; w < kSumWarps; ++w) sum += shared[w * kTile + c];
      target[c] = fromFloat<T>(sum);
    }
    __syncthreads();
  }
}

}  // namespace

template <class T>
void addRows(CudaDevice& device, const RowKeys& keys, const T* from, T* table, int64_t width) {
  const int64_t capacity = keys.rows.capacity;
  auto* sorted = device.scratch<SortedRow>(capacity);
  LXMERT_LAUNCH(sortRowsKernel, rowBlocks(capacity), kRowThreads, 0, device.stream(), keys, sorted);
  const dim3 grid(rowBlocks(capacity, 1), static_cast<unsigned>((width + kTile - 1) / kTile));
  const size_t shared = kSumWarps * kTile * sizeof(float);
  const int columns = static_cast<int>(width);
  if (aligned<kColumns>(width, {from, table}))
    LXMERT_LAUNCH((addSortedKernel<T, kColumns>), grid, kSumThreads, shared, device.stream(), sorted, capacity, from,
                  table, columns);
  else
    LXMERT_LAUNCH((addSortedKernel<T, 1>), grid, kSumThreads, shared, device.stream(), sorted, capacity, from, table,
                  columns);
}

template void addRows(CudaDevice&, const RowKeys&, const float*, float*, int64_t);
template void addRows(CudaDevice&, const RowKeys&, const bf16*, bf16*, int64_t);

}  // namespace lxmert::cuda
