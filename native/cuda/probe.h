// Looks for a usable GPU.
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

// Makes the GPU current for this thread and runs a very small kernel on it, because the driver may list a GPU that does
// not work. Throws NoDevice, whose message says what is missing and how to get it.
Gpu findGpu(int ordinal);

// Returns a text that describes the GPU.
std::string describe(const Gpu& gpu);

}  // namespace lxmert::cuda
