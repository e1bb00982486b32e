// One engine as JavaScript holds it: the core's Engine, the promises that wait for it, and the way back to the
// JavaScript thread. docs/engine.md says what its users see of that.
//
// Lifetimes: while a promise waits, it holds the handle, so an engine in use is never collected. A collected, disposed or
// torn-down (worker.terminate, process.exit) engine ends in `close`: what has not started is dropped, the engine's
// thread is joined, and after that nothing calls back.
//
// All members run on the JavaScript thread.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>

#include "binding/errors.h"
#include "engine/engine.h"

namespace lxmert::binding {

class EngineHandle {
 public:
  EngineHandle(napi_env env, std::unique_ptr<Engine> engine);
  ~EngineHandle() { close(); }
  EngineHandle(const EngineHandle&) = delete;

  // The engine, or a DISPOSED error.
  Engine& engine();

  // Engine::reserve; the garbage collector is told, so that it looks for dropped engines before memory runs out.
  void reserve(ArenaId arena, int64_t bytes);

  // What a promise keeps alive until it is settled, and what it resolves to.
  struct Held {
    napi_value handle;  // the External of this handle
    napi_value memory;  // a typed array whose memory the engine uses, or undefined
    napi_value result;
  };
  // A promise for an asynchronous call; `start` makes the call with the callback that it is given.
  using Start = std::function<void(Engine&, Done)>;
  napi_value promise(const Held& held, const Start& start);

  // Refuses new calls; the promise resolves when the queued work has run, the memory is given back and the thread ended.
  napi_value dispose(const Held& held);

 private:
  // A promise that waits. The engine's thread fills in `error`, all else happens on the JavaScript thread.
  struct Pending {
    EngineHandle* handle = nullptr;
    bool last = false;  // dispose
    napi_deferred deferred = nullptr;
    napi_ref held = nullptr;
    std::optional<Error> error = {};
    std::list<Pending>::iterator self = {};
  };

  napi_value wait(const Held& held, bool last, const Start& start);
  void settle(Pending& pending);
  void forget(std::list<Pending>::iterator pending);
  void tellCollector();
  void close();
  static void onSettled(napi_env env, napi_value, void* context, void* data);
  static void onTeardown(void* handle);

  napi_env env_;
  std::unique_ptr<Engine> engine_;
  napi_threadsafe_function toJs_ = nullptr;  // null once closed
  std::list<Pending> pending_;
  int64_t toldCollector_ = 0;
  bool disposing_ = false;
};

}  // namespace lxmert::binding
