// The part of NCCL that ranks need to add up their gradients, declared here so that building needs neither its header nor
// the library, and opened at run time: one GPU does without. test/comm/nccl.cc holds these declarations against NVIDIA's own.
#pragma once

#include <cstddef>
#include <string>

#include "cuda/nvidia_library.h"
#include "cuda/platform.h"

namespace lxmert::nccl {

// Values of its enumerations.
enum DataType : int { kFloat32 = 7 };
enum Reduction : int { kSum = 0 };

using Result = int;  // 0: success
using Communicator = struct CommunicatorOpaque*;

// What all ranks of a communicator have to know; one of them makes it.
struct UniqueId {
  char bytes[128];
};

// Name, and type, of each function.
#define LXMERT_NCCL(FUNCTION)                                                      \
  FUNCTION(GetVersion, Result (*)(int*))                                           \
  FUNCTION(GetErrorString, const char* (*)(Result))                                \
  FUNCTION(GetUniqueId, Result (*)(UniqueId*))                                     \
  FUNCTION(CommInitRank, Result (*)(Communicator*, int ranks, UniqueId, int rank)) \
  FUNCTION(CommDestroy, Result (*)(Communicator))                                  \
  FUNCTION(AllReduce,                                                              \
           Result (*)(const void* from, void* to, size_t count, DataType, Reduction, Communicator, cudaStream_t))

LXMERT_NVIDIA_LIBRARY(LXMERT_NCCL)

// Opens the library: the file that LXMERT_NCCL names, else one that the system finds, the toolkit's, or the one that the
// build noted beside the plugin. Throws NoDevice.
const Library& open();

// Its version and file, in words. Needs no GPU. Throws NoDevice, saying what is missing and how to get it.
std::string describe();

}  // namespace lxmert::nccl
