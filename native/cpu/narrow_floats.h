// Converts float32 numbers to the nearest float16 numbers.
#pragma once

#ifdef __F16C__
#include <immintrin.h>
#endif

#include <cstdint>

namespace lxmert::cpu {

// The bits of the float16 number that is nearest to a number of at most 65504. If two are equally near, it is the even
// one.
inline uint16_t halfOfFloat(float value) {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  // 2^-14 is the smallest normal float16. Below it, the float16 numbers are multiples of 2^-24. The addition rounds to
  // such a multiple, because the last bit of a float32 from 0.5 to 1 is 2^-24.
  if (magnitude < 0x38800000u) {
    const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (__builtin_bit_cast(uint32_t, shifted) - 0x3F000000u));
  }
  // Adds half a unit of the last kept bit, less one. If the last kept bit is odd, adds one more.
  return static_cast<uint16_t>(sign | (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13);
}

// to[i] = the float16 nearest to from[i], which is at most 65504, for i < count
inline void narrowFloats(const float* from, uint16_t* to, int64_t count) {
  int64_t i = 0;
#ifdef __F16C__
  for (; i + 8 <= count; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
#endif
  for (; i < count; ++i) to[i] = halfOfFloat(from[i]);
}

}  // namespace lxmert::cpu
