// The shared memory of a block. It begins as NaN: what was not written must not look like anything. Zones on both sides are
// watched by the address sanitizer, else looked at after each block.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace lxmert::emulator {

class SharedMemory {
 public:
  void prepare(size_t bytes);
  // The first byte outside that was written, counted from the memory's beginning.
  std::optional<std::ptrdiff_t> overrun() const;

  char* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  bool owns(const void* address, size_t bytes) const {
    const char* at = static_cast<const char*>(address);
    return at >= data_ && at + bytes <= data_ + bytes_;
  }

 private:
  std::vector<char> memory_;  // with the zones
  char* data_ = nullptr;      // aligned to 16 bytes, as the vector's memory is
  size_t bytes_ = 0;
};

}  // namespace lxmert::emulator
