// Looks for a GPU that can be used.
#pragma once

#include <string>

#include "cuda/device.h"

namespace lxmert::cuda {

struct Gpu {
  std::string name;
  int major, minor;  // compute capability
  int64_t memory;
  Limits limits;
  int driver, runtime;  // CUDA versions: 1000 major + 10 minor
};

// Makes the GPU the current one of this thread, and has it run a tiny kernel: one that is listed and cannot is none.
// Throws NoDevice, saying what is missing and how to get it.
Gpu findGpu(int ordinal);

// In words.
std::string describe(const Gpu& gpu);

}  // namespace lxmert::cuda
