#pragma once

// While a worker is being terminated no exception can be thrown into it; without this the wrappers end the process then.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

#include <exception>
#include <new>

#include "engine/error.h"

namespace lxmert::binding {

// The JavaScript error of a core error: its message, and its code as `code`. Null where no JavaScript can run any more.
inline napi_value toJs(napi_env env, const Error& error) {
  napi_value code, message, result;
  const bool made = napi_create_string_utf8(env, codeName(error.code), NAPI_AUTO_LENGTH, &code) == napi_ok &&
                    napi_create_string_utf8(env, error.what(), NAPI_AUTO_LENGTH, &message) == napi_ok &&
                    napi_create_error(env, code, message, &result) == napi_ok;
  return made ? result : nullptr;
}

inline void throwToJs(napi_env env, const Error& error) {
  if (const napi_value thrown = toJs(env, error)) napi_throw(env, thrown);
}

// A Node-API call that only fails while the environment is being torn down.
inline void check(napi_status status, const char* call) {
  if (status != napi_ok) throw Error(ErrorCode::Internal, std::string(call) + " failed; is the worker ending?");
}

// Runs a binding's body; what it throws becomes a JavaScript exception. No other C++ exception may reach Node.
template <class Body>
Napi::Value translated(const Napi::CallbackInfo& info, Body&& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const Error& error) {
    throwToJs(info.Env(), error);
  } catch (const std::bad_alloc&) {
    throwToJs(info.Env(), Error(ErrorCode::OutOfMemory, "out of memory"));
  } catch (const std::exception& error) {
    throwToJs(info.Env(), Error(ErrorCode::Internal, error.what()));
  }
  return {};
}

}  // namespace lxmert::binding
