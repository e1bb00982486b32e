#pragma once

#include <napi.h>

#include <new>
#include <string>

#include "engine/error.h"

namespace lxmert::binding {

// The JavaScript error of a core error: its message, and its code as `code`.
inline Napi::Error toJs(Napi::Env env, const Error& error) {
  Napi::Error js = Napi::Error::New(env, error.what());
  js.Set("code", Napi::String::New(env, codeName(error.code)));
  return js;
}

// Runs a binding's body; what the core throws becomes a JavaScript exception.
template <class Body>
auto translated(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const Error& error) {
    throw toJs(env, error);
  } catch (const std::bad_alloc&) {
    throw toJs(env, Error(ErrorCode::OutOfMemory, "out of memory"));
  }
}

}  // namespace lxmert::binding
