#pragma once

#include "cuda/platform.h"

namespace lxmert::cuda {

// to[i] = from[i] rounded to bf16, for `count` elements.
void convertToBf16(cudaStream_t stream, const float* from, bf16* to, int64_t count);

}  // namespace lxmert::cuda
