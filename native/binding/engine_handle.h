// One engine as JavaScript holds it: the core's Engine, the promises that wait for it, and the way back to the
// JavaScript thread.
//
// Lifetimes: while a promise waits, it holds the handle, so an engine in use is never collected. A collected, disposed or
// torn-down (worker.terminate) engine first drops what has not started and joins its thread, then lets go of the rest;
// after that nothing calls back.
#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "engine/engine.h"

namespace lxmert::binding {

class EngineHandle {
 public:
  EngineHandle(Napi::Env env, std::unique_ptr<Engine> engine);
  ~EngineHandle();

  // The engine, or a DISPOSED error.
  Engine& engine();

  // A promise for an asynchronous call. `start` makes the call with the callback to give it; `keep` (a typed array that
  // is being read, an array buffer being written) stays alive until then and `value` is what the promise resolves to.
  Napi::Value promise(const Napi::CallbackInfo& info, Napi::Value keep, Napi::Value value,
                      const std::function<void(Engine&, Done)>& start);

  // Refuses new calls; the promise resolves when the queued work has run and the memory is given back.
  Napi::Value dispose(const Napi::CallbackInfo& info);

 private:
  struct Pending;
  static void settle(napi_env env, napi_value, void* context, void* data);
  static void onTeardown(void* handle);
  void close();

  napi_env env_;
  std::unique_ptr<Engine> engine_;
  napi_threadsafe_function toJs_ = nullptr;
  int64_t waiting_ = 0;
  bool disposing_ = false;
};

}  // namespace lxmert::binding
