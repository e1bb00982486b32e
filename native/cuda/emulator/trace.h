// What is given to the emulated device, a line each, in the file that LXMERT_EMULATOR_TRACE names: `kernel` and its name,
// `product`, `fill`, `copy`, `graph`. For tests of what an op launches.
#pragma once

namespace lxmert::emulator {

void trace(const char* kind, const char* name = "");

}  // namespace lxmert::emulator
