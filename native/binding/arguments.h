// Checks the arguments of the addon's functions. A wrong argument throws a BadArgument that names it.
#pragma once

#include <cmath>
#include <string>

#include "binding/engine_handle.h"

namespace lxmert::binding {

constexpr napi_type_tag kEngineTag = {0x6c786d6572742d65ull, 0x6e67696e652d3031ull};

inline EngineHandle& handleOf(const Napi::CallbackInfo& info) {
  void* handle = nullptr;
  bool ours = false;
  if (!info[0].IsExternal() || napi_check_object_type_tag(info.Env(), info[0], &kEngineTag, &ours) != napi_ok ||
      !ours || napi_get_value_external(info.Env(), info[0], &handle) != napi_ok)
    throw Error(ErrorCode::BadArgument, "the first argument is not an engine");
  return *static_cast<EngineHandle*>(handle);
}

inline int64_t integerOf(const Napi::CallbackInfo& info, size_t index, const char* name) {
  constexpr double kMaxSafe = 9007199254740991.0;
  if (!info[index].IsNumber()) throw Error(ErrorCode::BadArgument, std::string(name) + " is not a number");
  const double value = info[index].As<Napi::Number>().DoubleValue();
  if (!(value >= 0 && value <= kMaxSafe) || value != std::floor(value))
    throw Error(ErrorCode::BadArgument,
                std::string(name) + " is " + std::to_string(value) + ", expected a whole number from 0 to 2^53 - 1");
  return static_cast<int64_t>(value);
}

inline ArenaId arenaOf(const Napi::CallbackInfo& info, size_t index) {
  const int64_t arena = integerOf(info, index, "arena");
  if (arena >= kArenas) throw Error(ErrorCode::BadArgument, "there is no arena number " + std::to_string(arena));
  return static_cast<ArenaId>(arena);
}

struct Bytes {
  char* data;
  int64_t size;
  napi_typedarray_type type;
  bool shared;  // whether the bytes are in a SharedArrayBuffer
};

inline Bytes bytesOf(const Napi::CallbackInfo& info, size_t index, const char* name) {
  napi_typedarray_type type;
  size_t length, offset;
  void* data;
  napi_value buffer;
  bool plain;
  if (!info[index].IsTypedArray() ||
      napi_get_typedarray_info(info.Env(), info[index], &type, &length, &data, &buffer, &offset) != napi_ok ||
      napi_is_arraybuffer(info.Env(), buffer, &plain) != napi_ok)
    throw Error(ErrorCode::BadArgument, std::string(name) + " is not a typed array");
  return {static_cast<char*>(data), static_cast<int64_t>(info[index].As<Napi::TypedArray>().ByteLength()), type,
          !plain};
}

inline std::string textOf(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsString()) throw Error(ErrorCode::BadArgument, std::string(name) + " is not a string");
  return info[index].As<Napi::String>().Utf8Value();
}

struct Numbers {
  const double* data;
  size_t count;
};

// Reads two arguments: a Float64Array, and how many numbers are used. The used numbers are the first ones of the array.
inline Numbers numbersOf(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const Bytes array = bytesOf(info, index, name);
  if (array.type != napi_float64_array)
    throw Error(ErrorCode::BadArgument, std::string(name) + " is not a Float64Array");
  const int64_t count = integerOf(info, index + 1, "count");
  if (count > array.size / static_cast<int64_t>(sizeof(double)))
    throw Error(ErrorCode::BadArgument, std::string("count is larger than ") + name);
  return {reinterpret_cast<const double*>(array.data), static_cast<size_t>(count)};
}

}  // namespace lxmert::binding
