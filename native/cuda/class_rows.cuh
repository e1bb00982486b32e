// The functions with which a block reads one row of logits: [width] numbers, float32 or bfloat16. Only the first
// `classes` of them are used.
#pragma once

#include "cuda/rows.cuh"

namespace lxmert::cuda {

constexpr int kMostClassThreads = 512;

// The number of threads of a block. Each thread processes a few vectors of the row.
inline int classThreads(int64_t classes) { return classes <= 512 ? 32 : classes <= 4096 ? 128 : kMostClassThreads; }

// Calls body(c, l) for this thread's logits, in ascending order. It reads 16 bytes at a time where they are aligned,
// and single logits before the first aligned place and after the last one. This is needed because a row of 30,522
// bfloat16 numbers may begin at any even address. `l` is an array of float32, of length V or 1.
template <class T, class Body>
__device__ __forceinline__ void eachClass(const T* row, int classes, Body&& body) {
  constexpr int V = kWide<T>;
  const int misplaced = static_cast<int>(reinterpret_cast<uintptr_t>(row) % 16 / sizeof(T));
  const int begin = min(classes, (V - misplaced) % V), end = begin + (classes - begin) / V * V;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  if (thread < begin) {
    float l[1] = {toFloat(row[thread])};
    body(thread, l);
  }
  Packed<T, V> logits[kVectorsAtOnce];
  eachVector<V>(
      thread, threads, begin, end, [&](int i, int64_t c) { logits[i] = loadPacked<V>(row + c); },
      [&](int i, int64_t c) {
        float l[V];
        unpack(logits[i], l);
        body(static_cast<int>(c), l);
      });
  if (end + thread < classes) {
    float l[1] = {toFloat(row[end + thread])};
    body(end + thread, l);
  }
}

}  // namespace lxmert::cuda
