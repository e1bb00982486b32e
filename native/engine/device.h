// What a back end is to the engine: memory, copies and a column of the op table. `claim`, `allocate` and `release` come
// from any thread, all else from the engine's own, in the order in which it was enqueued.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "engine/op_table.h"

namespace lxmert {

class Device {
 public:
  virtual ~Device() = default;

  // The engine's arenas are to take `bytes` together from now on; throws OutOfMemory when the machine has not that much.
  virtual void claim(int64_t bytes) { (void)bytes; }
  // Zeroed memory, aligned to 256 bytes; throws OutOfMemory.
  virtual char* allocate(int64_t bytes) = 0;
  virtual void release(char* memory, int64_t bytes) = 0;

  virtual void begin() = 0;  // first thing on the engine's thread
  virtual void copyIn(char* device, const char* host, int64_t bytes) = 0;
  virtual void copyOut(char* host, const char* device, int64_t bytes) = 0;

  virtual const OpColumn& ops() const = 0;
  // What activations are kept in.
  virtual DType activations() const { return DType::F32; }
  virtual std::string name() const = 0;
};

}  // namespace lxmert
