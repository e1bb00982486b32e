#include "engine/engine.h"

#include <new>
#include <string>

namespace lxmert {

namespace {

using Enqueue = std::function<void()> (*)(Device&, ArgReader&);

template <class Args>
std::function<void()> bind(Device& device, ArgReader& reader, void (*kernel)(Device&, const Args&), const char* op) {
  if (!kernel)
    throw Error(ErrorCode::Unsupported, std::string("the ") + device.name() + " back end has no op " + op);
  const Args args = Args::read(reader);
  reader.finish();
  return [&device, kernel, args] { kernel(device, args); };
}

struct OpEntry {
  const char* name;
  Enqueue enqueue;
};

const OpEntry kOps[] = {
#define OP(name, Args) \
  {#name, [](Device& device, ArgReader& reader) { return bind<Args>(device, reader, device.ops().name, #name); }},
    LXMERT_OPS(OP)
#undef OP
};

}  // namespace

Engine::Engine(std::unique_ptr<Device> device) : device_(std::move(device)), queue_([this] { device_->begin(); }) {}

Engine::~Engine() {
  queue_.abort();
  releaseArenas();
}

void Engine::releaseArenas() {
  for (Arena& arena : arenas_) {
    if (arena.base) device_->release(arena.base, arena.bytes);
    arena = {};
  }
}

int Engine::opCount() { return static_cast<int>(std::size(kOps)); }
const char* Engine::opName(int op) { return kOps[op].name; }

void Engine::reserve(ArenaId id, int64_t bytes) {
  if (bytes < 0 || bytes > (int64_t{1} << 46)) throw Error(ErrorCode::BadArgument, "reserve: bytes out of range");
  queue_.drain();
  Arena& arena = arenas_[static_cast<int>(id)];
  if (arena.base) device_->release(arena.base, arena.bytes);
  arena = {};
  if (bytes == 0) return;
  arena.base = device_->allocate(bytes);
  arena.bytes = bytes;
}

char* Engine::place(const char* what, ArenaId id, int64_t offset, int64_t bytes) const {
  const Arena& arena = arenas_[static_cast<int>(id)];
  if (offset < 0 || bytes < 0 || offset > arena.bytes || bytes > arena.bytes - offset)
    throw Error(ErrorCode::BadArgument, std::string(what) + ": bytes " + std::to_string(offset) + " to " +
                                            std::to_string(offset + bytes) + " lie outside an arena of " +
                                            std::to_string(arena.bytes) + " bytes");
  return arena.base + offset;
}

// Runs work on the engine's thread; the first failure makes the engine refuse all that follows.
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

void Engine::finish(const Done& done) { done(failure_ ? &*failure_ : nullptr); }

void Engine::enqueue(int op, const double* args, size_t count) {
  if (op < 0 || op >= opCount())
    throw Error(ErrorCode::BadArgument, "there is no op number " + std::to_string(op));
  ArgReader reader(kOps[op].name, args, count, arenas_);
  queue_.push([this, run = kOps[op].enqueue(*device_, reader)] { guarded(run); });
}

void Engine::upload(ArenaId arena, int64_t offset, const char* host, int64_t bytes, Done done) {
  char* target = place("upload", arena, offset, bytes);
  queue_.push([=, this, done = std::move(done)] {
    guarded([&] { device_->copyIn(target, host, bytes); });
    finish(done);
  });
}

void Engine::read(ArenaId arena, int64_t offset, char* host, int64_t bytes, Done done) {
  const char* source = place("read", arena, offset, bytes);
  queue_.push([=, this, done = std::move(done)] {
    guarded([&] { device_->copyOut(host, source, bytes); });
    finish(done);
  });
}

void Engine::dispose(Done done) {
  queue_.push([this, done = std::move(done)] {
    releaseArenas();
    done(nullptr);
  });
}

void Engine::synchronize(Done done) {
  queue_.push([this, done = std::move(done)] { finish(done); });
}

}  // namespace lxmert
