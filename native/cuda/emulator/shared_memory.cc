#include "cuda/emulator/shared_memory.h"

#include <cstring>

#include "cuda/emulator/fiber.h"

namespace lxmert::emulator {

namespace {

constexpr size_t kZone = 256;
constexpr unsigned char kZoneByte = 0xA5;

}  // namespace

void SharedMemory::prepare(size_t bytes) {
  const size_t all = kZone + bytes + kZone;
#if LXMERT_ASAN
  if (!memory_.empty()) __asan_unpoison_memory_region(memory_.data(), memory_.size());
#endif
  if (memory_.size() < all) memory_.resize(all);
  data_ = memory_.data() + kZone;
  bytes_ = bytes;
  std::memset(memory_.data(), kZoneByte, kZone);
  std::memset(data_, 0xFF, bytes);
  std::memset(data_ + bytes, kZoneByte, kZone);
#if LXMERT_ASAN
  __asan_poison_memory_region(memory_.data(), kZone);
  __asan_poison_memory_region(data_ + bytes, memory_.data() + memory_.size() - (data_ + bytes));
#endif
}

std::optional<std::ptrdiff_t> SharedMemory::overrun() const {
#if !LXMERT_ASAN
  const auto bytes = static_cast<std::ptrdiff_t>(bytes_), zone = static_cast<std::ptrdiff_t>(kZone);
  for (std::ptrdiff_t i = -zone; i < bytes + zone; i = i == -1 ? bytes : i + 1)
    if (static_cast<unsigned char>(data_[i]) != kZoneByte) return i;
#endif
  return std::nullopt;
}

}  // namespace lxmert::emulator
