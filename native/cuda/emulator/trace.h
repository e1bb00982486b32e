// Writes everything that is given to the emulated device to the file that LXMERT_EMULATOR_TRACE names, one line each:
// `kernel` and its name, `product`, `fill`, `copy`, `graph`. Tests use it to see what an op launches.
#pragma once

namespace lxmert::emulator {

void trace(const char* kind, const char* name = "");

}  // namespace lxmert::emulator
