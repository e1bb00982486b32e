// How long each op of the table ran, and how often. Off until asked for: then a cell an op, two looks at a clock
// a call, and on a device that works behind, a wait for it.
// All members are for the engine's thread alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace lxmert {

class OpTimer {
 public:
  explicit OpTimer(int ops) : cells_(ops) {}

  // Starts anew from zero, or stops; what was measured can still be read then.
  void start() {
    cells_.assign(cells_.size(), {});
    on_ = true;
  }
  void stop() { on_ = false; }

  bool on() const { return on_; }

  template <class Work>
  void time(int op, Work&& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    ++cells_[op].calls;
    cells_[op].seconds += seconds.count();
  }

  // Calls and seconds of each op, two numbers an op: `out` has room for all.
  void read(double* out) const {
    for (const Cell& cell : cells_) {
      *out++ = static_cast<double>(cell.calls);
      *out++ = cell.seconds;
    }
  }

 private:
  struct Cell {
    int64_t calls = 0;
    double seconds = 0;
  };
  std::vector<Cell> cells_;
  bool on_ = false;
};

}  // namespace lxmert
