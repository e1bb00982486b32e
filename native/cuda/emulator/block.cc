#include "cuda/emulator/block.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "engine/error.h"

namespace lxmert::emulator {

Block& Block::ofThisThread() {
  static thread_local Block block;
  return block;
}

void Block::run(const Launch& launch, uint3 index, uint64_t seed) {
  begin(launch, index, seed);
  while (pass()) {
  }
  current = nullptr;
  if (!failure_.empty()) {
    // The stacks belong to threads that will not run again.
    free_.clear();
    for (const auto& fiber : fibers_) {
      fiber->restart(&Block::fiberMain);
      free_.push_back(fiber.get());
    }
    throw Error(ErrorCode::Internal, where() + ": " + std::exchange(failure_, {}));
  }
  checkShared();
}

void Block::begin(const Launch& launch, uint3 index, uint64_t seed) {
  launch_ = &launch;
  index_ = index;
  random_ = Random(seed);
  numberThreads(launch.block);
  for (Warp& warp : warps_) {
    warp.fresh = warp.all;
    warp.ready = warp.returned = 0;
    warp.meetings.clear();
  }
  if (copied_)
    for (Thread& thread : threads_) thread.copies.clear();
  copied_ = false;
  atBarrier_ = returned_ = 0;
  drawOrder();
  shared_.prepare(launch.sharedBytes);
  if constexpr (kRacecheck) order_.begin(threads_.size());
}

// All blocks of one launch have the same shape.
void Block::numberThreads(dim3 size) {
  if (size.x == size_.x && size.y == size_.y && size.z == size_.z) return;
  size_ = size;
  const int count = static_cast<int>(size.x * size.y * size.z);
  threads_.resize(count);
  uint3 i{0, 0, 0};
  for (int t = 0; t < count; ++t) {
    Thread& thread = threads_[t];
    thread.index = i;
    thread.block = this;
    thread.warp = t / warpSize;
    thread.lane = t % warpSize;
    if (++i.x == size.x) i.x = 0, ++i.y;
    if (i.y == size.y) i.y = 0, ++i.z;
  }
  warps_.resize((count + warpSize - 1) / warpSize);
  warpOrder_.resize(warps_.size());
  std::iota(warpOrder_.begin(), warpOrder_.end(), 0);
  for (size_t w = 0; w < warps_.size(); ++w) {
    Warp& warp = warps_[w];
    warp.first = static_cast<int>(w) * warpSize;
    warp.lanes = std::min(warpSize, count - warp.first);
    warp.all = warp.lanes == 32 ? ~0u : (1u << warp.lanes) - 1;
    std::iota(warp.order, warp.order + warp.lanes, uint8_t{0});
  }
}

void Block::drawOrder() {
  random_.shuffle(warpOrder_.data(), static_cast<int>(warpOrder_.size()));
  for (Warp& warp : warps_) {
    random_.shuffle(warp.order, warp.lanes);
    warp.position = 0;
  }
}

// Runs each warp until the warp waits or has ended. Returns false if the block has ended, with or without an error.
bool Block::pass() {
  for (int w : warpOrder_) {
    Warp& warp = warps_[w];
    const int lane = nextLane(warp);
    if (lane < 0) continue;
    resume(warp, lane, main_);
    if (!failure_.empty()) return false;
  }
  const int count = static_cast<int>(threads_.size());
  if (returned_ == count) return false;
  if (atBarrier_ != count) {
    failure_ = whoWaits();
    return false;
  }
  atBarrier_ = 0;
  for (Warp& warp : warps_) warp.ready = warp.all;
  if constexpr (kRacecheck) order_.syncThreads();
  drawOrder();
  return true;
}

// Takes the next lane of the warp that can run, or returns -1.
int Block::nextLane(Warp& warp) {
  const uint32_t can = warp.fresh | warp.ready;
  if (can == 0) return -1;
  for (;;) {
    const int lane = warp.order[warp.position];
    warp.position = warp.position + 1 == warp.lanes ? 0 : warp.position + 1;
    if (can >> lane & 1) return lane;
  }
}

void Block::resume(Warp& warp, int lane, Fiber& from) {
  const uint32_t bit = 1u << lane;
  current = &threads_[warp.first + lane];
  if (warp.fresh & bit)
    current->fiber = &freeFiber();  // freeFiber has cleared the bit
  else
    warp.ready &= ~bit;
  from.switchTo(*current->fiber);
}

// The running thread waits. Other threads run until one of them makes this thread ready.
void Block::leave() {
  Thread& me = *current;
  Warp& warp = warps_[me.warp];
  const int lane = nextLane(warp);
  if (lane < 0)
    me.fiber->switchTo(main_);
  else
    resume(warp, lane, *me.fiber);
}

void Block::fiberMain() {
  for (;;) {
    Block& block = *current->block;
    Warp& warp = block.warps_[current->warp];
    Fiber& me = *current->fiber;
    int lane = current->lane;
    for (;;) {
      warp.fresh &= ~(1u << lane);
      block.launch_->run(block.launch_->arguments);
      warp.returned |= 1u << lane;
      ++block.returned_;
      lane = block.nextLane(warp);
      if (lane < 0 || !(warp.fresh >> lane & 1)) break;
      // A new thread can use the same stack as long as no thread waits on it.
      current = &block.threads_[warp.first + lane];
      current->fiber = &me;
    }
    block.free_.push_back(&me);
    if (lane < 0)
      me.switchTo(block.main_);
    else
      block.resume(warp, lane, me);
  }
}

Fiber& Block::freeFiber() {
  if (free_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>(static_cast<int>(fibers_.size())));
    fibers_.back()->restart(&Block::fiberMain);
    free_.push_back(fibers_.back().get());
  }
  Fiber* fiber = free_.back();
  free_.pop_back();
  return *fiber;
}

void Block::barrier(Place place) {
  Thread& me = *current;
  if (atBarrier_ == 0) barrier_ = place;
  if (place.line != barrier_.line || std::strcmp(place.file, barrier_.file) != 0)
    fail("threads of one block meet at two barriers, " + barrier_.text() + " and " + place.text());
  ++atBarrier_;
  me.wait = "__syncthreads";
  me.place = place;
  leave();
}

void Block::meet(uint32_t mask, const char* name, Together together, void* operand, Place place) {
  Thread& me = *current;
  Warp& warp = warps_[me.warp];
  const uint32_t mine = 1u << me.lane;
  me.wait = name;
  me.place = place;
  if (!(mask & mine)) fail(std::string(name) + " at " + place.text() + ": the mask lacks the calling lane");
  warp.operands[me.lane] = operand;
  const auto meeting = std::find_if(warp.meetings.begin(), warp.meetings.end(), [&](const Meeting& m) {
    return m.mask == mask && m.together == together && !(m.arrived & mine);
  });
  if (meeting == warp.meetings.end()) {
    if (mask != mine) {
      warp.meetings.push_back({mask, mine, together});
      return leave();
    }
  } else {
    meeting->arrived |= mine;
    if (meeting->arrived != mask) return leave();
    *meeting = warp.meetings.back();
    warp.meetings.pop_back();
  }
  // The last lane to arrive does the work for all lanes, and continues.
  together(warp.operands, mask);
  warp.ready |= mask & ~mine;
}

void Block::syncWarp(uint32_t mask) {
  if constexpr (kRacecheck) order_.syncWarp(warps_[current->warp].first, mask);
}

void Block::fail(std::string what) {
  failure_ = std::move(what);
  current->fiber->switchTo(main_);
  __builtin_unreachable();
}

}  // namespace lxmert::emulator
