// CUDA's column of the op table: every kernel, one file an op.
#pragma once

#include "engine/op_table.h"

namespace lxmert::cuda {

#define OP(name, Args) void name(Device&, const Args& args);
LXMERT_OPS(OP)
#undef OP

}  // namespace lxmert::cuda
