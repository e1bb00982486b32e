// Sums of float32 numbers on a stream.
#pragma once

#include <cstdint>

#include "cuda/platform.h"

namespace lxmert::cuda {

// target = a + b; `target` may be one of them.
void addFloats(cudaStream_t stream, float* target, const float* a, const float* b, int64_t size);

}  // namespace lxmert::cuda
