#include "engine/engine.h"

#include <new>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace lxmert {

namespace {

using Bind = std::function<void()> (*)(Device&, ArgReader&);

template <class Args>
std::function<void()> bindOp(Device& device, ArgReader& reader, void (*kernel)(Device&, const Args&), const char* op) {
  if (!kernel) throw Error(ErrorCode::Unsupported, std::string("the ") + device.name() + " back end has no op " + op);
  const Args args = Args::read(reader);
  reader.finish();
  return [&device, kernel, args] { kernel(device, args); };
}

// A call to other ranks that needs the work of the engine before it.
template <class Send>
Recording::Call marked(const std::shared_ptr<RankSums>& ranks, Send send) {
  const auto split = [ranks, send]() -> Recording::Later {
    return [ranks, send, mark = ranks->mark()] { send(*ranks, mark); };
  };
  return {Engine::kShare, [split] { split()(); }, split};
}

struct OpEntry {
  const char* name;
  Bind bind;
};

const OpEntry kOps[] = {
#define OP(name, Args) \
  {#name, [](Device& device, ArgReader& reader) { return bindOp<Args>(device, reader, device.ops().name, #name); }},
    LXMERT_OPS(OP)
#undef OP
};

}  // namespace

Engine::Engine(std::unique_ptr<Device> device)
    : device_(std::move(device)), queue_([this] { guarded([this] { device_->begin(); }); }) {}

Engine::~Engine() { queue_.abort(); }

int Engine::opCount() { return static_cast<int>(std::size(kOps)); }
const char* Engine::opName(int op) { return kOps[op].name; }

ArenaSizes Engine::sizes() const {
  ArenaSizes sizes;
  for (int i = 0; i < kArenas; ++i) sizes[i] = arenas_[i].bytes;
  return sizes;
}

int64_t Engine::reserved() const {
  const ArenaSizes all = sizes();
  return std::accumulate(all.begin(), all.end(), int64_t{0});
}

void Engine::reserve(ArenaId id, int64_t bytes) {
  Arena& arena = arenas_[static_cast<int>(id)];
  const ArenaSizes before = sizes();
  ArenaSizes wanted = before;
  wanted[static_cast<int>(id)] = bytes;
  Arena fresh;
  device_->claim(wanted);
  try {
    if (bytes > 0) {
      const auto release = [device = device_.get(), bytes](char* memory) { device->release(memory, bytes); };
      fresh.memory = std::shared_ptr<char>(device_->allocate(id, bytes), release);
      fresh.base = fresh.memory.get();
      fresh.bytes = bytes;
    }
    // The old memory is released after the work that uses it has run, and before the first work that uses the new
    // memory.
    if (arena.memory) queue_.push([old = arena.memory] {});
  } catch (...) {
    device_->claim(before);
    throw;
  }
  arena = std::move(fresh);
}

void Engine::checkPlace(const char* what, ArenaId id, int64_t offset, int64_t bytes) const {
  const Arena& arena = arenas_[static_cast<int>(id)];
  if (offset < 0 || bytes < 0 || offset > arena.bytes || bytes > arena.bytes - offset)
    throw Error(ErrorCode::BadArgument, std::string(what) + ": " + std::to_string(bytes) + " bytes from byte " +
                                            std::to_string(offset) + " lie outside an arena of " +
                                            std::to_string(arena.bytes) + " bytes");
}

char* Engine::place(const char* what, ArenaId id, int64_t offset, int64_t bytes) const {
  checkPlace(what, id, offset, bytes);
  return arenas_[static_cast<int>(id)].base + offset;
}

// Runs work on the engine's thread. After the first failure the engine refuses all later work.
template <class Work>
void Engine::guarded(Work&& work) {
  if (failure_) return;
  try {
    work();
  } catch (const Error& error) {
    failure_.emplace(error);
  } catch (const std::bad_alloc&) {
    failure_.emplace(ErrorCode::OutOfMemory, "out of memory in a kernel's scratch space");
  } catch (const std::exception& error) {
    failure_.emplace(ErrorCode::Internal, error.what());
  }
}

// Failures, too, are reported in the order of the calls. The ranks of an asynchronous device may fail after the call.
void Engine::finish(Done done) {
  if (!failure_ && !connected_) return device_->after(std::move(done));
  if (!failure_)
    return device_->after([done = std::move(done), ranks = std::weak_ptr(connected_)](const Error* error) {
      const auto sums = ranks.lock();
      const std::optional<Error> lost = sums ? sums->failure() : std::nullopt;
      done(lost ? &*lost : error);
    });
  device_->after([done = std::move(done), failure = *failure_](const Error*) { done(&failure); });
}

void Engine::enqueue(int op, const double* args, size_t count) {
  if (op < 0 || op >= opCount()) throw Error(ErrorCode::BadArgument, "there is no op number " + std::to_string(op));
  queue_.push([this, each = bindCall(op, args, count)] { guarded([&] { call(each); }); });
}

Recording::Call Engine::bindCall(int op, const double* args, size_t count) {
  if (op == kLaneChange) return {op, laneChange(args[0])};
  if (op == kShare) return bindShare(args, count);
  ArgReader reader(kOps[op].name, args, count, arenas_, device_->activations());
  return {op, kOps[op].bind(*device_, reader)};
}

std::function<void()> Engine::laneChange(double lane) {
  if (lane != 0 && lane != 1 && lane != 2)
    throw Error(ErrorCode::BadArgument, "there is no lane " + std::to_string(lane) + ": expected 1, 2, or 0");
  return [this, lane] { device_->enterLane(static_cast<int>(lane)); };
}

void Engine::enterLane(double lane) {
  queue_.push([this, run = laneChange(lane)] { guarded(run); });
}

void Engine::join(std::shared_ptr<RankSums> ranks) {
  if (device_->name() != "cpu") throw Error(ErrorCode::BadArgument, "the ranks of this device need a group");
  ranks_ = std::move(ranks);
}

std::shared_ptr<RankSums> Engine::join(const RankGroup& group, Done done) {
  ranks_ = device_->rankSums(group);
  queue_.push([this, ranks = ranks_, done = std::move(done)] {
    connected_ = ranks;
    guarded([&] { ranks->connect(); });
    finish(done);
  });
  return ranks_;
}

void Engine::share(const double* args, size_t count) {
  queue_.push([this, run = bindShare(args, count).run] { guarded(run); });
}

// The floats at a place, which is an arena and an offset in bytes.
float* Engine::floatsAt(const double* where, int64_t count) const {
  if (!(where[0] >= 0 && where[0] < kArenas)) throw Error(ErrorCode::BadArgument, "share: there is no such arena");
  const auto arena = static_cast<ArenaId>(static_cast<int>(where[0]));
  const auto offset = static_cast<int64_t>(where[1]);
  return reinterpret_cast<float*>(place("share", arena, offset, count * static_cast<int64_t>(sizeof(float))));
}

Recording::Call Engine::bindShare(const double* args, size_t count) {
  if (count < 1 || !(args[0] >= 0 && args[0] <= static_cast<double>(Share::Finish)))
    throw Error(ErrorCode::BadArgument, "share: there is no such call");
  const auto kind = static_cast<Share>(static_cast<int>(args[0]));
  const auto demand = [](bool fits) {
    if (!fits) throw Error(ErrorCode::BadArgument, "share: the arguments do not fit the call");
  };
  if (kind != Share::Add && kind != Share::Copy && kind != Share::Norm && !ranks_)
    throw Error(ErrorCode::BadArgument, "share: this engine has not joined other ranks");
  const double *at = args + 1, *end = args + count;
  if (kind == Share::Finish) {
    const auto run = [this, ranks = ranks_] { ranks->finish([this] { return queue_.isDropping(); }); };
    return {kShare, run, [run] { return run; }};
  }

  if (kind == Share::Gather) {
    demand((end - at) % 4 == 0);
    std::vector<OwnedFloats> pieces;
    for (; at < end; at += 4) {
      const auto size = static_cast<int64_t>(at[1]);
      pieces.push_back({static_cast<int>(at[0]), floatsAt(at + 2, size), size});
    }
    return marked(ranks_, [pieces](RankSums& ranks, int64_t mark) { ranks.gather(pieces, mark); });
  }
  if (kind == Share::Norm) {
    demand(end - at == 8);
    const auto chunks = static_cast<int64_t>(at[0]), sums = static_cast<int64_t>(at[3]);
    const float *squares = floatsAt(at + 1, chunks), *losses = floatsAt(at + 4, sums);
    return {kShare, [=, this, norm = floatsAt(at + 6, 2)] {
              device_->finishNorm({squares, chunks}, {losses, sums}, norm);
            }};
  }

  std::vector<int64_t> slices;
  if (kind == Share::Scatter) {
    demand(end - at >= 1 && at[0] >= 0 && at[0] < static_cast<double>(end - at));
    slices.assign(at + 1, at + 1 + static_cast<int64_t>(at[0]));
    at += 1 + slices.size();
  }
  demand(end - at >= 5 && (end - at) % 2 == 1);
  const auto size = static_cast<int64_t>(*at++);
  std::vector<float*> places;
  for (; at < end; at += 2) places.push_back(floatsAt(at, size));
  float* target = places.front();
  places.erase(places.begin());
  if (kind == Share::Start || kind == Share::Scatter)
    return marked(ranks_, [bucket = Bucket{target, places, size, slices}](RankSums& ranks, int64_t mark) {
      ranks.start(bucket, mark);
    });
  if (kind == Share::Copy)
    return {kShare, [=, this, source = places[0]] { device_->copyFloats(target, source, size); }};
  demand(places.size() == 2);
  return {kShare, [=, this, a = places[0], b = places[1]] { device_->addFloats(target, a, b, size); }};
}

void Engine::call(const Recording::Call& each) {
  const bool timed = timer_.on() && each.op >= 0;
  timed ? timer_.time(each.op, [&] { each.run(), device_->wait(); }) : each.run();
}

int64_t Engine::record(const double* calls, size_t count) {
  std::vector<Recording::Call> bound;
  bool finished = false;
  for (const double *at = calls, *end = calls + count; at < end;) {
    const double op = at[0], args = end - at > 1 ? at[1] : -1;
    const bool known = (op >= 0 && op < opCount()) || (op == kLaneChange && args == 1) || (op == kShare && args >= 1);
    if (!known || !(args >= 0 && args <= static_cast<double>(end - at - 2)))
      throw Error(ErrorCode::BadArgument, "record: call " + std::to_string(bound.size()) +
                                              " is not an op's number, a count of arguments and the arguments");
    // A captured graph is launched before the calls to other ranks, so no work of the graph may wait for them.
    if (finished) throw Error(ErrorCode::BadArgument, "record: a call follows the wait for the other ranks");
    finished = op == kShare && at[2] == static_cast<double>(Share::Finish);
    bound.push_back(bindCall(static_cast<int>(op), at + 2, static_cast<size_t>(args)));
    at += 2 + static_cast<size_t>(args);
  }
  recordings_[++lastRecording_] = std::make_shared<Recording>(std::move(bound), arenas_);
  return lastRecording_;
}

std::shared_ptr<Recording> Engine::recordingAt(const char* what, int64_t recording) const {
  const auto at = recordings_.find(recording);
  if (at == recordings_.end())
    throw Error(ErrorCode::BadArgument,
                std::string(what) + ": there is no recording number " + std::to_string(recording));
  return at->second;
}

std::string Engine::replay(int64_t number) {
  const std::shared_ptr<Recording> recording = recordingAt("replay", number);
  if (!recording->fits(arenas_))
    throw Error(ErrorCode::BadArgument, "replay: an arena has been reserved since this was recorded; record it again");
  queue_.push([this, recording] { guarded([&] { play(*recording); }); });
  return takeNote();
}

std::string Engine::takeNote() {
  const std::lock_guard lock(noteMutex_);
  return std::exchange(note_, {});
}

void Engine::forget(int64_t number) {
  queue_.push([old = recordingAt("forget", number)] {});
  recordings_.erase(number);
}

// The first replay calls the ops one by one, so that they allocate scratch space and other things that they need once.
// If the engine is being closed, the replay stops between two ops.
void Engine::play(Recording& recording) {
  const auto canLaunch = [&] { return recording.captured || (recording.ran && captures_ && capture(recording)); };
  if (!timer_.on() && canLaunch()) {
    recording.captured->launch();
    for (const Recording::Later& later : recording.afterLaunch) later();
    return;
  }
  for (const Recording::Call& each : recording.calls()) {
    if (queue_.isDropping()) return;
    call(each);
  }
  recording.ran = true;
}

// A failed capture makes the run slower but does not end it: after the failure, the ops are called one by one.
bool Engine::capture(Recording& recording) {
  try {
    std::vector<Recording::Later> later;
    recording.captured = device_->capture([&] {
      for (const Recording::Call& each : recording.calls()) each.split ? later.push_back(each.split()) : each.run();
    });
    recording.afterLaunch = std::move(later);
  } catch (const Error& error) {
    const std::lock_guard lock(noteMutex_);
    note_ = error.what();
  }
  captures_ = recording.captured != nullptr;
  return captures_;
}

std::shared_ptr<char> Engine::hostMemory(int64_t bytes) {
  constexpr int64_t kMost = int64_t{1} << 33;
  if (bytes < 1 || bytes > kMost)
    throw Error(ErrorCode::BadArgument, "hostMemory of " + std::to_string(bytes) + " bytes: expected 1 to 2^33");
  const std::shared_ptr<char> memory = device_->hostMemory(bytes);
  std::erase_if(hostBlocks_, [](const HostBlock& block) { return block.memory.expired(); });
  hostBlocks_.push_back({memory, bytes});
  return memory;
}

std::shared_ptr<char> Engine::hostMemoryAt(const char* bytes, int64_t size) {
  for (const HostBlock& block : hostBlocks_)
    if (std::shared_ptr<char> memory = block.memory.lock())
      if (bytes >= memory.get() && bytes + size <= memory.get() + block.bytes) return memory;
  return nullptr;
}

void Engine::upload(const Upload& u, Done done) {
  char* target = place("upload", u.arena, u.offset, u.bytes);
  const auto copy = u.ahead ? &Device::copyInAhead : &Device::copyIn;
  const HostBytes source{u.host, u.bytes, u.memory != nullptr};
  // An asynchronous device does not use the memory any more when it calls `done`.
  queue_.push([=, this, memory = u.memory, done = std::move(done)] {
    if (source.size > 0) guarded([&] { (*device_.*copy)(target, source); });
    finish([memory, done](const Error* error) { done(error); });
  });
}

void Engine::read(ArenaId arena, int64_t offset, char* host, int64_t bytes, Done done) {
  const char* source = place("read", arena, offset, bytes);
  queue_.push([=, this, done = std::move(done)] {
    if (bytes > 0) guarded([&] { device_->copyOut(host, source, bytes); });
    finish(done);
  });
}

void Engine::dispose(Done done) {
  std::shared_ptr<std::vector<Arena>> arenas = std::make_shared<std::vector<Arena>>(arenas_, arenas_ + kArenas);
  queue_.push([this, arenas, recordings = std::exchange(recordings_, {}), done = std::move(done)]() mutable {
    recordings.clear();
    arenas->clear();
    try {
      device_->claim({});
    } catch (const Error&) {
      // A device that has failed may refuse this call, too. In that case nothing has to be released.
    }
    device_->after([done](const Error*) { done(nullptr); });
  });
  for (Arena& arena : arenas_) arena = {};
}

void Engine::synchronize(Done done) {
  queue_.push([this, done = std::move(done)] { finish(done); });
}

void Engine::profile(bool on) {
  queue_.push([this, on] { on ? timer_.start() : timer_.stop(); });
}

void Engine::readProfile(double* out, int64_t count, Done done) {
  if (count != 2 * opCount())
    throw Error(ErrorCode::BadArgument, "a profile has " + std::to_string(2 * opCount()) +
                                            " numbers, there is room for " + std::to_string(count));
  queue_.push([this, out, done = std::move(done)] {
    timer_.read(out);
    finish(done);
  });
}

}  // namespace lxmert
