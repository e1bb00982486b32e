// Writes one line for each piece of work of the emulated device to the file that LXMERT_EMULATOR_TRACE names: `kernel`
// and its name, `product`, `fill`, `copy`, `graph`. Tests use it to see what an op launches.
#pragma once

namespace lxmert::emulator {

void trace(const char* kind, const char* name = "");

}  // namespace lxmert::emulator
