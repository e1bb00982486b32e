// The interface of `lxmert_mpi.so`: a table of C functions that call MPI. The types and constants of MPI differ between
// its implementations, so the library is compiled on the user's machine, with the mpi.h of that machine
// (scripts/build-mpi.mjs).
//
// All functions are called on one thread. They return null on success, and otherwise an error message in static memory.
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
  // Copies the text of rank 0 to all ranks; `text` has room for `size` characters.
  const char* (*shareText)(char* text, int size);
  // Makes all transfers. Calls `isAborted(context)` repeatedly, and returns an error message if the result is true.
  const char* (*exchange)(const LxmertMpiTransfer* sends, int sendCount, const LxmertMpiTransfer* receives,
                          int receiveCount, bool (*isAborted)(void*), void* context);
  const char* (*close)();
};

using LxmertMpiEntry = const LxmertMpi* (*)();
}

constexpr int kMpiPluginVersion = 1;
constexpr const char* kMpiPluginEntry = "lxmertMpi";
