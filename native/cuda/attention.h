// Shared by the attention kernels: the arguments of a call, and the choice of the head and the sample that a block
// computes.
//
// A block computes one head of one sample in one direction. The number of rows of that sample is stored only on the
// device. Launches depend on the upper bounds that the host gives: AttentionShape::longestA and longestB. No two blocks
// write the same element of a gradient. In cross-attention, the direction that reads the queries of a stream writes dQ
// of this stream. The direction that reads its keys and values writes dK and dV. These are different columns.
//
// The lower bound of the time follows from the bytes that must be moved, if each element is read once and written once.
// For 256 samples of 36 objects and 12 heads of 64 columns, in bfloat16, these are 57 MB forward (qkv 42.5, context
// 14.2, L 0.4) and 100 MB backward (qkv and its gradient 42.5 each, dContext 14.2, L 0.4). For 12 tokens instead of 36
// objects it is a third of that. For both directions of cross-attention together it is four thirds. At 4.8 TB/s, the
// bytes for the objects take 12 and 21 µs, or 21,000 and 37,000 cycles.
//
// Other costs, in cycles of each of an H200's 132 multiprocessors, forward and backward: products (padded to 48 x 48)
// 5,000 and 13,000 at the rate of mma.sync; shared memory 10,000 and 25,000; Philox 4,000 each; exponentials 3,400
// each. They overlap with each other and with the loads. The 8 blocks of a multiprocessor (5 backward) keep up to 110
// KB (90 KB) of loads in flight. To use the whole bandwidth at the latency of the memory, 30 KB are enough. So 1.3
// times the lower bound should be possible, and shared memory is the most likely limit. All of this is computed, not
// measured.
#pragma once

#include <algorithm>

#include "cuda/device.h"
#include "engine/ops.h"

namespace lxmert::cuda {

// The rows of a sample in one stream, and the columns of a head.
constexpr int kLongestSample = 128, kWidestHead = 128;

// The number of additional blocks, after the blocks of the heads, that write zeros to the inactive rows.
constexpr int kClearingBlocks = 64;

LXMERT_HOST_DEVICE int roundUp(int n, int to) { return (n + to - 1) / to * to; }

// The arguments of a kernel for one call.
struct AttentionCall {
  Rows rows;
  const int32_t *offsetsA, *offsetsB;
  const int32_t* rowIds;
  int samples, heads, headDim, hidden;
  int longestA, longestB, longest;
  int blocks;         // number of blocks that compute heads
  bool wholeVectors;  // the address and the length of the rows of each head are multiples of 16 bytes
  float scale;        // 1 / √headDim
  bool dropout;
  float keepScale;  // 1 / (1 - p)
  uint32_t threshold, instance;
};

// The requested probabilities, [samples, heads, side, side] for each direction, or null.
struct AttentionMaps {
  float *a, *b;
  int side;

  // The probabilities of one direction and one head of one sample.
  __device__ __forceinline__ float* at(int direction, int64_t head) const {
    float* const map = direction == 0 ? a : b;
    return map ? map + head * side * side : nullptr;
  }
};

// Rows of a packed stream. Results are written only for the first `active` of these rows; the other rows stay zero.
struct SampleRows {
  int begin, count, active;
};

// The ends of the active rows of one stream, or of both. Rows::active gives the same in an array. This structure has no
// array, because the compiler would not keep an array in registers.
struct ActiveEnds {
  int64_t firstEnd, secondBegin, secondEnd;

  __device__ __forceinline__ explicit ActiveEnds(const Rows& rows) {
    const Segments s = rows.active();
    const bool both = s.count == 2;
    firstEnd = s.part[0].end;
    secondBegin = both ? s.part[1].begin : rows.capacity;
    secondEnd = both ? s.part[1].end : rows.capacity;
  }
};

struct Head {
  int sample, head, direction;
  SampleRows query, key;
};

// The rows of a sample in the stream with rows [first, end), cut to the capacity of the stream and to the host's upper
// bound.
__device__ __forceinline__ SampleRows sampleRows(const int32_t* offsets, int sample, int first, int end, int longest,
                                                 int64_t activeEnd) {
  const int capacity = end - first;
  const auto begin = static_cast<int>(Rows::clamp(offsets[sample], capacity));
  const int64_t length = int64_t{offsets[sample + 1]} - begin;
  const auto count = static_cast<int>(Rows::clamp(length, min(capacity - begin, longest)));
  return {first + begin, count, static_cast<int>(Rows::clamp(activeEnd - first - begin, count))};
}

// Finds the head of the block. Returns false if the number of its sample is not in the batch.
__device__ __forceinline__ bool headOf(const AttentionCall& c, int block, Head& h) {
  const int directions = c.offsetsB ? 2 : 1;
  h.head = block % c.heads;
  h.direction = block / c.heads % directions;
  h.sample = block / c.heads / directions;
  if (h.sample >= c.rows.record->samples) return false;
  const auto capacity = static_cast<int>(c.rows.capacity);
  const int split = c.offsetsB ? static_cast<int>(c.rows.split) : capacity;
  const ActiveEnds active(c.rows);
  const SampleRows a = sampleRows(c.offsetsA, h.sample, 0, split, c.longestA, active.firstEnd);
  SampleRows b = a;
  if (c.offsetsB) b = sampleRows(c.offsetsB, h.sample, split, capacity, c.longestB, active.secondEnd);
  h.query = h.direction == 0 ? a : b;
  h.key = h.direction == 0 ? b : a;
  return true;
}

// Writes zeros to [begin, end). `parts` blocks share this work, and this block has the number `part`.
template <class T>
__device__ __forceinline__ void clear(T* begin, T* end, int part, int parts) {
  const int64_t thread = int64_t{part} * blockDim.x + threadIdx.x, threads = int64_t{parts} * blockDim.x;
  T* const middle = reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(begin) + 15) / 16 * 16);
  T* const middleEnd = reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(end) / 16 * 16);
  if (middle >= middleEnd) {
    for (int64_t i = thread; i < end - begin; i += threads) begin[i] = fromFloat<T>(0.0f);
    return;
  }
  const int64_t vectors = (middleEnd - middle) * static_cast<int64_t>(sizeof(T)) / 16;
  for (int64_t i = thread; i < vectors; i += threads) reinterpret_cast<uint4*>(middle)[i] = make_uint4(0, 0, 0, 0);
  for (int64_t i = thread; i < middle - begin; i += threads) begin[i] = fromFloat<T>(0.0f);
  for (int64_t i = thread; i < end - middleEnd; i += threads) middleEnd[i] = fromFloat<T>(0.0f);
}

// Writes zeros to the inactive rows, in the blocks after the blocks of the heads.
template <class T>
__device__ __forceinline__ void clearInactive(const AttentionCall& c, T* rows, int width) {
  const int part = static_cast<int>(blockIdx.x) - c.blocks;
  const ActiveEnds active(c.rows);
  clear(rows + active.firstEnd * width, rows + active.secondBegin * width, part, kClearingBlocks);
  clear(rows + active.secondEnd * width, rows + c.rows.capacity * width, part, kClearingBlocks);
}

// The dropout mask of one query row over its head's keys.
struct QueryMask {
  uint32_t sample = 0, row = 0, first = 0;
  uint32_t seed = 0, step = 0, instance = 0, threshold = 0;

  __device__ __forceinline__ QueryMask(const AttentionCall& c, const Head& h, int query) {
    if (!c.dropout || query >= h.query.count) return;
    const int64_t at = 2 * (int64_t{h.query.begin} + query);
    sample = static_cast<uint32_t>(c.rowIds[at]), row = static_cast<uint32_t>(c.rowIds[at + 1]);
    first = static_cast<uint32_t>(h.head) * (kMaxAttentionLength / 4);
    seed = c.rows.record->seed, step = c.rows.record->step;
    instance = c.instance, threshold = c.threshold;
  }

  // Which of the keys 4 group … 4 group + 3 are kept: one bit each.
  __device__ __forceinline__ uint32_t kept(int group) const {
    const Philox4 r = philox(first + static_cast<uint32_t>(group), row, sample, instance, seed, step);
    return uint32_t{r.v[0] >= threshold} | uint32_t{r.v[1] >= threshold} << 1 | uint32_t{r.v[2] >= threshold} << 2 |
           uint32_t{r.v[3] >= threshold} << 3;
  }
};

// The kernels on tensor cores (attention_forward.cu, attention_backward.cu): the shared memory that a launch needs, and
// the launch. The kernels without tensor cores (attention_plain.cu) are used for float32, and for calls for which the
// kernels on tensor cores need more shared memory than the device has.
size_t tensorForwardBytes(const AttentionCall& call);
size_t tensorBackwardBytes(const AttentionCall& call);
void tensorForward(CudaDevice& device, const AttentionCall& call, const AttentionForward& a);
void tensorBackward(CudaDevice& device, const AttentionCall& call, const AttentionBackward& a);

template <class T>
void plainForward(CudaDevice& device, const AttentionCall& call, const AttentionForward& a);
template <class T>
void plainBackward(CudaDevice& device, const AttentionCall& call, const AttentionBackward& a);
// The only kernel of this op, because the op is used for explanations, not for training.
template <class T>
void plainMapGradient(CudaDevice& device, const AttentionCall& call, const AttentionMapGradient& a);

inline AttentionMaps mapsOf(const AttentionForward& a) {
  return {a.probabilitiesA.data, a.probabilitiesB.data, static_cast<int>(a.mapSide)};
}

}  // namespace lxmert::cuda
