// Declares the CPU's kernel of every op. Each op has its own source file.
#pragma once

#include "engine/op_table.h"

namespace lxmert::cpu {

#define OP(name, Args) void name(Device&, const Args& args);
LXMERT_OPS(OP)
#undef OP

}  // namespace lxmert::cpu
