// The addon's functions, as src/engine/native.ts declares them: arguments in, promises and errors out, nothing else.
#include <napi.h>

#include "binding/engine_handle.h"
#include "binding/errors.h"
#include "cpu/device.h"

namespace lxmert::binding {

namespace {

constexpr napi_type_tag kEngineTag = {0x6c786d6572742d65ull, 0x6e67696e652d3031ull};

EngineHandle& handleOf(const Napi::CallbackInfo& info) {
  const Napi::Value value = info[0];
  if (!value.IsExternal() || !value.As<Napi::External<EngineHandle>>().CheckTypeTag(&kEngineTag))
    throw Error(ErrorCode::BadArgument, "the first argument is not an engine");
  return *value.As<Napi::External<EngineHandle>>().Data();
}

int64_t integerOf(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const double value = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : -1;
  if (!(value >= 0 && value <= 9007199254740992.0) || value != static_cast<double>(static_cast<int64_t>(value)))
    throw Error(ErrorCode::BadArgument, std::string(name) + " is not a whole number");
  return static_cast<int64_t>(value);
}

ArenaId arenaOf(const Napi::CallbackInfo& info, size_t index) {
  const int64_t arena = integerOf(info, index, "arena");
  if (arena >= kArenas) throw Error(ErrorCode::BadArgument, "there is no arena number " + std::to_string(arena));
  return static_cast<ArenaId>(arena);
}

struct Bytes {
  char* data;
  int64_t size;
};

Bytes bytesOf(const Napi::Value& value) {
  napi_typedarray_type type;
  size_t length, offset;
  void* data;
  napi_value buffer;
  if (!value.IsTypedArray() ||
      napi_get_typedarray_info(value.Env(), value, &type, &length, &data, &buffer, &offset) != napi_ok)
    throw Error(ErrorCode::BadArgument, "expected a typed array");
  return {static_cast<char*>(data), static_cast<int64_t>(value.As<Napi::TypedArray>().ByteLength())};
}

// createEngine(threads)
Napi::Value createEngine(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&]() -> Napi::Value {
    const auto threads = static_cast<int>(std::min<int64_t>(integerOf(info, 0, "threads"), 1024));
    auto engine = std::make_unique<Engine>(cpu::createDevice(threads));
    auto handle = std::make_unique<EngineHandle>(info.Env(), std::move(engine));
    auto external = Napi::External<EngineHandle>::New(info.Env(), handle.release(),
                                                      [](Napi::Env, EngineHandle* dead) { delete dead; });
    external.TypeTag(&kEngineTag);
    return external;
  });
}

// reserve(engine, arena, bytes)
void reserve(const Napi::CallbackInfo& info) {
  translated(info.Env(),
             [&] { handleOf(info).engine().reserve(arenaOf(info, 1), integerOf(info, 2, "bytes")); });
}

// enqueue(engine, op, args: Float64Array, count)
void enqueue(const Napi::CallbackInfo& info) {
  translated(info.Env(), [&] {
    const Bytes args = bytesOf(info[2]);
    const int64_t count = integerOf(info, 3, "count");
    if (count > args.size / static_cast<int64_t>(sizeof(double)))
      throw Error(ErrorCode::BadArgument, "count is larger than args");
    handleOf(info).engine().enqueue(static_cast<int>(std::min<int64_t>(integerOf(info, 1, "op"), 1 << 20)),
                                    reinterpret_cast<const double*>(args.data), count);
  });
}

// upload(engine, arena, offset, source): Promise<void>
Napi::Value upload(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&] {
    const ArenaId arena = arenaOf(info, 1);
    const int64_t offset = integerOf(info, 2, "offset");
    const Bytes source = bytesOf(info[3]);
    return handleOf(info).promise(info, info[3], info.Env().Undefined(), [&](Engine& engine, Done done) {
      engine.upload(arena, offset, source.data, source.size, std::move(done));
    });
  });
}

// read(engine, arena, offset, target): Promise<target>
Napi::Value read(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&] {
    const ArenaId arena = arenaOf(info, 1);
    const int64_t offset = integerOf(info, 2, "offset");
    const Bytes target = bytesOf(info[3]);
    return handleOf(info).promise(info, info[3], info[3], [&](Engine& engine, Done done) {
      engine.read(arena, offset, target.data, target.size, std::move(done));
    });
  });
}

// synchronize(engine): Promise<void>
Napi::Value synchronize(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&] {
    return handleOf(info).promise(info, info.Env().Undefined(), info.Env().Undefined(),
                                  [](Engine& engine, Done done) { engine.synchronize(std::move(done)); });
  });
}

// dispose(engine): Promise<void>
Napi::Value dispose(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&] { return handleOf(info).dispose(info); });
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, auto function) { exports.Set(name, Napi::Function::New(env, function, name)); };
  add("createEngine", createEngine);
  add("reserve", reserve);
  add("enqueue", enqueue);
  add("upload", upload);
  add("read", read);
  add("synchronize", synchronize);
  add("dispose", dispose);
  Napi::Array ops = Napi::Array::New(env, Engine::opCount());
  for (int i = 0; i < Engine::opCount(); ++i) ops.Set(static_cast<uint32_t>(i), Engine::opName(i));
  exports.Set("opNames", ops);
  return exports;
}

}  // namespace

}  // namespace lxmert::binding

static Napi::Object init(Napi::Env env, Napi::Object exports) { return lxmert::binding::initialize(env, exports); }
NODE_API_MODULE(lxmert, init)
