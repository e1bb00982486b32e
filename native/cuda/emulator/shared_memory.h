// The shared memory of a block. It is filled with NaN at first, so that a read of unwritten memory is found. On both
// sides there are guard zones. The address sanitizer checks accesses to them; without it, they are checked after each
// block.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace lxmert::emulator {

class SharedMemory {
 public:
  void prepare(size_t bytes);
  // The first byte outside the memory that was written, counted from the beginning of the memory.
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
