// Dropout masks, the same as on the CPU (cpu/dropout.h): 0 or 1 / (1 - p). Each element has its own word of Philox. The
// four words of one call belong to four neighbouring columns.
#pragma once

#include "cuda/platform.h"
#include "engine/ops/dropout.h"

namespace lxmert::cuda {

// The mask of one row.
class RowMask {
 public:
  __device__ __forceinline__ RowMask(const Dropout& d, int64_t row) : on_(d.p > 0) {
    if (!on_) return;
    threshold_ = dropoutThreshold(d.p);
    scale_ = 1.0f / (1.0f - d.p);
    sample_ = static_cast<uint32_t>(d.rowIds.data[2 * row]);
    rowInSample_ = static_cast<uint32_t>(d.rowIds.data[2 * row + 1]);
    instance_ = d.instance, seed_ = d.record->seed, step_ = d.record->step;
  }

  // x ← mask · x for columns c … c + V; c is a multiple of V.
  template <int V>
  __device__ __forceinline__ void apply(int c, float (&x)[V]) const {
    if (!on_) return;
    if constexpr (V == 1) {
      const Philox4 r = wordsAt(c);
      const uint32_t low = c % 2 == 0 ? r.v[0] : r.v[1], high = c % 2 == 0 ? r.v[2] : r.v[3];
      x[0] *= maskOf(c % 4 < 2 ? low : high);
    } else {
#pragma unroll
      for (int i = 0; i < V; i += 4) {
        const Philox4 r = wordsAt(c + i);
#pragma unroll
        for (int j = 0; j < 4; ++j) x[i + j] *= maskOf(r.v[j]);
      }
    }
  }

 private:
  __device__ __forceinline__ Philox4 wordsAt(int c) const {
    return philox(static_cast<uint32_t>(c / 4), rowInSample_, sample_, instance_, seed_, step_);
  }
  __device__ __forceinline__ float maskOf(uint32_t word) const { return word >= threshold_ ? scale_ : 0.0f; }

  bool on_;
  float scale_ = 1;
  uint32_t threshold_ = 0, sample_ = 0, rowInSample_ = 0, instance_ = 0, seed_ = 0, step_ = 0;
};

}  // namespace lxmert::cuda
