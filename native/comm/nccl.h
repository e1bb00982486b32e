// The part of NCCL that several ranks need to add up their gradients. It is declared here so that a build needs neither
// NCCL's header nor the library. The library is opened at run time. A run on one GPU does not need it.
// test/comm/nccl.cc compares these declarations with NVIDIA's header.
#pragma once

#include <climits>
#include <cstddef>
#include <string>

#include "cuda/nvidia_library.h"
#include "cuda/platform.h"

namespace lxmert::nccl {

// Values of NCCL's enumerations.
enum DataType : int { kFloat32 = 7, kBFloat16 = 9 };
enum Reduction : int { kSum = 0 };

using Result = int;
constexpr Result kSuccess = 0, kInProgress = 7;
using Communicator = struct CommunicatorOpaque*;

// Identifies a communicator. One rank makes the id, and all ranks need the same id to join the communicator.
struct UniqueId {
  char bytes[128];
};

// Options of a communicator: the beginning of NCCL's struct as of version 2.17. NCCL reads `size` bytes of it, and takes
// the defaults of that version for the rest.
struct Config {
  size_t size = sizeof(Config);
  unsigned magic = 0xcafebeef;
  unsigned version = 21700;
  // 0: calls return at once, with kInProgress, so that a rank can stop to wait for another one.
  int blocking = 0;
  int clusterSize = INT_MIN;
  int leastBlocks = INT_MIN;
  int mostBlocks = INT_MIN;  // multiprocessors that NCCL's kernels may take
  const char* network = nullptr;
  int splitShare = INT_MIN;
};

// The name and the type of each function.
#define LXMERT_NCCL(FUNCTION)                                                                                        \
  FUNCTION(GetVersion, Result (*)(int*))                                                                             \
  FUNCTION(GetErrorString, const char* (*)(Result))                                                                  \
  FUNCTION(GetUniqueId, Result (*)(UniqueId*))                                                                       \
  FUNCTION(CommInitRankConfig, Result (*)(Communicator*, int ranks, UniqueId, int rank, Config*))                    \
  FUNCTION(CommFinalize, Result (*)(Communicator))                                                                   \
  FUNCTION(CommDestroy, Result (*)(Communicator))                                                                    \
  FUNCTION(CommAbort, Result (*)(Communicator))                                                                      \
  FUNCTION(CommGetAsyncError, Result (*)(Communicator, Result*))                                                     \
  FUNCTION(GroupStart, Result (*)())                                                                                 \
  FUNCTION(GroupEnd, Result (*)())                                                                                   \
  FUNCTION(Send, Result (*)(const void* from, size_t count, DataType, int peer, Communicator, cudaStream_t))         \
  FUNCTION(Recv, Result (*)(void* to, size_t count, DataType, int peer, Communicator, cudaStream_t))                 \
  FUNCTION(Broadcast,                                                                                                \
           Result (*)(const void* from, void* to, size_t count, DataType, int root, Communicator, cudaStream_t))     \
  FUNCTION(Reduce, Result (*)(const void* from, void* to, size_t count, DataType, Reduction, int root, Communicator, \
                              cudaStream_t))                                                                         \
  FUNCTION(AllReduce,                                                                                                \
           Result (*)(const void* from, void* to, size_t count, DataType, Reduction, Communicator, cudaStream_t))    \
  FUNCTION(ReduceScatter,                                                                                            \
           Result (*)(const void* from, void* to, size_t ownCount, DataType, Reduction, Communicator, cudaStream_t)) \
  FUNCTION(AllGather, Result (*)(const void* from, void* to, size_t ownCount, DataType, Communicator, cudaStream_t))

LXMERT_NVIDIA_LIBRARY(LXMERT_NCCL)

// Opens the library. If LXMERT_NCCL names a file, opens only that file. Otherwise tries, in this order: the system's
// library path, the folder of the plugin, the CUDA toolkit, the file that the build noted in nccl.path, and NVIDIA's
// wheels in Python environments. Throws NoDevice. The emulated device uses its own functions of these names instead
// (cuda/emulator/nccl.cc).
const Library& open();

// A text with the version and the file of the library. Needs no GPU. Throws NoDevice with a message that says what is
// missing and how to install it.
std::string describe();

// Throws Error RankLost when a call has failed.
void check(Result result, const char* what);

// A new id, as hexadecimal digits, and the id that the digits describe. Throw NoDevice; BadArgument.
std::string makeId();
UniqueId idOf(const std::string& digits);

}  // namespace lxmert::nccl
