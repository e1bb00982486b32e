// Converts the bits of an IEEE float16 to float32, exactly. It computes with integers only, so that the result is the
// same on every device and on the emulator, which has no float16 type. Reading the number from memory costs more than
// converting it.
#pragma once

#include <cstdint>

#include "engine/philox.h"

namespace lxmert {

LXMERT_HOST_DEVICE float floatOfHalf(uint16_t half) {
  constexpr uint32_t kInfinity = 0x7C00u << 13;
  uint32_t bits = (half & 0x7FFFu) << 13;  // the exponent's bias is 15 in float16 and 127 in float32
  const bool finite = bits < kInfinity;
  if (!finite) bits |= 0x7F800000u;
  const float value = __builtin_bit_cast(float, bits) * (finite ? 0x1p112f : 1.0f);
  return half & 0x8000u ? -value : value;
}

}  // namespace lxmert
