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
    uint64_t bytes;  // distinct bytes; a byte that several lanes access counts once
    uint64_t touched, least;
  };
  // Sectors of global memory: the number that is accessed, and the smallest number that can contain as many bytes.
  Cost sectors() const;
  // Passes over the banks of shared memory: the number that is needed, and the smallest number that is possible for as
  // many words.
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
