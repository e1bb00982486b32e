// bfloat16 as on the device: the upper half of a float32.
#pragma once

#include <bit>
#include <cstdint>

namespace lxmert::emulator {

struct Bf16 {
  uint16_t bits;
};

inline float widen(Bf16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }

// Rounds to nearest, ties to even. Numbers that are too large become infinity, subnormal numbers are kept, and every
// NaN becomes 0x7FFF, as in hardware.
inline Bf16 roundToBf16(float x) {
  const uint32_t word = std::bit_cast<uint32_t>(x);
  if ((word & 0x7FFFFFFFu) > 0x7F800000u) return {0x7FFF};
  return {static_cast<uint16_t>((word + 0x7FFFu + (word >> 16 & 1)) >> 16)};
}

}  // namespace lxmert::emulator
