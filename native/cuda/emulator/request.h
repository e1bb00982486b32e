// A request: what the lanes of a warp ask of memory by one instruction, and what that costs by NVIDIA's documented rules
// (docs/emulator.md, Memory traffic).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lxmert::emulator {

constexpr int kSectorBytes = 32, kBanks = 32, kBankBytes = 4;

class Request {
 public:
  // One lane's part, at most 16 bytes; each lane comes once, in any order.
  void add(int lane, uint64_t address, size_t bytes) { parts_[count_++] = {address, bytes, lane}; }
  bool isComplete() const { return count_ == kMostParts; }
  bool isEmpty() const { return count_ == 0; }
  void clear() { count_ = 0; }

  struct Cost {
    uint64_t bytes;  // asked for, by however many lanes
    uint64_t touched, least;
  };
  // Sectors of global memory that are touched, and that as many bytes would fill.
  Cost sectors() const;
  // Passes over shared memory's banks that it takes, and that as many words would take side by side.
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
