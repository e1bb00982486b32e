#include "cuda/emulator/request.h"

#include <algorithm>
#include <iterator>

namespace lxmert::emulator {

namespace {

constexpr size_t kMostBytes = 16;  // the bytes that one lane accesses

// A small set of numbers.
template <size_t kMost>
class Few {
 public:
  void add(uint64_t value) {
    if (std::find(values_, values_ + count_, value) == values_ + count_) values_[count_++] = value;
  }
  const uint64_t* begin() const { return values_; }
  const uint64_t* end() const { return values_ + count_; }
  uint64_t size() const { return count_; }

 private:
  uint64_t values_[kMost];
  size_t count_ = 0;
};

// Calls body(unit) for each unit of this many bytes that a part touches.
template <class Part, class Body>
void eachUnit(const Part& part, int bytes, Body&& body) {
  for (uint64_t unit = part.address / bytes; unit <= (part.address + part.bytes - 1) / bytes; ++unit) body(unit);
}

constexpr uint64_t roundedUp(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit; }

}  // namespace

uint64_t Request::distinctBytes() const {
  std::array<Part, kMostParts> sorted = parts_;
  std::sort(sorted.begin(), sorted.begin() + count_,
            [](const Part& a, const Part& b) { return a.address < b.address; });
  uint64_t sum = 0, end = 0;
  for (int i = 0; i < count_; ++i) {
    const uint64_t partEnd = sorted[i].address + sorted[i].bytes;
    sum += partEnd - std::clamp(end, sorted[i].address, partEnd);
    end = std::max(end, partEnd);
  }
  return sum;
}

Request::Cost Request::sectors() const {
  Few<2 * kMostParts> sectors;
  for (int i = 0; i < count_; ++i) eachUnit(parts_[i], kSectorBytes, [&](uint64_t sector) { sectors.add(sector); });
  const uint64_t bytes = distinctBytes();
  return {bytes, sectors.size(), roundedUp(bytes, kSectorBytes)};
}

// If lanes access up to 4 bytes each, the whole warp is processed together; with 8 bytes each in two halves of the
// warp, and with 16 bytes each in four quarters. In one pass, each bank gives one word, to any number of lanes.
Request::Cost Request::passes() const {
  Cost cost{distinctBytes(), 0, 0};
  size_t widest = kBankBytes;
  for (int i = 0; i < count_; ++i) widest = std::max(widest, parts_[i].bytes);
  const int lanes = kMostParts * kBankBytes / static_cast<int>(widest);
  for (int first = 0; first < kMostParts; first += lanes) {
    Few<kMostParts * kMostBytes / kBankBytes> words;
    for (int i = 0; i < count_; ++i)
      if (parts_[i].lane / lanes == first / lanes)
        eachUnit(parts_[i], kBankBytes, [&](uint64_t word) { words.add(word); });
    uint64_t inBank[kBanks] = {};
    for (const uint64_t word : words) ++inBank[word % kBanks];
    cost.touched += *std::max_element(std::begin(inBank), std::end(inBank));
    cost.least += roundedUp(words.size(), kBanks);
  }
  return cost;
}

}  // namespace lxmert::emulator
