#include "binding/engine_handle.h"

#include <optional>
#include <utility>

#include "binding/errors.h"

namespace lxmert::binding {

// What a promise needs to be settled; made on the JavaScript thread, filled on the engine's, freed on the JavaScript's.
struct EngineHandle::Pending {
  EngineHandle* handle;
  napi_deferred deferred;
  napi_ref holds;  // an array: the handle's external, what is kept, the value
  std::optional<Error> error;
};

EngineHandle::EngineHandle(Napi::Env env, std::unique_ptr<Engine> engine) : env_(env), engine_(std::move(engine)) {
  napi_value name = Napi::String::New(env, "lxmert engine");
  const napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this,
                                                             &EngineHandle::settle, &toJs_);
  if (status != napi_ok) throw Error(ErrorCode::Internal, "cannot make a thread-safe function");
  napi_unref_threadsafe_function(env, toJs_);  // an idle engine does not keep the process alive
  napi_add_env_cleanup_hook(env, &EngineHandle::onTeardown, this);
}

EngineHandle::~EngineHandle() {
  if (toJs_) napi_remove_env_cleanup_hook(env_, &EngineHandle::onTeardown, this);
  close();
}

void EngineHandle::onTeardown(void* handle) { static_cast<EngineHandle*>(handle)->close(); }

// The engine's thread has ended before the way back is closed. What it sent but JavaScript has not seen is settled, or
// freed, by Node itself when it empties the function's queue.
void EngineHandle::close() {
  engine_.reset();
  if (toJs_) napi_release_threadsafe_function(std::exchange(toJs_, nullptr), napi_tsfn_abort);
}

Engine& EngineHandle::engine() {
  if (!engine_ || disposing_) throw Error(ErrorCode::Disposed, "the engine has been disposed");
  return *engine_;
}

Napi::Value EngineHandle::promise(const Napi::CallbackInfo& info, Napi::Value keep, Napi::Value value,
                                  const std::function<void(Engine&, Done)>& start) {
  Napi::Env env = info.Env();
  Engine& engine = this->engine();
  Napi::Array holds = Napi::Array::New(env, 3);
  holds.Set(0u, info[0]);
  holds.Set(1u, keep);
  holds.Set(2u, value);

  auto pending = std::make_unique<Pending>(Pending{this, nullptr, nullptr, std::nullopt});
  napi_value result;
  NAPI_THROW_IF_FAILED(env, napi_create_reference(env, holds, 1, &pending->holds), env.Undefined());
  NAPI_THROW_IF_FAILED(env, napi_create_promise(env, &pending->deferred, &result), env.Undefined());
  Pending* raw = pending.get();
  try {
    start(engine, [raw, toJs = toJs_](const Error* error) {
      if (error) raw->error.emplace(*error);
      napi_call_threadsafe_function(toJs, raw, napi_tsfn_nonblocking);
    });
  } catch (...) {
    napi_delete_reference(env, pending->holds);
    throw;
  }
  if (waiting_++ == 0) napi_ref_threadsafe_function(env, toJs_);
  pending.release();
  return Napi::Value(env, result);
}

Napi::Value EngineHandle::dispose(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!engine_ || disposing_) {
    auto done = Napi::Promise::Deferred::New(env);
    done.Resolve(env.Undefined());
    return done.Promise();
  }
  const Napi::Value result =
      promise(info, env.Undefined(), env.Undefined(), [](Engine& engine, Done done) { engine.dispose(std::move(done)); });
  disposing_ = true;
  return result;
}

void EngineHandle::settle(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Pending> pending(static_cast<Pending*>(data));
  if (!env) return;  // torn down: nobody waits any more
  EngineHandle* handle = pending->handle;
  Napi::HandleScope scope(env);
  napi_value holds, value;
  napi_get_reference_value(env, pending->holds, &holds);
  napi_get_element(env, holds, 2, &value);
  if (pending->error)
    napi_reject_deferred(env, pending->deferred, toJs(env, *pending->error).Value());
  else
    napi_resolve_deferred(env, pending->deferred, value);
  if (handle->toJs_ && --handle->waiting_ == 0) napi_unref_threadsafe_function(env, handle->toJs_);
  napi_delete_reference(env, pending->holds);
}

}  // namespace lxmert::binding
