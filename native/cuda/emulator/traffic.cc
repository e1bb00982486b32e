// Counts the memory accesses of kernels. Instrumented programs are linked either with this file or with the search for
// races (uses.h). This file prints a line of JSON for each launch.
//
// A GPU runs the lanes of a warp together, but the emulator runs them one after the other. So the nth access of a lane
// at one place of the program (in its block) is combined with the nth access of the other lanes at that place.
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "cuda/emulator/block.h"
#include "cuda/emulator/request.h"
#include "cuda/emulator/source_place.h"
#include "cuda/emulator/uses.h"

namespace lxmert::emulator {

namespace {

enum Kind { kLoads, kStores, kShared, kKinds };
constexpr const char* kNames[kKinds] = {"loads", "stores", "shared"};
constexpr size_t kWorstPlaces = 3;

struct Sum {
  uint64_t requests = 0, bytes = 0, touched = 0, least = 0;

  void add(const Request::Cost& cost) {
    ++requests;
    bytes += cost.bytes, touched += cost.touched, least += cost.least;
  }
  void add(const Sum& other) {
    requests += other.requests;
    bytes += other.bytes, touched += other.touched, least += other.least;
  }
  uint64_t wasted() const { return touched - least; }
};

// One instruction of a kernel.
struct Site {
  int32_t place;
  Kind kind;
  Sum sum;
  // For the running block: how many times each thread has run this instruction, and the requests of each warp by that
  // number.
  std::vector<uint32_t> times;
  std::vector<std::vector<Request>> requests;

  void count(Request& request) {
    if (!request.isEmpty()) sum.add(kind == kShared ? request.passes() : request.sectors());
    request.clear();
  }
};

// Device memory, by sector: the launches that last read and wrote it.
struct Region {
  const char* begin;
  size_t bytes;
  std::vector<uint32_t> read, written;

  bool has(const char* address) const { return address >= begin && address < begin + bytes; }
};

struct State {
  std::mutex turns;
  std::vector<Region> regions;
  // Of the running launch.
  std::string name;
  uint32_t launch = 0, block = 0;
  uint64_t bytesRead = 0, bytesWritten = 0;
  std::vector<Site> sites;
  std::unordered_map<uint64_t, size_t> siteOf;
  // Kept for the whole program, because finding the place of an address is slow.
  std::map<int32_t, std::string> sources;
};

State& state() {
  static State* const all = new State;
  return *all;
}

Site& siteAt(int32_t place, Kind kind) {
  State& s = state();
  const auto [found, isNew] =
      s.siteOf.try_emplace(uint64_t{static_cast<uint32_t>(place)} * kKinds + kind, s.sites.size());
  if (isNew) s.sites.push_back({place, kind, {}, {}, {}});
  return s.sites[found->second];
}

// A request counts even if some lanes did not take part in it.
void endBlock() {
  for (Site& site : state().sites) {
    for (std::vector<Request>& warp : site.requests) {
      for (Request& request : warp) site.count(request);
      warp.clear();
    }
    std::fill(site.times.begin(), site.times.end(), 0);
  }
}

void addToRequest(Kind kind, uint64_t address, size_t bytes, const Thread& thread, int32_t place) {
  Site& site = siteAt(place, kind);
  const size_t number = thread.number(), warp = thread.warp;
  if (number >= site.times.size()) site.times.resize(number + 1);
  if (warp >= site.requests.size()) site.requests.resize(warp + 1);
  const uint32_t time = site.times[number]++;
  std::vector<Request>& requests = site.requests[warp];
  if (time >= requests.size()) requests.resize(time + 1);
  requests[time].add(thread.lane, address, bytes);
  if (requests[time].isComplete()) site.count(requests[time]);
}

// The bytes that DRAM must move if nothing leaves the cache before the launch ends.
void touch(Region& region, bool writes, const char* address, size_t bytes) {
  State& s = state();
  const size_t at = address - region.begin, end = std::min(at + bytes, region.bytes);
  for (size_t sector = at / kSectorBytes; sector * kSectorBytes < end; ++sector) {
    uint32_t& last = (writes ? region.written : region.read)[sector];
    if (last == s.launch || (!writes && region.written[sector] == s.launch)) continue;
    last = s.launch;
    (writes ? s.bytesWritten : s.bytesRead) += kSectorBytes;
  }
}

void noteAt(Use use, const char* address, size_t bytes, const Thread& thread, const void* place) {
  State& s = state();
  const SharedMemory& shared = thread.block->shared();
  if (shared.owns(address, 1)) {
    // Counted from the beginning of the block's shared memory, which is in the first bank.
    addToRequest(kShared, address - shared.data(), bytes, thread, offsetOf(place));
    return;
  }
  const auto region = std::find_if(s.regions.begin(), s.regions.end(), [&](const Region& r) { return r.has(address); });
  if (region == s.regions.end()) return;
  const bool writes = use != Use::Read;
  touch(*region, writes, address, bytes);
  addToRequest(writes ? kStores : kLoads, reinterpret_cast<uint64_t>(address), bytes, thread, offsetOf(place));
}

void printWorst() {
  State& s = state();
  std::vector<const Site*> worst;
  for (const Site& site : s.sites)
    if (site.sum.wasted() > 0) worst.push_back(&site);
  std::sort(worst.begin(), worst.end(), [](const Site* a, const Site* b) {
    return a->sum.wasted() != b->sum.wasted() ? a->sum.wasted() > b->sum.wasted() : a->place < b->place;
  });
  worst.resize(std::min(worst.size(), kWorstPlaces));
  for (const Site* site : worst) {
    std::string& source = s.sources[site->place];
    if (source.empty()) source = sourceOf(site->place);
    std::printf("%s{\"at\": \"%s\", \"kind\": \"%s\", \"requests\": %lu, \"touched\": %lu, \"least\": %lu}",
                site == worst.front() ? "" : ", ", source.c_str(), kNames[site->kind], site->sum.requests,
                site->sum.touched, site->sum.least);
  }
}

void print() {
  const State& s = state();
  Sum sums[kKinds];
  for (const Site& site : s.sites) sums[site.kind].add(site.sum);
  std::printf("{\"kernel\": \"%s\", \"read\": %lu, \"written\": %lu", s.name.c_str(), s.bytesRead, s.bytesWritten);
  for (int kind = 0; kind < kKinds; ++kind)
    std::printf(", \"%s\": {\"requests\": %lu, \"bytes\": %lu, \"touched\": %lu, \"least\": %lu}", kNames[kind],
                sums[kind].requests, sums[kind].bytes, sums[kind].touched, sums[kind].least);
  std::printf(", \"worst\": [");
  printWorst();
  std::printf("]}\n");
}

}  // namespace

std::mutex& turns() { return state().turns; }

void watch(const void* memory, size_t bytes) {
  const std::lock_guard lock(turns());
  const size_t sectors = bytes / kSectorBytes + 1;
  state().regions.push_back(
      {static_cast<const char*>(memory), bytes, std::vector<uint32_t>(sectors), std::vector<uint32_t>(sectors)});
}

void unwatch(const void* memory) {
  const std::lock_guard lock(turns());
  std::erase_if(state().regions, [&](const Region& region) { return region.begin == memory; });
}

void beginWork(Line&) {
  State& s = state();
  ++s.launch;
  s.name.clear();
  s.bytesRead = s.bytesWritten = 0;
  s.sites.clear();
  s.siteOf.clear();
}

void nameWork(const char* name) { state().name = name; }

void endWork() {
  endBlock();
  if (!state().name.empty()) print();
}

// Copies, memsets and products are not counted, because they are not kernels of this project.
void note(Use use, const void* address, size_t bytes, const Thread* thread, const void* place) {
  if (!thread) return;
  State& s = state();
  if (thread->block->number() != s.block) {
    endBlock();
    s.block = thread->block->number();
  }
  noteAt(use, static_cast<const char*>(address), bytes, *thread, place);
}

// The copy was counted when it was requested.
void noteLanded(const void*, size_t, const Thread&) {}

// Lane i reads 16 bytes of row i.
void noteMatrix(const void* const (&rows)[8], bool, const Thread& thread, const void* place) {
  if (thread.lane < 8) note(Use::Read, rows[thread.lane], sizeof(uint16_t) * 8, &thread, place);
}

}  // namespace lxmert::emulator
