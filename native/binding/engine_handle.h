// The handle of one engine for JavaScript. It has the core's Engine, the promises that wait for this engine, and the
// thread-safe function that passes results to the JavaScript thread. docs/engine.md describes its behaviour for users.
//
// Lifetimes: a pending promise keeps a reference to the handle, so an engine in use is never collected. `close` ends an
// engine. It is called when the engine is collected or disposed of, and when its worker or the process ends. `close`
// drops work that has not started, and joins the engine's thread. No callback comes after that.
//
// All members run on the JavaScript thread.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>

#include "binding/errors.h"
#include "engine/engine.h"

namespace lxmert::binding {

class EngineHandle;

// The open engines of one JavaScript thread: the main thread, or a worker.
//
// A worker always runs its cleanup hooks. The main thread runs them only if the process ends because no work is left.
// At process.exit and after an uncaught exception it does not run them. Instead, the static objects of libraries (for
// example oneDNN's generated code) are destroyed while threads may still be using them. `endWithProcess` therefore
// closes the engines at the `exit` event, which comes earlier.
class Engines {
 public:
  // Throws DISPOSED when the process is ending.
  static Engines& ofThisThread();
  static void endWithProcess(Napi::Env env);

  void add(EngineHandle* handle) { open_.insert(handle); }
  void remove(EngineHandle* handle) { open_.erase(handle); }

 private:
  static Engines& stored();
  void closeAll();

  std::set<EngineHandle*> open_;
  bool listening_ = false;
  bool ended_ = false;
};

class EngineHandle {
 public:
  EngineHandle(napi_env env, std::unique_ptr<Engine> engine);
  ~EngineHandle() { close(); }
  EngineHandle(const EngineHandle&) = delete;

  // Ends the engine. May be called more than once.
  void close();

  // The engine, or a DISPOSED error.
  Engine& engine();

  // Calls Engine::reserve and reports the new size to the garbage collector, so that unused engines are collected early
  // enough.
  void reserve(ArenaId arena, int64_t bytes);

  // The objects that a promise keeps alive until it is settled, and the value to which it resolves.
  struct Held {
    napi_value handle;  // the External of this handle
    napi_value memory;  // a typed array whose memory the engine uses, or undefined
    napi_value result;
  };
  // Makes a promise for an asynchronous call. `start` makes the call and passes it the callback.
  using Start = std::function<void(Engine&, Done)>;
  napi_value promise(const Held& held, const Start& start);

  // Refuses new calls. The promise resolves when the queued work has run, the memory is released and the thread has
  // ended.
  napi_value dispose(const Held& held);

 private:
  friend class Engines;
  // A pending promise. The engine's thread writes `error`. Only the JavaScript thread uses the other members.
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
  static void onSettled(napi_env env, napi_value, void* context, void* data);
  static void onTeardown(void* handle);

  napi_env env_;
  Engines& all_;
  std::unique_ptr<Engine> engine_;
  napi_threadsafe_function toJs_ = nullptr;  // null once closed
  std::list<Pending> pending_;
  int64_t toldCollector_ = 0;
  bool disposing_ = false;
};

}  // namespace lxmert::binding
