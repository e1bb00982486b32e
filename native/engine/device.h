// The interface between the engine and a back end: memory, copies, and the back end's column of the op table. `claim`,
// `allocate` and `release` may be called from any thread. All other functions are called from the engine's thread, in
// the order in which the work was enqueued.
//
// A device may be asynchronous: it does its work in order, but later. `after` reports when the work is done.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "engine/op_table.h"
#include "engine/rank_sums.h"

namespace lxmert {

// The type of activations and of the operands of products. Parameters, gradients and moments are always float32.
enum class Precision : int32_t { Float32, BFloat16 };

// Reports how an asynchronous call ended: null, or the error. It is called once, on the engine's thread or on a thread
// of its device. It is not called if the engine ends first.
using Done = std::function<void(const Error*)>;

// Work that a device can launch as a whole: a CUDA graph.
class Captured {
 public:
  virtual ~Captured() = default;
  virtual void launch() = 0;
};

// Bytes on the host that are to be copied to the device.
struct HostBytes {
  const char* data;
  int64_t size;
  bool stays = false;  // it is hostMemory, and does not change until the next callback given to `after` is called
};

class Device {
 public:
  virtual ~Device() = default;

  // Announces the sizes that the engine's arenas will have. Throws OutOfMemory if the machine does not have enough
  // memory.
  virtual void claim(const ArenaSizes& sizes) { (void)sizes; }
  // Memory for an arena, filled with zeros and aligned to 256 bytes. Throws OutOfMemory.
  virtual char* allocate(ArenaId arena, int64_t bytes) = 0;
  virtual void release(char* memory, int64_t bytes) = 0;

  // Host memory, filled with zeros, from which the device copies directly. May be called from any thread. Throws
  // OutOfMemory.
  virtual std::shared_ptr<char> hostMemory(int64_t bytes) {
    char* memory = static_cast<char*>(std::calloc(bytes, 1));
    if (!memory)
      throw Error(ErrorCode::OutOfMemory, "the system has no " + std::to_string(bytes) + " bytes of host memory left");
    return {memory, [](char* base) { std::free(base); }};
  }

  virtual void begin() = 0;  // called first, on the engine's thread
      // Sends later ops to lane 1 or 2. Both lanes run after everything enqueued before them, and may run at the same
      // time. Lane 0 ends both lanes: later ops run after them. A device with one stream runs all ops in order.
  virtual void enterLane(int lane) { (void)lane; }
  // When this returns, the caller may change the host's bytes, unless they are marked `stays`.
  virtual void copyIn(char* device, const HostBytes& host) = 0;
  // Like copyIn, but may run at the same time as the work that has been enqueued since the last call of this function.
  // That work must not use the bytes at `device`. Work that is enqueued later reads the new values.
  virtual void copyInAhead(char* device, const HostBytes& host) { copyIn(device, host); }
  // `host` holds the values when the next callback given to `after` is called.
  virtual void copyOut(char* host, const char* device, int64_t bytes) = 0;
  // Calls `done` when all work that has been enqueued so far is done. If this work failed, `done` gets the error.
  // Callbacks are called in the order of these calls.
  virtual void after(Done done) { done(nullptr); }
  // Waits for all work that has been enqueued so far.
  virtual void wait() {}

  // Turns the ops that `work` calls into one launch, without running them. The same ops must have been run once before.
  // Returns null on a device for which one launch has no advantage. Throws Error if it fails; the device can then be
  // used as before.
  virtual std::unique_ptr<Captured> capture(const std::function<void()>& work) {
    (void)work;
    return nullptr;
  }

  // The calls of Engine::Share on this device. target = a + b; `target` may be one of them.
  virtual void addFloats(float* target, const float* a, const float* b, int64_t size) {
    (void)target, (void)a, (void)b, (void)size;
    throw Error(ErrorCode::Unsupported, "gradient parts do not work on " + name());
  }
  virtual void copyFloats(float* target, const float* source, int64_t size) {
    (void)target, (void)source, (void)size;
    throw Error(ErrorCode::Unsupported, "gradient parts do not work on " + name());
  }
  // The end of the op gradNorm, from the sum of squares of each chunk.
  virtual void finishNorm(Span<const float> squares, Span<const float> sums, float* norm) {
    (void)squares, (void)sums, (void)norm;
    throw Error(ErrorCode::Unsupported, "a sharded optimizer does not work on " + name());
  }
  // Sums over the ranks of a run, in the memory of this device. The object must end before the device. The device calls
  // nothing of the other ranks yet: RankSums::connect does that.
  virtual std::shared_ptr<RankSums> rankSums(const RankGroup& group) {
    (void)group;
    throw Error(ErrorCode::Unsupported, "several ranks do not work on " + name());
  }

  virtual const OpColumn& ops() const = 0;
  virtual Precision precision() const { return Precision::Float32; }
  // The type that activations may have, besides F32.
  virtual DType activations() const { return DType::F32; }
  virtual std::string name() const = 0;
};

}  // namespace lxmert
