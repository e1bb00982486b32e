#include "cuda/emulator/order.h"

#include <atomic>

namespace lxmert::emulator {

uint32_t Line::fresh() {
  static std::atomic<uint32_t> lines = 0;
  return lines++;
}

Line& Line::ofHost() {
  static thread_local Line line;
  return line;
}

void BlockOrder::syncWarp(int first, uint32_t mask) {
  const auto eachLane = [&](auto&& body) {
    for (int lane = 0; lane < 32; ++lane)
      if (mask >> lane & 1) body(lane, known_[first + lane].of);
  };
  Known all{};
  eachLane([&](int, const uint32_t* known) {
    for (int i = 0; i < 32; ++i) all.of[i] = std::max(all.of[i], known[i]);
  });
  eachLane([&](int lane, uint32_t* known) {
    std::copy(std::begin(all.of), std::end(all.of), known);
    latest_ = std::max(latest_, ++known[lane]);
  });
}

}  // namespace lxmert::emulator
