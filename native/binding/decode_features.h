#pragma once

#include "binding/errors.h"

namespace lxmert::binding {

// The JavaScript function decodeFeatures(text: Uint8Array, from, to, target: Float32Array | Uint16Array): boolean.
// src/io/decodeFeatures.ts describes it.
Napi::Value decodeFeatures(const Napi::CallbackInfo& info);

}  // namespace lxmert::binding
