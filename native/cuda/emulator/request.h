// A request: the memory accesses of all lanes of a warp by one instruction, and their cost by NVIDIA's documented rules
// (docs/emulator.md, Memory traffic).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lxmert::emulator {

constexpr int kSectorBytes = 32, kBanks = 32, kBankBytes = 4;

class Request {
 public:
  // Adds one lane's part, at most 16 bytes. Each lane is added once, in any order.
  void add(int lane, uint64_t address, size_t bytes) { parts_[count_++] = {address, bytes, lane}; }
  bool isComplete() const { return count_ == kMostParts; }
  bool isEmpty() const { return count_ == 0; }
  void clear() { count_ = 0; }

  struct Cost {
    uint64_t bytes;  // distinct bytes, whichever lanes ask for them
    uint64_t touched, least;
  };
  // Sectors of global memory: those that are touched, and the fewest that hold as many bytes.
  Cost sectors() const;
  // Passes over the banks of shared memory: those that are needed, and the fewest for as many words.
  Cost passes() const;

 private:
  static constexpr int kMostParts = 32;
  struct Part {
    uint64_t address;
    size_t bytes;
    int lane;
  };
  uint64_t distinctBytes() const;

  std::array<Part, kMostParts> parts_;
  int count_ = 0;
};

}  // namespace lxmert::emulator
