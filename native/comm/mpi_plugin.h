// What `lxmert_mpi.so` offers: MPI behind a table of C functions. MPI's types and numbers differ from one implementation
// to the next, so the library is compiled on the machine, against the mpi.h that is there (scripts/build-mpi.mjs).
//
// All functions are called on one thread. They return null, or a message that stays valid.
#pragma once

#include <cstdint>

extern "C" {

struct LxmertMpiTransfer {
  int peer;
  char* data;
  int64_t bytes;
};

struct LxmertMpi {
  int version;  // kMpiPluginVersion
  const char* (*open)(int* rank, int* ranks);
  // Gives all ranks the text of rank 0; `text` has room for `size` characters.
  const char* (*shareText)(char* text, int size);
  // Calls `isAborted(context)` now and then, and returns a message when it is true.
  const char* (*exchange)(const LxmertMpiTransfer* sends, int sendCount, const LxmertMpiTransfer* receives,
                          int receiveCount, bool (*isAborted)(void*), void* context);
  const char* (*close)();
};

using LxmertMpiEntry = const LxmertMpi* (*)();
}

constexpr int kMpiPluginVersion = 1;
constexpr const char* kMpiPluginEntry = "lxmertMpi";
