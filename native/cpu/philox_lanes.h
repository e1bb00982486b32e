// Philox (engine/philox.h) for several consecutive counters at once: as many as a vector register has 64-bit lanes. The
// lower half of a lane contains one of the four words of a counter. The upper half may have any value, because the
// product reads only the lower 32 bits.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "cpu/shuffle.h"
#include "engine/philox.h"

namespace lxmert::cpu {

#if defined(__AVX512F__)
constexpr int kPhiloxLanes = 8;
#elif defined(__AVX2__)
constexpr int kPhiloxLanes = 4;
#else
constexpr int kPhiloxLanes = 2;
#endif

typedef uint64_t PhiloxWords __attribute__((vector_size(kPhiloxLanes * sizeof(uint64_t))));

namespace detail {

// The 64-bit products of the lower halves.
inline __attribute__((always_inline)) PhiloxWords timesLow(PhiloxWords a, uint32_t factor) {
#if defined(__AVX512F__)
  // With _mm512_mul_epu32, GCC 12 gives a wrong warning: that a register in GCC's own header is not initialized.
  return reinterpret_cast<PhiloxWords>(
      _mm512_maskz_mul_epu32(0xFF, reinterpret_cast<__m512i>(a), _mm512_set1_epi64(factor)));
#elif defined(__AVX2__)
  return reinterpret_cast<PhiloxWords>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), _mm256_set1_epi64x(factor)));
#elif defined(__SSE2__)
  return reinterpret_cast<PhiloxWords>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), _mm_set1_epi64x(factor)));
#else
  return (a & 0xFFFFFFFFu) * factor;
#endif
}

}  // namespace detail

// The words of philox(first + i, c1, c2, c3, k0, k1) for each lane i, in the order of the counters, in two halves.
struct PhiloxBlock {
  PhiloxWords half[2];
};

inline __attribute__((always_inline)) PhiloxBlock philoxLanes(uint32_t first, uint32_t c1, uint32_t c2, uint32_t c3,
                                                              uint32_t k0, uint32_t k1) {
  PhiloxWords lane;
  for (int i = 0; i < kPhiloxLanes; ++i) lane[i] = i;
  PhiloxWords a = lane + static_cast<uint64_t>(first), b = PhiloxWords{} + c1, c = PhiloxWords{} + c2,
              d = PhiloxWords{} + c3;
  for (int round = 0; round < 10; ++round) {
    const PhiloxWords p0 = detail::timesLow(a, 0xD2511F53u), p1 = detail::timesLow(c, 0xCD9E8D57u);
    a = (p1 >> 32) ^ b ^ static_cast<uint64_t>(k0);
    c = (p0 >> 32) ^ d ^ static_cast<uint64_t>(k1);
    b = p1;
    d = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  // Combines words 0 and 1 of each counter, and words 2 and 3 of each counter, and then interleaves both.
  const PhiloxWords front = (a & 0xFFFFFFFFu) | (b << 32), back = (c & 0xFFFFFFFFu) | (d << 32);
  PhiloxWords order;
  for (int i = 0; i < kPhiloxLanes; ++i) order[i] = i / 2 + i % 2 * kPhiloxLanes;
  return {{shuffle(front, back, order), shuffle(front, back, order + static_cast<uint64_t>(kPhiloxLanes / 2))}};
}

}  // namespace lxmert::cpu
