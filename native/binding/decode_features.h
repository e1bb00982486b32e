#pragma once

#include "binding/errors.h"

namespace lxmert::binding {

// decodeFeatures(text: Uint8Array, from, to, target: Float32Array | Uint16Array): boolean, as src/io/decodeFeatures.ts
// describes it.
Napi::Value decodeFeatures(const Napi::CallbackInfo& info);

}  // namespace lxmert::binding
