// Reports the memory accesses of kernels to one of two listeners. The program is linked with one of them: the search
// for data races (races.cc) or the count of memory traffic (traffic.cc). Only in programs that are compiled with
// LXMERT_RACECHECK. In these programs, kernels report each load and store (instrumented.cc), and the emulator reports
// the accesses that it makes for the kernels.
#pragma once

#include <cstddef>
#include <mutex>

#include "cuda/emulator/order.h"

namespace lxmert::emulator {

struct Thread;

enum class Use : unsigned {
  Read,
  Write,
  Atomic,
  Copy,  // by cp.async: a write that is not yet done
};

// Device memory, from its allocation on.
void watch(const void* memory, size_t bytes);
void unwatch(const void* memory);

// Reports that the running work uses `bytes` bytes at an address. `thread` is the thread of its kernel that uses them,
// at a place in the program. It is null if the work has no threads. A race is an error of the work.
void note(Use use, const void* address, size_t bytes, const Thread* thread, const void* place);
// The copies by cp.async of this thread are done.
void noteLanded(const void* shared, size_t bytes, const Thread& thread);
// Reports that a lane takes part in reading one 8 x 8 matrix of ldmatrix, with these rows.
void noteMatrix(const void* const (&rows)[8], bool transposed, const Thread& thread, const void* place);

// Begins and ends the next piece of work of a line; the name is for messages.
void beginWork(Line& line);
void nameWork(const char* name);
void endWork();

// For work that has no threads: its name, and an access to memory as a whole.
inline void noteWhole(const char* name, Use use, const void* address, size_t bytes) {
  if constexpr (!kRacecheck) return;
  nameWork(name);
  note(use, address, bytes, nullptr, nullptr);
}

std::mutex& turns();

// Runs a piece of work of a line. In programs that report accesses, only one piece runs at a time.
template <class Run>
void inTurn([[maybe_unused]] Line& line, const Run& run) {
  if constexpr (kRacecheck) {
    const std::lock_guard lock(turns());
    beginWork(line);
    run();
    endWork();
  } else {
    run();
  }
}

}  // namespace lxmert::emulator
