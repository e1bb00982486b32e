// One device, one stream of work, five arenas. Calls check, enqueue and return; `done` callbacks come on the engine's
// thread. Knows neither JavaScript nor CUDA.
//
// All members are to be called from one thread (the owner's); only the queue crosses over.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "engine/command_queue.h"
#include "engine/device.h"

namespace lxmert {

// Says how an asynchronous call ended: null, or the error. Called exactly once, on the engine's thread, unless the
// engine is aborted first.
using Done = std::function<void(const Error*)>;

class Engine {
 public:
  explicit Engine(std::unique_ptr<Device> device);
  ~Engine();

  static int opCount();
  static const char* opName(int op);

  // (Re)allocates an arena, zeroed; what it held is lost. Waits for the work enqueued so far.
  void reserve(ArenaId arena, int64_t bytes);
  int64_t reserved(ArenaId arena) const { return arenas_[static_cast<int>(arena)].bytes; }

  void enqueue(int op, const double* args, size_t count);
  // `host` must stay as it is until `done`.
  void upload(ArenaId arena, int64_t offset, const char* host, int64_t bytes, Done done);
  void read(ArenaId arena, int64_t offset, char* host, int64_t bytes, Done done);
  void synchronize(Done done);
  // Gives the arenas back once the work enqueued so far has run. Nothing may be enqueued afterwards.
  void dispose(Done done);

  // Drops what has not started and waits for what has. Idempotent.
  void abort() { queue_.abort(); }

  std::string deviceName() const { return device_->name(); }

 private:
  char* place(const char* what, ArenaId arena, int64_t offset, int64_t bytes) const;
  void finish(const Done& done);
  void releaseArenas();
  template <class Work>
  void guarded(Work&& work);

  std::unique_ptr<Device> device_;
  Arena arenas_[kArenas];
  std::optional<Error> failure_;  // engine's thread only: the first error; all later work is skipped
  CommandQueue queue_;            // last: its thread uses the others
};

}  // namespace lxmert
