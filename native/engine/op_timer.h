// Counts the calls of each op and measures their time while it is switched on. Measuring costs two readings of a clock
// for each call, and on an asynchronous device a wait for the call to end. All members are for the engine's thread
// only.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace lxmert {

class OpTimer {
 public:
  explicit OpTimer(int ops) : cells_(ops) {}

  // `start` begins at zero. After `stop` the results can still be read.
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

  // Calls and seconds of each op, two numbers each; `out` must have room for all ops.
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
