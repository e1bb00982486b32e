#include "cpu/packed_weights.h"

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>

#include "cpu/kernels.h"
#include "cpu/product.h"

namespace lxmert::cpu {

namespace {

struct Entry {
  int64_t out, in;
  Precision precision;

  int64_t plainBytes() const { return out * in * static_cast<int64_t>(sizeof(float)); }
  int64_t packedBytes() const { return precision == Precision::BFloat16 ? plainBytes() / 2 : plainBytes(); }
};

// All packed weights of this process, by address.
class Table {
 public:
  void add(const char* weight, const Entry& entry) {
    const std::lock_guard lock(mutex_);
    entries_[weight] = entry;
    size_ = entries_.size();
  }

  // The entry that holds this address.
  std::optional<std::pair<const char*, Entry>> at(const char* address) {
    if (size_ == 0) return {};
    const std::lock_guard lock(mutex_);
    auto next = entries_.upper_bound(address);
    if (next == entries_.begin()) return {};
    --next;
    if (address >= next->first + next->second.plainBytes()) return {};
    return *next;
  }

  // Removes an entry that shares bytes with [begin, end).
  std::optional<std::pair<const char*, Entry>> take(const char* begin, const char* end) {
    if (size_ == 0) return {};
    const std::lock_guard lock(mutex_);
    auto next = entries_.lower_bound(end);
    if (next == entries_.begin()) return {};
    --next;
    if (next->first + next->second.plainBytes() <= begin) return {};
    const auto taken = *next;
    entries_.erase(next);
    size_ = entries_.size();
    return taken;
  }

 private:
  std::mutex mutex_;
  std::map<const char*, Entry> entries_;
  std::atomic<size_t> size_ = 0;  // read without the lock: most engines pack nothing
};

Table& table() {
  static Table all;
  return all;
}

void unpackInPlace(const char* weight, const Entry& entry) {
  std::vector<float> plain(entry.out * entry.in);
  unpackTo({weight, entry.precision}, entry.out, entry.in, plain.data());
  std::memcpy(const_cast<char*>(weight), plain.data(), entry.plainBytes());
}

}  // namespace

std::optional<PackedWeight> packedAt(const float* weight, int64_t out, int64_t in) {
  const char* address = reinterpret_cast<const char*>(weight);
  const auto found = table().at(address);
  if (!found) return {};
  const auto& [base, entry] = *found;
  const int64_t offset = address - base, row = in * static_cast<int64_t>(sizeof(float));
  const bool whole = in == entry.in && offset % (kPackedRows * row) == 0 && out % kPackedRows == 0 &&
                     offset + out * row <= entry.plainBytes();
  if (whole)
    return PackedWeight{base + (entry.precision == Precision::BFloat16 ? offset / 2 : offset), entry.precision};
  unpackTouched(address, 1);
  return {};
}

void unpackTouched(const char* memory, int64_t bytes) {
  while (const auto taken = table().take(memory, memory + bytes)) unpackInPlace(taken->first, taken->second);
}

void forgetPacked(const char* memory, int64_t bytes) {
  while (table().take(memory, memory + bytes)) {
  }
}

void packWeight(Device& device, const PackWeight& a) {
  const Precision precision = device.precision();
  if (a.out % kPackedRows != 0 || !canPack(a.in, a.out, precision)) return;
  char* weight = reinterpret_cast<char*>(a.weight.data);
  const Entry entry{a.out, a.in, precision};
  unpackTouched(weight, entry.plainBytes());
  std::vector<char> packed(entry.packedBytes());
  pack(a.weight.data, a.out, a.in, precision, packed.data());
  std::memcpy(weight, packed.data(), packed.size());
  table().add(weight, entry);
}

}  // namespace lxmert::cpu
