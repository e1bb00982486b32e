// CUDA for the kernels of this project on a CPU, without any file of the toolkit. It consists of the language
// (language.h), the threads of a block as fibers (block.h), operations of the lanes of a warp (warp.h), launches
// (launch.h), and calls of the runtime (runtime.h). platform.h includes this file when the compiler is not nvcc.
#pragma once

#include "cuda/emulator/bf16.h"
#include "cuda/emulator/language.h"
#include "cuda/emulator/launch.h"
#include "cuda/emulator/runtime.h"
#include "cuda/emulator/warp.h"
