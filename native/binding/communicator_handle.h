// The communicator's functions for JavaScript.
#pragma once

#include <memory>

#include "binding/errors.h"
#include "comm/communicator.h"

namespace lxmert::binding {

// The communicator in an argument. Throws BadArgument.
std::shared_ptr<comm::Communicator> communicatorOf(const Napi::CallbackInfo& info, size_t index);

void addCommunicator(Napi::Env env, Napi::Object exports);

}  // namespace lxmert::binding
