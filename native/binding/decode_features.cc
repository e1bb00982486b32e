// Decodes the features of one line of a TSV. It needs no engine.
#include "binding/decode_features.h"

#include "binding/arguments.h"
#include "cpu/base64_floats.h"

namespace lxmert::binding {

Napi::Value decodeFeatures(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const Bytes text = bytesOf(info, 0, "text");
    const int64_t from = integerOf(info, 1, "from");
    const int64_t to = integerOf(info, 2, "to");
    if (text.type != napi_uint8_array || from > to || to > text.size)
      throw Error(ErrorCode::BadArgument, "text is not a Uint8Array that has these bytes");
    const Bytes target = bytesOf(info, 3, "target");
    if (target.type != napi_float32_array && target.type != napi_uint16_array)
      throw Error(ErrorCode::BadArgument, "target is neither a Float32Array nor a Uint16Array");
    const bool narrow = target.type == napi_uint16_array;
    const bool decoded =
        cpu::decodeFeatures(reinterpret_cast<const uint8_t*>(text.data) + from, to - from,
                            target.size / (narrow ? 2 : 4), narrow ? nullptr : reinterpret_cast<float*>(target.data),
                            narrow ? reinterpret_cast<uint16_t*>(target.data) : nullptr);
    return static_cast<Napi::Value>(Napi::Boolean::New(info.Env(), decoded));
  });
}

}  // namespace lxmert::binding
