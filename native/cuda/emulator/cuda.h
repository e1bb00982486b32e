// CUDA for the kernels of this project on a CPU, without any file of the toolkit: the language (language.h), the threads
// of a block as fibers (block.h), what the lanes of a warp do together (warp.h), launches and the runtime's calls
// (launch.h, runtime.h). platform.h includes this where nvcc does not compile.
#pragma once

#include "cuda/emulator/bf16.h"
#include "cuda/emulator/language.h"
#include "cuda/emulator/launch.h"
#include "cuda/emulator/runtime.h"
#include "cuda/emulator/warp.h"
