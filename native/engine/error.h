// The one error type of the core. The binding turns it into a JavaScript LxmertError with the same code.
#pragma once

#include <stdexcept>
#include <string>

namespace lxmert {

enum class ErrorCode { BadArgument, OutOfMemory, Unsupported, NoDevice, Disposed, RankLost, Internal };

inline const char* codeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::BadArgument:
      return "BAD_ARGUMENT";
    case ErrorCode::OutOfMemory:
      return "OUT_OF_MEMORY";
    case ErrorCode::Unsupported:
      return "UNSUPPORTED";
    case ErrorCode::NoDevice:
      return "NO_DEVICE";
    case ErrorCode::Disposed:
      return "DISPOSED";
    case ErrorCode::RankLost:
      return "RANK_LOST";
    case ErrorCode::Internal:
      break;
  }
  return "INTERNAL";
}

// Plugins throw this type and the addon catches it. The visibility attribute makes it the same type in both libraries.
class __attribute__((visibility("default"))) Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code(code) {}
  const ErrorCode code;
};

}  // namespace lxmert
