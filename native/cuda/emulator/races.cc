// Searches for data races on a device: two accesses to one place without an order between them (order.h), of which at
// least one is a write. The order in which the emulator runs them does not matter. The search covers device memory and
// shared memory, in units of two bytes. It stores the last write of each unit and three later reads.
#include "cuda/emulator/uses.h"

#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "cuda/emulator/launch.h"
#include "cuda/emulator/source_place.h"
#include "engine/error.h"

namespace lxmert::emulator {

namespace {

constexpr size_t kGrain = 2;  // bytes of one unit: the smallest value that threads share is a bfloat16
constexpr uint32_t kMostTime = (1u << 20) - 1;

struct Access {
  uint32_t work;  // number of the work; 0: there was no access
  uint32_t block;
  uint32_t who;  // thread, kind of use and time
  int32_t place;

  static uint32_t whoOf(uint32_t thread, Use use, uint32_t time) {
    return thread | static_cast<uint32_t>(use) << 10 | time << 12;
  }
  int thread() const { return static_cast<int>(who & 1023); }
  Use use() const { return static_cast<Use>(who >> 10 & 3); }
  uint32_t time() const { return who >> 12; }
};

struct Cell {
  Access write;
  Access others[3];  // reads and atomics since the last write
};

struct Unmap {
  size_t bytes;
  void operator()(Cell* cells) const { munmap(cells, bytes); }
};
using Cells = std::unique_ptr<Cell[], Unmap>;

// New pages, which contain zeros and take memory only when they are used. Each cell lies within one cache line.
Cells cellsFor(size_t bytes) {
  const size_t size = (bytes / kGrain + 1) * sizeof(Cell);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return {static_cast<Cell*>(memory), Unmap{size}};
}

struct Region {
  const char* begin;
  size_t bytes;
  Cells cells;

  bool has(const char* address) const { return address >= begin && address < begin + bytes; }
};

// A piece of work that has begun. Its index is its number.
struct Piece {
  const char* name;
  uint32_t line, place;
};

// Only the work that is running uses these members.
struct State {
  std::mutex turns;
  std::vector<Region> regions;
  size_t last = 0;  // the region that was used last
  // Cells of the running block; entries of other blocks are ignored.
  Cells shared = cellsFor(kMostSharedBytes);
  std::vector<Piece> pieces{1};
  const Clock* clock = nullptr;  // all events that come before the last piece of work
};

State& state() {
  static State* const all = new State;
  return *all;
}

// The current access, with all data that determine which accesses come before it.
struct Now {
  Access access;
  const Thread* thread;

  bool isAfter(const Access& other) const {
    if (other.use() == Use::Copy) return false;
    if (other.work != access.work) {
      const Piece& piece = state().pieces[other.work];
      return state().clock->of(piece.line) >= piece.place;
    }
    if (other.block != access.block) return false;
    return !thread || thread->block->order().isBefore(other.thread(), other.time(), access.thread());
  }
  bool races(const Access& other) const {
    const bool areAlike = other.use() == access.use() && (other.use() == Use::Read || other.use() == Use::Atomic);
    return other.work != 0 && !areAlike && !isAfter(other);
  }
  bool isSame(const Access& other) const {
    return other.work == access.work && other.block == access.block && other.who == access.who;
  }
  // How similar two accesses are. If several accesses are similar, it is enough to store a few of them.
  int nearness(const Access& other) const {
    if (other.work != access.work) return 0;
    if (other.block != access.block) return 1;
    return other.thread() / 32 == access.thread() / 32 ? 3 : 2;
  }
};

const char* didTo(Use use) {
  switch (use) {
    case Use::Read:
      return "read it";
    case Use::Write:
      return "wrote it";
    case Use::Atomic:
      return "changed it atomically";
    case Use::Copy:
      return "copies to it by cp.async and has not waited for that";
  }
  return "";
}

std::string describe(const Now& now, const Access& other, const std::string& what) {
  const auto at = [](const Access& a) { return a.place == 0 ? std::string() : " (" + sourceOf(a.place) + ")"; };
  const bool sameWork = other.work == now.access.work, sameBlock = sameWork && other.block == now.access.block;
  std::string text = "race on " + what + ": ";
  text += now.thread ? "thread " + std::to_string(now.access.thread()) : "it";
  text += std::string(now.access.use() == Use::Read ? " reads" : " writes") + at(now.access) + "; ";
  if (!sameWork) text += std::string(state().pieces[other.work].name) + ": ";
  if (other.place != 0) text += "thread " + std::to_string(other.thread()) + " ";
  if (other.place != 0 && !sameBlock) text += "of block " + std::to_string(other.block) + " ";
  text += didTo(other.use()) + at(other);
  if (!sameWork) return text + "; no stream or event orders the two";
  if (!sameBlock) return text + "; nothing orders the blocks of a launch";
  return other.use() == Use::Copy ? text : text + "; no barrier of both is between";
}

[[noreturn]] void fail(const Thread* thread, const std::string& text) {
  if (thread) thread->block->fail(text);
  throw Error(ErrorCode::Internal, std::string(state().pieces.back().name) + ": " + text);
}

void keep(Cell& cell, const Now& now) {
  Access* place = nullptr;
  int nearest = -1;
  for (Access& other : cell.others) {
    if (other.work == 0 || (other.use() == now.access.use() && now.isAfter(other))) {
      place = &other;
      break;
    }
    if (now.nearness(other) < nearest) continue;
    nearest = now.nearness(other);
    place = &other;
  }
  *place = now.access;
}

// The cells from this address on, and their region. Empty for memory that is not checked.
struct Found {
  Cell* cells = nullptr;
  const char* begin;
  size_t bytes;
  bool shared;
};

Found find(const char* address, const Thread* thread) {
  State& s = state();
  if (thread && thread->block->shared().owns(address, 1)) {
    const SharedMemory& memory = thread->block->shared();
    return {s.shared.get() + (address - memory.data()) / kGrain, memory.data(), memory.bytes(), true};
  }
  if (s.last >= s.regions.size() || !s.regions[s.last].has(address)) {
    s.last = std::find_if(s.regions.begin(), s.regions.end(), [&](const Region& r) { return r.has(address); }) -
             s.regions.begin();
    if (s.last == s.regions.size()) return {};
  }
  const Region& region = s.regions[s.last];
  return {region.cells.get() + (address - region.begin) / kGrain, region.begin, region.bytes, false};
}

std::string nameOf(const Found& found, const char* address) {
  return "byte " + std::to_string(address - found.begin) + " of " + std::to_string(found.bytes) + " of " +
         (found.shared ? "shared" : "device") + " memory";
}

void forgetOthers(Cell& cell, const Access& mine) {
  for (Access* each : {&cell.write, cell.others, cell.others + 1, cell.others + 2})
    if (each->work != mine.work || each->block != mine.block) each->work = 0;
}

Access accessBy(Use use, const Thread* thread, const void* place) {
  Access access{static_cast<uint32_t>(state().pieces.size() - 1), 0, Access::whoOf(0, use, 0), offsetOf(place)};
  if (!thread) return access;
  const uint32_t number = thread->number(), time = thread->block->order().time(static_cast<int>(number));
  if (time > kMostTime) fail(thread, "more barriers in one block than the search for races can count");
  access.block = thread->block->number();
  access.who = Access::whoOf(number, use, time);
  return access;
}

// Returns the access that is in a race with this one. If there is none, stores this access and returns null.
const Access* noteIn(Cell& cell, const Now& now) {
  if (now.access.use() == Use::Read && now.isSame(cell.others[0])) return nullptr;  // it has been checked already
  if (now.races(cell.write)) return &cell.write;
  for (const Access& other : cell.others)
    if (now.races(other)) return &other;
  const Use use = now.access.use();
  if (use == Use::Write || use == Use::Copy) {
    cell = {now.access, {}};
  } else {
    keep(cell, now);
  }
  return nullptr;
}

}  // namespace

std::mutex& turns() { return state().turns; }

void watch(const void* memory, size_t bytes) {
  const std::lock_guard lock(turns());
  state().regions.push_back({static_cast<const char*>(memory), bytes, cellsFor(bytes)});
}

void unwatch(const void* memory) {
  const std::lock_guard lock(turns());
  std::erase_if(state().regions, [&](const Region& region) { return region.begin == memory; });
}

void beginWork(Line& line) {
  line.clock.advance(line.number);
  state().pieces.push_back({"work", line.number, line.clock.of(line.number)});
  state().clock = &line.clock;
}

void nameWork(const char* name) { state().pieces.back().name = name; }

void endWork() {}

void note(Use use, const void* address, size_t bytes, const Thread* thread, const void* place) {
  const char* const first = static_cast<const char*>(address);
  const Found found = find(first, thread);
  if (!found.cells) return;
  const Now now{accessBy(use, thread, place), thread};
  // Accesses beyond the end are found by other checks.
  const size_t at = first - found.begin, end = std::min(at + bytes, found.bytes);
  const size_t cells = (end + kGrain - 1) / kGrain - at / kGrain;
  for (size_t i = 0; i < cells; ++i) {
    Cell& cell = found.cells[i];
    if (found.shared) forgetOthers(cell, now.access);
    if (const Access* other = noteIn(cell, now)) fail(thread, describe(now, *other, nameOf(found, first + i * kGrain)));
  }
}

void noteLanded(const void* shared, size_t bytes, const Thread& thread) {
  Cell* const cells = find(static_cast<const char*>(shared), &thread).cells;
  const uint32_t who = accessBy(Use::Write, &thread, nullptr).who;
  for (size_t i = 0; i < bytes / kGrain; ++i) cells[i].write.who = who;
}

// The lane that receives a row counts as its reader, even if another lane gave the address.
void noteMatrix(const void* const (&rows)[8], bool transposed, const Thread& thread, const void* place) {
  const int g = thread.lane / 4, t = thread.lane % 4;
  if (!transposed) return note(Use::Read, static_cast<const char*>(rows[g]) + 4 * t, 4, &thread, place);
  for (int row = 2 * t; row <= 2 * t + 1; ++row)
    note(Use::Read, static_cast<const char*>(rows[row]) + 2 * g, 2, &thread, place);
}

}  // namespace lxmert::emulator
