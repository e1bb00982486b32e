// SplitMix64 (Steele, Lea and Flood, 2014), which gives a random order of threads and blocks. LXMERT_EMULATOR_SEED is
// its seed.
#pragma once

#include <cstdint>
#include <utility>

namespace lxmert::emulator {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  // A number in [0, n); n must be much smaller than 2^32.
  uint32_t below(uint32_t n) { return (next() >> 32) * n >> 32; }

  template <class T>
  void shuffle(T* items, int n) {
    for (int i = n - 1; i > 0; --i) std::swap(items[i], items[below(i + 1)]);
  }

 private:
  uint64_t state_;
};

}  // namespace lxmert::emulator
