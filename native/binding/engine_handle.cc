#include "binding/engine_handle.h"

#include <utility>

namespace lxmert::binding {

Engines& Engines::stored() {
  thread_local Engines engines;
  return engines;
}

Engines& Engines::ofThisThread() {
  Engines& engines = stored();
  if (engines.ended_) throw Error(ErrorCode::Disposed, "the process is ending");
  return engines;
}

// Adds the listener once for each thread, even if the thread loads the addon many times, as it does under jest.
void Engines::endWithProcess(Napi::Env env) {
  if (std::exchange(stored().listening_, true)) return;
  const auto process = env.Global().Get("process").As<Napi::Object>();
  const auto closeAll = [](const Napi::CallbackInfo&) { stored().closeAll(); };
  const auto listener = Napi::Function::New(env, closeAll, "endEngines");
  process.Get("on").As<Napi::Function>().Call(process, {Napi::String::New(env, "exit"), listener});
}

void Engines::closeAll() {
  ended_ = true;
  for (EngineHandle* handle : open_) handle->engine_->drop();
  while (!open_.empty()) (*open_.begin())->close();
}

EngineHandle::EngineHandle(napi_env env, std::unique_ptr<Engine> engine)
    : env_(env), all_(Engines::ofThisThread()), engine_(std::move(engine)) {
  napi_value name;
  check(napi_create_string_utf8(env, "lxmert engine", NAPI_AUTO_LENGTH, &name), "napi_create_string_utf8");
  check(napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr,
                                        &EngineHandle::onSettled, &toJs_),
        "napi_create_threadsafe_function");
  napi_unref_threadsafe_function(env, toJs_);  // an idle engine does not keep the process alive

  // Node runs cleanup hooks in reverse order. This hook is added last, so it runs before the hook of the thread-safe
  // function.
  napi_add_env_cleanup_hook(env, &EngineHandle::onTeardown, this);
  all_.add(this);
}

void EngineHandle::onTeardown(void* handle) { static_cast<EngineHandle*>(handle)->close(); }

// The order matters. First the engine's thread ends, then the thread-safe function is released, then the promises are
// forgotten.
void EngineHandle::close() {
  if (!toJs_) return;
  all_.remove(this);
  engine_.reset();
  napi_remove_env_cleanup_hook(env_, &EngineHandle::onTeardown, this);
  napi_release_threadsafe_function(std::exchange(toJs_, nullptr), napi_tsfn_abort);
  while (!pending_.empty()) forget(pending_.begin());
  tellCollector();
}

Engine& EngineHandle::engine() {
  if (!engine_ || disposing_) throw Error(ErrorCode::Disposed, "the engine has been disposed");
  return *engine_;
}

void EngineHandle::reserve(ArenaId arena, int64_t bytes) {
  engine().reserve(arena, bytes);
  tellCollector();
}

void EngineHandle::tellCollector() {
  const int64_t bytes = engine_ ? engine_->reserved() : 0;
  int64_t total;
  napi_adjust_external_memory(env_, bytes - std::exchange(toldCollector_, bytes), &total);
}

napi_value EngineHandle::promise(const Held& held, const Start& start) { return wait(held, false, start); }

napi_value EngineHandle::dispose(const Held& held) {
  if (disposing_) {
    napi_deferred deferred;
    napi_value promise;
    check(napi_create_promise(env_, &deferred, &promise), "napi_create_promise");
    check(napi_resolve_deferred(env_, deferred, held.result), "napi_resolve_deferred");
    return promise;
  }
  const napi_value promise = wait(held, true, [](Engine& engine, Done done) { engine.dispose(std::move(done)); });
  disposing_ = true;
  return promise;
}

napi_value EngineHandle::wait(const Held& held, bool last, const Start& start) {
  Engine& engine = this->engine();
  napi_value all, promise;
  check(napi_create_array_with_length(env_, 3, &all), "napi_create_array");
  check(napi_set_element(env_, all, 0, held.handle), "napi_set_element");
  check(napi_set_element(env_, all, 1, held.memory), "napi_set_element");
  check(napi_set_element(env_, all, 2, held.result), "napi_set_element");

  const auto pending = pending_.insert(pending_.end(), Pending{});
  pending->handle = this;
  pending->last = last;
  pending->self = pending;
  try {
    check(napi_create_reference(env_, all, 1, &pending->held), "napi_create_reference");
    check(napi_create_promise(env_, &pending->deferred, &promise), "napi_create_promise");
    start(engine, [pending = &*pending, toJs = toJs_](const Error* error) {
      if (error) pending->error.emplace(*error);
      napi_call_threadsafe_function(toJs, pending, napi_tsfn_nonblocking);
    });
  } catch (...) {
    // The caller has not received this promise. It is settled here only to free the memory that Node keeps for it.
    if (pending->deferred) napi_resolve_deferred(env_, pending->deferred, held.result);
    forget(pending);
    throw;
  }
  if (pending_.size() == 1) napi_ref_threadsafe_function(env_, toJs_);
  return promise;
}

// After `close`, Node empties the queue of the thread-safe function and calls this with a null `env`. Then `data` no
// longer exists.
void EngineHandle::onSettled(napi_env env, napi_value, void*, void* data) {
  if (!env) return;
  auto& pending = *static_cast<Pending*>(data);
  pending.handle->settle(pending);
}

// While Node terminates a worker, each call of Node-API in this function may fail. The function must not throw even
// then.
void EngineHandle::settle(Pending& pending) {
  const napi_deferred deferred = pending.deferred;
  napi_value all, result = nullptr;  // `all` keeps this handle alive until the end of Node's scope around this call
  const bool have = napi_get_reference_value(env_, pending.held, &all) == napi_ok &&
                    napi_get_element(env_, all, 2, &result) == napi_ok;
  const bool failed = pending.error.has_value();
  if (failed) result = toJs(env_, *pending.error);

  if (pending.last) {
    close();
  } else {
    forget(pending.self);
    if (pending_.empty()) napi_unref_threadsafe_function(env_, toJs_);
  }
  if (have && result) (failed ? napi_reject_deferred : napi_resolve_deferred)(env_, deferred, result);
}

void EngineHandle::forget(std::list<Pending>::iterator pending) {
  if (pending->held) napi_delete_reference(env_, pending->held);
  pending_.erase(pending);
}

}  // namespace lxmert::binding
