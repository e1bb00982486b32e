// IEEE float16 as it lies in memory, made a float32; exact. In integers, since it is to be the same on every device and on
// the emulator, which has none of CUDA's types; beside the memory that it is read from it costs nothing.
#pragma once

#include <cstdint>

#include "engine/philox.h"

namespace lxmert {

LXMERT_HOST_DEVICE float floatOfHalf(uint16_t half) {
  constexpr uint32_t kInfinity = 0x7C00u << 13;
  uint32_t bits = (half & 0x7FFFu) << 13;  // its exponent counts from 15, float32's from 127
  const bool finite = bits < kInfinity;
  if (!finite) bits |= 0x7F800000u;
  const float value = __builtin_bit_cast(float, bits) * (finite ? 0x1p112f : 1.0f);
  return half & 0x8000u ? -value : value;
}

}  // namespace lxmert
