// The part of NCCL that several ranks need to add up their gradients. It is declared here so that a build needs neither
// NCCL's header nor the library. The library is opened at run time. A run on one GPU does not need it.
// test/comm/nccl.cc compares these declarations with NVIDIA's header.
#pragma once

#include <cstddef>
#include <string>

#include "cuda/nvidia_library.h"
#include "cuda/platform.h"

namespace lxmert::nccl {

// Values of NCCL's enumerations.
enum DataType : int { kFloat32 = 7 };
enum Reduction : int { kSum = 0 };

using Result = int;  // 0: success
using Communicator = struct CommunicatorOpaque*;

// Identifies a communicator. One rank makes the id, and all ranks need the same id to join the communicator.
struct UniqueId {
  char bytes[128];
};

// The name and the type of each function.
#define LXMERT_NCCL(FUNCTION)                                                      \
  FUNCTION(GetVersion, Result (*)(int*))                                           \
  FUNCTION(GetErrorString, const char* (*)(Result))                                \
  FUNCTION(GetUniqueId, Result (*)(UniqueId*))                                     \
  FUNCTION(CommInitRank, Result (*)(Communicator*, int ranks, UniqueId, int rank)) \
  FUNCTION(CommDestroy, Result (*)(Communicator))                                  \
  FUNCTION(AllReduce,                                                              \
           Result (*)(const void* from, void* to, size_t count, DataType, Reduction, Communicator, cudaStream_t))

LXMERT_NVIDIA_LIBRARY(LXMERT_NCCL)

// Opens the library. If LXMERT_NCCL names a file, opens only that file. Otherwise tries, in this order: the system's
// library path, the folder of the plugin, the CUDA toolkit, the file that the build noted in nccl.path, and NVIDIA's
// wheels in Python environments. Throws NoDevice.
const Library& open();

// A text with the version and the file of the library. Needs no GPU. Throws NoDevice with a message that says what is
// missing and how to install it.
std::string describe();

}  // namespace lxmert::nccl
