// What kernels do to memory, told to one of two that hear it, whichever a program is linked with: the search for data races
// (races.cc) or the count of what memory has to move (traffic.cc). Only in programs that are compiled with LXMERT_RACECHECK,
// where kernels tell of each load and store (instrumented.cc) and the emulator of what it does for them.
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
  Copy,  // by cp.async: a write that has not landed
};

// Memory of the device, from its allocation on.
void watch(const void* memory, size_t bytes);
void unwatch(const void* memory);

// The work that runs uses `bytes` there; `thread` of its kernel, from a place in the program, or (null) the work itself.
// A race is an error of the work.
void note(Use use, const void* address, size_t bytes, const Thread* thread, const void* place);
// What this thread's cp.async has brought is there.
void noteLanded(const void* shared, size_t bytes, const Thread& thread);
// A lane takes part in reading one 8 x 8 matrix of ldmatrix, of these rows.
void noteMatrix(const void* const (&rows)[8], bool transposed, const Thread& thread, const void* place);

// Begins and ends the next piece of a line's work; what it is called, for messages.
void beginWork(Line& line);
void nameWork(const char* name);
void endWork();

// Of work that has no threads: what it is called, and a use of memory as a whole.
inline void noteWhole(const char* name, Use use, const void* address, size_t bytes) {
  if constexpr (!kRacecheck) return;
  nameWork(name);
  note(use, address, bytes, nullptr, nullptr);
}

std::mutex& turns();

// Runs a piece of a line's work, one at a time where somebody hears of it.
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
