// Finds where in the sources an instruction of this program comes from.
#pragma once

#include <cstdint>
#include <string>

namespace lxmert::emulator {

// Packs a return address into four bytes; 0 for null.
int32_t offsetOf(const void* place);

// "column_sums.cuh:44, inlined at layer_norm.cu:71", by binutils' addr2line; the address itself where that finds
// nothing.
std::string sourceOf(int32_t offset);

}  // namespace lxmert::emulator
