// Looks for data races on a device: two uses of one place, not both of them reads, that nothing orders (order.h). It does
// not matter in which order they came here. Only in programs that are compiled with LXMERT_RACECHECK, where kernels tell
// of each load and store (instrumented.cc) and the emulator of what it does for them.
//
// Device memory and shared memory are watched, two bytes at a time: the last write of a place and three later reads.
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

// Begins the next piece of a line's work; what it is called, for messages.
void beginWork(Line& line);
void nameWork(const char* name);

// Of work that has no threads: what it is called, and a use of memory as a whole.
inline void noteWhole(const char* name, Use use, const void* address, size_t bytes) {
  if constexpr (!kRacecheck) return;
  nameWork(name);
  note(use, address, bytes, nullptr, nullptr);
}

std::mutex& turns();

// Runs a piece of a line's work, one at a time where races are looked for.
template <class Run>
void inTurn([[maybe_unused]] Line& line, const Run& run) {
  if constexpr (kRacecheck) {
    const std::lock_guard lock(turns());
    beginWork(line);
    run();
  } else {
    run();
  }
}

}  // namespace lxmert::emulator
