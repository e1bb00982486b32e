// What a back end is to the engine: memory, copies and a column of the op table. `claim`, `allocate` and `release` come
// from any thread, all else from the engine's own, in the order in which it was enqueued.
//
// A device may work behind: what it has been given is done in order, at some time, and `after` tells when.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "engine/op_table.h"

namespace lxmert {

// What activations are kept in and products are made of; parameters, gradients and moments are float32 always.
enum class Precision : int32_t { Float32, BFloat16 };

// Says how an asynchronous call ended: null, or the error. Called once unless the engine ends first, on the engine's
// thread or one of its device.
using Done = std::function<void(const Error*)>;

// What a device has made of some work: a CUDA graph.
class Captured {
 public:
  virtual ~Captured() = default;
  virtual void launch() = 0;
};

// What is copied to the device.
struct HostBytes {
  const char* data;
  int64_t size;
  bool stays = false;  // it is hostMemory, and as it is until what is given to `after` next is called
};

class Device {
 public:
  virtual ~Device() = default;

  // The engine's arenas are to take so much from now on; throws OutOfMemory when the machine has not that much.
  virtual void claim(const ArenaSizes& sizes) { (void)sizes; }
  // Zeroed memory, aligned to 256 bytes, for an arena; throws OutOfMemory.
  virtual char* allocate(ArenaId arena, int64_t bytes) = 0;
  virtual void release(char* memory, int64_t bytes) = 0;

  // Memory of the host, zeroed, that the device copies from without help: from any thread. Throws OutOfMemory.
  virtual std::shared_ptr<char> hostMemory(int64_t bytes) {
    char* memory = static_cast<char*>(std::calloc(bytes, 1));
    if (!memory) throw Error(ErrorCode::OutOfMemory, "no " + std::to_string(bytes) + " bytes of host memory to be had");
    return {memory, [](char* base) { std::free(base); }};
  }

  virtual void begin() = 0;  // first thing on the engine's thread
  // Ops go to lane 1 or 2 from here on, which may run side by side: behind all that came before the two parted, and in no
  // order with each other. 0: behind both. A device with one stream does them in order.
  virtual void enterLane(int lane) { (void)lane; }
  // The host's bytes are free again when this returns, unless they stay.
  virtual void copyIn(char* device, const HostBytes& host) = 0;
  // The same, beside the work that has been enqueued since the last call of this: it must have nothing to do with `device`.
  // What is enqueued later finds the values.
  virtual void copyInAhead(char* device, const HostBytes& host) { copyIn(device, host); }
  // `host` holds the values when what is given to `after` next is called.
  virtual void copyOut(char* host, const char* device, int64_t bytes) = 0;
  // Calls `done` when everything so far has been done, with its error if it failed. In the order of these calls.
  virtual void after(Done done) { done(nullptr); }
  // Waits for the same.
  virtual void wait() {}

  // Makes one thing of the ops that `work` calls, without running them; they have been run before. Null where nothing is
  // faster than calling them again. Throws Error when it fails, and leaves the device as it was.
  virtual std::unique_ptr<Captured> capture(const std::function<void()>& work) {
    (void)work;
    return nullptr;
  }

  virtual const OpColumn& ops() const = 0;
  virtual Precision precision() const { return Precision::Float32; }
  // What activations may be, besides F32.
  virtual DType activations() const { return DType::F32; }
  virtual std::string name() const = 0;
};

}  // namespace lxmert
