// One block of threads. Each thread runs until it returns or has to wait. Then another thread of its warp runs, and
// then the other warps. Their order is random and changes after each barrier. Threads that never wait share one stack
// and cost one function call each. If a thread waits for another thread that never arrives, the launch fails with an
// error that names both threads and the place.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda/emulator/fiber.h"
#include "cuda/emulator/language.h"
#include "cuda/emulator/order.h"
#include "cuda/emulator/random.h"
#include "cuda/emulator/shared_memory.h"

namespace lxmert::emulator {

class Block;

// The place in the kernel's source where a thread waits. As a default argument, it is the place of the call.
struct Place {
  const char* file;
  int line;
  constexpr Place(const char* file = __builtin_FILE(), int line = __builtin_LINE()) : file(file), line(line) {}
  std::string text() const;
};

// A copy by cp.async. It is done when its thread waits for it.
struct Copy {
  void* shared;
  const void* global;  // null if zeros are copied
  int group;
  const void* place;  // the address of the call in the program
};

struct Thread {
  uint3 index;
  Block* block;
  int warp, lane;
  Fiber* fiber;      // the stack of the thread, while it runs
  const char* wait;  // the last operation in which the thread waited
  Place place;       // the place of that operation
  std::vector<Copy> copies;
  int copyGroup = 0;

  uint32_t number() const { return static_cast<uint32_t>(warp * warpSize + lane); }
};

// Does the work of all lanes of `mask` at once, from their operands.
using Together = void (*)(void* const* operands, uint32_t mask);

// Lanes that wait for each other in one operation.
struct Meeting {
  uint32_t mask, arrived;
  Together together;
};

struct Warp {
  int first, lanes;
  uint32_t all, fresh, ready, returned;  // one bit for each lane; a lane that is in none of the last three masks waits
  int position;                          // index in the order of lanes
  uint8_t order[32];
  std::vector<Meeting> meetings;
  void* operands[32];
};

// The parts of a launch that its blocks need.
struct Launch {
  const char* name;
  void (*run)(const void* arguments);  // runs one thread
  const void* arguments;
  dim3 grid, block;
  size_t sharedBytes;
};

class Block {
 public:
  static Block& ofThisThread();

  // Runs one block to its end. Throws Error if threads wait for a thread that never arrives, or if a rule is broken.
  void run(const Launch& launch, uint3 index, uint64_t seed);

  // The running thread calls the following functions.
  void barrier(Place place);
  void meet(uint32_t mask, const char* name, Together together, void* operand, Place place);
  // All lanes of the mask have reached one __syncwarp.
  void syncWarp(uint32_t mask);
  [[noreturn]] void fail(std::string what);

  void noteCopies() { copied_ = true; }
  const Launch& launch() const { return *launch_; }
  const uint3& index() const { return index_; }
  uint32_t number() const { return index_.x + launch_->grid.x * (index_.y + launch_->grid.y * index_.z); }
  const SharedMemory& shared() const { return shared_; }
  const BlockOrder& order() const { return order_; }

 private:
  static void fiberMain();
  void begin(const Launch& launch, uint3 index, uint64_t seed);
  void numberThreads(dim3 size);
  void drawOrder();
  bool pass();
  void checkShared() const;
  int nextLane(Warp& warp);
  void leave();
  void resume(Warp& warp, int lane, Fiber& from);
  Fiber& freeFiber();
  std::string whoWaits() const;
  std::string where() const;

  const Launch* launch_ = nullptr;
  uint3 index_{};
  Random random_{0};
  dim3 size_{0, 0, 0};
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<int> warpOrder_;
  int atBarrier_ = 0, returned_ = 0;
  bool copied_ = false;  // whether a thread has used cp.async
  Place barrier_;
  std::string failure_;

  Fiber main_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_;

  SharedMemory shared_;
  BlockOrder order_;  // used only in programs that search for races
};

// The device thread that runs on this thread of the CPU. A fiber always stays on one thread of the CPU.
__attribute__((tls_model("initial-exec"))) inline constinit thread_local Thread* current = nullptr;

inline void* sharedMemory() { return current->block->shared().data(); }

}  // namespace lxmert::emulator

// NOLINTBEGIN: CUDA's own names
#define threadIdx (::lxmert::emulator::current->index)
#define blockIdx (::lxmert::emulator::current->block->index())
#define blockDim (::lxmert::emulator::current->block->launch().block)
#define gridDim (::lxmert::emulator::current->block->launch().grid)

inline void __syncthreads(::lxmert::emulator::Place place = {}) { ::lxmert::emulator::current->block->barrier(place); }
// NOLINTEND
