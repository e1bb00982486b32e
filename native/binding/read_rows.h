#pragma once

#include "binding/errors.h"

namespace lxmert::binding {

// readRows(plan: Float64Array, count, targets: array of typed arrays): Promise<number>, as src/io/readRows.ts describes
// it.
Napi::Value readRows(const Napi::CallbackInfo& info);

}  // namespace lxmert::binding
