#pragma once

// While a worker is being terminated, its JavaScript code cannot receive an exception. Without this definition, the
// wrappers in napi.h end the whole process in that case.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

#include <exception>
#include <new>

#include "engine/error.h"

namespace lxmert::binding {

// Makes a JavaScript error from an engine error, with the same message, and with the name of its code in `code`.
// Returns null if JavaScript can no longer run.
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

// Throws if a Node-API call failed. These calls fail only while Node is ending the thread.
inline void check(napi_status status, const char* call) {
  if (status != napi_ok) throw Error(ErrorCode::Internal, std::string(call) + " failed; is the worker ending?");
}

// Runs the body of an addon function and turns its C++ exceptions into JavaScript exceptions. No C++ exception may
// reach Node.
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
