// Finds the line of the sources from which an instruction of this program comes.
#pragma once

#include <cstdint>
#include <string>

namespace lxmert::emulator {

// Packs a return address into four bytes; 0 for null.
int32_t offsetOf(const void* place);

// Returns, for example, "column_sums.cuh:44, inlined at layer_norm.cu:71". It uses addr2line of binutils; if this finds
// nothing, it returns the address.
std::string sourceOf(int32_t offset);

}  // namespace lxmert::emulator
