// Op calls that are bound once and run many times. With a replay, the host does not have to check and bind the calls of
// each step again.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "engine/arenas.h"
#include "engine/device.h"

namespace lxmert {

class Recording {
 public:
  // Work that is done after the launch of a captured graph.
  using Later = std::function<void()>;
  struct Call {
    int op;
    std::function<void()> run;
    // Only for calls to other ranks, which a graph must not contain: ranks capture in different steps, and would wait for
    // each other. Notes the place of the call in the graph, and returns the call, for every launch.
    std::function<Later()> split = nullptr;
  };

  Recording(std::vector<Call> calls, const Arena (&arenas)[kArenas]) : calls_(std::move(calls)) {
    for (int i = 0; i < kArenas; ++i) arenas_[i] = arenas[i].memory;
  }

  // Whether the arenas still have the memory to which the calls were bound. A recording does not keep that memory
  // alive.
  bool fits(const Arena (&arenas)[kArenas]) const {
    for (int i = 0; i < kArenas; ++i)
      if (arenas_[i].owner_before(arenas[i].memory) || arenas[i].memory.owner_before(arenas_[i])) return false;
    return true;
  }

  const std::vector<Call>& calls() const { return calls_; }

  // Used on the engine's thread: whether the calls have been run once, and the graph that the device has captured.
  bool ran = false;
  std::unique_ptr<Captured> captured;
  std::vector<Later> afterLaunch;

 private:
  std::vector<Call> calls_;
  std::array<std::weak_ptr<char>, kArenas> arenas_;
};

}  // namespace lxmert
