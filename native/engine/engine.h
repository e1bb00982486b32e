// One device, one stream of work, six arenas. Calls check, enqueue and return; `done` callbacks come in the order of the
// calls, on the engine's thread or one of its device. Knows neither JavaScript nor CUDA.
//
// All members are to be called from one thread (the owner's); only the queue crosses over.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/command_queue.h"
#include "engine/device.h"
#include "engine/op_timer.h"
#include "engine/recording.h"

namespace lxmert {

class Engine {
 public:
  explicit Engine(std::unique_ptr<Device> device);
  // Drops what has not started and waits for what has.
  ~Engine();

  static constexpr int kLaneChange = -1;
  static int opCount();
  static const char* opName(int op);

  // Gives an arena its size, zeroed; what it held is lost, but work enqueued before still runs on it. Waits for nothing.
  // A failure leaves everything as it was.
  void reserve(ArenaId arena, int64_t bytes);
  // Bytes of all arenas.
  int64_t reserved() const;
  // What activations are kept in, besides F32.
  DType activations() const { return device_->activations(); }

  void enqueue(int op, const double* args, size_t count);
  // Ops go to lane 1 or 2 from here on, or with 0 behind both: Device::enterLane. Whatever is no op leaves the lanes.
  void enterLane(double lane);

  // Binds op calls, each as its number, the count of its arguments and these; returns the recording's number. Nothing is
  // enqueued. kLaneChange instead of an op has a lane as its argument.
  int64_t record(const double* calls, size_t count);
  // Enqueues the calls of a recording. Throws BadArgument when an arena has been reserved since. Returns what is to be told
  // of replays before, once: "" or why the device does not make one thing of them.
  std::string replay(int64_t recording);
  // Forgets a recording, once the replays enqueued so far have run.
  void forget(int64_t recording);

  // Memory of the host to upload from, 1 byte to 8 GiB: Device::hostMemory. An upload from it holds it.
  std::shared_ptr<char> hostMemory(int64_t bytes);
  // The memory that the bytes are part of; null unless it is hostMemory.
  std::shared_ptr<char> hostMemoryAt(const char* bytes, int64_t size);
  // Throws BadArgument unless the bytes lie in the arena.
  void checkPlace(const char* what, ArenaId arena, int64_t offset, int64_t bytes) const;
  // The host's bytes must stay as they are until `done`.
  struct Upload {
    ArenaId arena;
    int64_t offset;
    const char* host;
    int64_t bytes;
    // In order with all else, or beside what has been enqueued since the last upload ahead, which must not use this place.
    bool ahead = false;
    std::shared_ptr<char> memory = nullptr;  // the hostMemory that they are part of, if they are
  };
  void upload(const Upload& upload, Done done);
  void read(ArenaId arena, int64_t offset, char* host, int64_t bytes, Done done);
  void synchronize(Done done);
  // From here in the stream of work on: time each op, from zero, or stop.
  void profile(bool on);
  // Calls and seconds of each op so far, 2 opCount() numbers. `out` must stay until `done`.
  void readProfile(double* out, int64_t count, Done done);
  // Gives the arenas back once the work enqueued so far has run. Nothing may be enqueued afterwards.
  void dispose(Done done);
  // Drops what has not started; nothing may be enqueued afterwards. Waits for nothing: to end several engines at once.
  void drop() { queue_.drop(); }

  std::string deviceName() const { return device_->name(); }

 private:
  char* place(const char* what, ArenaId arena, int64_t offset, int64_t bytes) const;
  ArenaSizes sizes() const;
  std::shared_ptr<Recording> recordingAt(const char* what, int64_t recording) const;
  std::function<void()> laneChange(double lane);
  Recording::Call bindCall(int op, const double* args, size_t count);
  void call(const Recording::Call& each);
  void play(Recording& recording);
  bool capture(Recording& recording);
  void finish(Done done);
  template <class Work>
  void guarded(Work&& work);

  std::unique_ptr<Device> device_;
  Arena arenas_[kArenas];
  struct HostBlock {
    std::weak_ptr<char> memory;
    int64_t bytes;
  };
  std::vector<HostBlock> hostBlocks_;
  std::map<int64_t, std::shared_ptr<Recording>> recordings_;
  int64_t lastRecording_ = 0;
  std::mutex noteMutex_;
  std::string note_;              // under its mutex: for the next replay to tell
  bool captures_ = true;          // engine's thread only: until a capture fails
  std::optional<Error> failure_;  // engine's thread only: the first error; all later work is skipped
  OpTimer timer_{opCount()};      // engine's thread only
  CommandQueue queue_;            // last: its thread uses the others
};

}  // namespace lxmert
