// One device, one queue of work, six arenas. A call checks its arguments, enqueues and returns. `done` callbacks come
// in the order of the calls, on the engine's thread or on a thread of its device. The engine depends neither on
// JavaScript nor on CUDA.
//
// All members must be called from the thread that made the engine. Only the commands of the queue run on another
// thread.
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
#include "engine/rank_sums.h"
#include "engine/recording.h"

namespace lxmert {

class Engine {
 public:
  explicit Engine(std::unique_ptr<Device> device);
  // Drops work that has not started, and waits for the running work.
  ~Engine();

  static constexpr int kLaneChange = -1;
  static constexpr int kShare = -2;
  // The kinds of calls of kShare. The comments list their arguments. A place is an arena and an offset in bytes.
  enum class Share {
    Add,      // count, target, a, b: target = a + b, floats
    Copy,     // count, target, source: floats
    Start,    // count, target, one place for each node: hands a bucket to the ranks
    Scatter,  // number of slices + 1, the slices of the bucket, then as Start
    Gather,   // owner, count, place, for each piece: hands pieces to the ranks
    Norm,     // count, squares [count], number of sums, sums, norm [2]: the end of the op gradNorm
    Finish,   // waits for all that was handed to the ranks
  };
  static int opCount();
  static const char* opName(int op);

  // Gives an arena new memory of this size, filled with zeros. The contents of the arena are lost, but work that is
  // already enqueued still uses the old memory. Does not wait. If it fails, the arena does not change.
  void reserve(ArenaId arena, int64_t bytes);
  // Bytes of all arenas.
  int64_t reserved() const;
  // The type of activations, besides F32.
  DType activations() const { return device_->activations(); }

  void enqueue(int op, const double* args, size_t count);
  // Sends later ops to a lane: Device::enterLane. Uploads, reads and all other calls that are not ops end the lanes.
  void enterLane(double lane);

  // Sets the ranks of the run, for the calls of kShare. On the CPU they are given. Other devices make their own sums for
  // the group. `done` reports that all ranks are connected.
  void join(std::shared_ptr<RankSums> ranks);
  std::shared_ptr<RankSums> join(const RankGroup& group, Done done);
  // Enqueues a call of kShare.
  void share(const double* args, size_t count);

  // Binds op calls and returns the number of the recording; enqueues nothing. Each call is written as the op's number,
  // the count of its arguments, and the arguments. Instead of an op's number there may be kLaneChange, whose argument
  // is a lane, or kShare, whose arguments are a Share and its arguments.
  int64_t record(const double* calls, size_t count);
  // Enqueues the calls of a recording. Throws BadArgument when an arena has been reserved since it was made. Returns a
  // note about an earlier replay, once: "" or why the device could not capture it.
  std::string replay(int64_t recording);
  // Returns the note about an earlier replay without a new replay. If it is called after all enqueued work is done, no
  // note can come later.
  std::string takeNote();
  // Forgets a recording after the replays that are already enqueued.
  void forget(int64_t recording);

  // Host memory to upload from, 1 byte to 8 GiB: Device::hostMemory. An upload from it keeps it alive.
  std::shared_ptr<char> hostMemory(int64_t bytes);
  // The hostMemory block that contains these bytes; null if they are in no block.
  std::shared_ptr<char> hostMemoryAt(const char* bytes, int64_t size);
  // Throws BadArgument unless the bytes lie in the arena.
  void checkPlace(const char* what, ArenaId arena, int64_t offset, int64_t bytes) const;
  // The host's bytes must not change until `done` is called.
  struct Upload {
    ArenaId arena;
    int64_t offset;
    const char* host;
    int64_t bytes;
    // false: in order with all other work. true: Device::copyInAhead.
    bool ahead = false;
    std::shared_ptr<char> memory = nullptr;  // the hostMemory block that contains the bytes, or null
  };
  void upload(const Upload& upload, Done done);
  void read(ArenaId arena, int64_t offset, char* host, int64_t bytes, Done done);
  void synchronize(Done done);
  // Begins to measure the time of each op, from zero, or stops measuring. This happens when the queue reaches this
  // command.
  void profile(bool on);
  // Writes the number of calls and the seconds of each op so far: 2 opCount() numbers. `out` must stay valid until
  // `done` is called.
  void readProfile(double* out, int64_t count, Done done);
  // Releases the arenas after the work that is already enqueued. Nothing may be enqueued afterwards.
  void dispose(Done done);
  // Drops work that has not started, and does not wait, so that several engines can end at the same time. Nothing may
  // be enqueued afterwards.
  void drop() { queue_.drop(); }

  std::string deviceName() const { return device_->name(); }

 private:
  char* place(const char* what, ArenaId arena, int64_t offset, int64_t bytes) const;
  ArenaSizes sizes() const;
  std::shared_ptr<Recording> recordingAt(const char* what, int64_t recording) const;
  std::function<void()> laneChange(double lane);
  Recording::Call bindShare(const double* args, size_t count);
  float* floatsAt(const double* place, int64_t count) const;
  Recording::Call bindCall(int op, const double* args, size_t count);
  void call(const Recording::Call& each);
  void play(Recording& recording);
  bool capture(Recording& recording);
  void finish(Done done);
  template <class Work>
  void guarded(Work&& work);

  std::unique_ptr<Device> device_;
  std::shared_ptr<RankSums> ranks_, connected_;  // end before the device; connected_: engine's thread only, of a device
  Arena arenas_[kArenas];
  struct HostBlock {
    std::weak_ptr<char> memory;
    int64_t bytes;
  };
  std::vector<HostBlock> hostBlocks_;
  std::map<int64_t, std::shared_ptr<Recording>> recordings_;
  int64_t lastRecording_ = 0;
  std::mutex noteMutex_;
  std::string note_;              // guarded by noteMutex_: the note that the next replay returns
  bool captures_ = true;          // used on the engine's thread only: true until a capture fails
  std::optional<Error> failure_;  // used on the engine's thread only: the first error; all later work is skipped
  OpTimer timer_{opCount()};      // engine's thread only
  CommandQueue queue_;            // must be the last member, because its thread uses the members above
};

}  // namespace lxmert
