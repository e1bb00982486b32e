// Converts float16 numbers to float32, without rounding.
#pragma once

#ifdef __F16C__
#include <immintrin.h>
#endif

#include <cstdint>

#include "engine/half.h"

namespace lxmert::cpu {

// to[i] = from[i] for i < count
inline void widenHalves(const uint16_t* from, float* to, int64_t count) {
  int64_t i = 0;
#ifdef __F16C__
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
#endif
  for (; i < count; ++i) to[i] = floatOfHalf(from[i]);
}

}  // namespace lxmert::cpu
