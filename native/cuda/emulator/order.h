// The order of events on a device, for the search for races (races.cc): among pieces of work, and among the threads of
// a block. Events that are not ordered here may happen in any order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace lxmert::emulator {

#ifdef LXMERT_RACECHECK
inline constexpr bool kRacecheck = true;
#else
inline constexpr bool kRacecheck = false;
#endif

// A vector clock: for each line of work, the latest event of that line that comes before this point. A line is a stream
// or a host thread. A host thread does the work of the default stream at once.
class Clock {
 public:
  uint32_t of(uint32_t line) const { return line < pieces_.size() ? pieces_[line] : 0; }
  void advance(uint32_t line) {
    if (line >= pieces_.size()) pieces_.resize(line + 1);
    ++pieces_[line];
  }
  void join(const Clock& other) {
    if (other.pieces_.size() > pieces_.size()) pieces_.resize(other.pieces_.size());
    for (size_t i = 0; i < other.pieces_.size(); ++i) pieces_[i] = std::max(pieces_[i], other.pieces_[i]);
  }

 private:
  std::vector<uint32_t> pieces_;
};

// A line, and all events that come before its next piece of work.
struct Line {
  uint32_t number = fresh();
  Clock clock;

  // The line of the running host thread. The order that mutexes give to host threads is not recorded.
  static Line& ofHost();

 private:
  static uint32_t fresh();
};

// The threads of a block. __syncthreads orders all of them, and __syncwarp orders the lanes of its mask. No other
// operation orders threads. A shuffle or a vote exchanges values but does not order memory.
class BlockOrder {
 public:
  void begin(size_t threads) {
    known_.resize(threads);
    barrier_ = latest_ = 0;
    syncThreads();
  }
  void syncThreads() {
    barrier_ = ++latest_;
    for (size_t t = 0; t < known_.size(); ++t) {
      std::fill(std::begin(known_[t].of), std::end(known_[t].of), barrier_ - 1);
      known_[t].of[t % 32] = barrier_;
    }
  }
  // The lanes of the warp that begins with this thread.
  void syncWarp(int first, uint32_t mask);

  // The time of the current event of a thread.
  uint32_t time(int thread) const { return known_[thread].of[thread % 32]; }
  // Whether the event of a thread at this time comes before the current event of the other thread.
  bool isBefore(int thread, uint32_t time, int other) const {
    return time < barrier_ || thread == other || (thread / 32 == other / 32 && time <= known_[other].of[thread % 32]);
  }

 private:
  // For a thread: the time of each lane of its warp (also of the thread itself) up to which events of that lane come
  // before the thread's current event.
  struct Known {
    uint32_t of[32];
  };
  std::vector<Known> known_;
  uint32_t barrier_ = 0, latest_ = 0;  // times of the last barrier and of the last event
};

}  // namespace lxmert::emulator
