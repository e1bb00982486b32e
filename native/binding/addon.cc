// The addon's functions, as src/engine/native.ts declares them. Each function only checks its arguments, calls the
// core, and turns the core's results into promises and its errors into JavaScript errors.
#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "binding/arguments.h"
#include "binding/communicator_handle.h"
#include "binding/decode_features.h"
#include "binding/read_rows.h"
#include "cpu/device.h"
#include "engine/plugin.h"

namespace lxmert::binding {

namespace {

EngineHandle::Held held(const Napi::CallbackInfo& info, napi_value memory = nullptr, napi_value result = nullptr) {
  const napi_value undefined = info.Env().Undefined();
  return {info[0], memory ? memory : undefined, result ? result : undefined};
}

// Makes the CPU device, or the device of the plugin whose path is given.
std::unique_ptr<Device> deviceOf(const Napi::CallbackInfo& info) {
  const auto threads = static_cast<int>(std::min<int64_t>(integerOf(info, 0, "threads"), 1024));
  const std::string precision = info[1].IsUndefined() ? "float32" : textOf(info, 1, "precision");
  if (precision != "float32" && precision != "bfloat16")
    throw Error(ErrorCode::BadArgument, "precision is " + precision + ", expected float32 or bfloat16");
  DeviceOptions options;
  options.precision = precision == "bfloat16" ? Precision::BFloat16 : Precision::Float32;
  if (info[2].IsUndefined()) return cpu::createDevice(threads, options.precision);
  if (!info[3].IsUndefined()) options.ordinal = static_cast<int>(std::min<int64_t>(integerOf(info, 3, "gpu"), 1 << 20));
  if (!info[4].IsUndefined())
    options.freeMultiprocessors = static_cast<int>(std::min<int64_t>(integerOf(info, 4, "freeMultiprocessors"), 1024));
  return openPlugin(textOf(info, 2, "plugin")).open(options);
}

// createEngine(threads, precision?, plugin?, gpu?, freeMultiprocessors?)
Napi::Value createEngine(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    auto handle = std::make_unique<EngineHandle>(info.Env(), std::make_unique<Engine>(deviceOf(info)));
    const auto collected = [](napi_env, void* handle, void*) { delete static_cast<EngineHandle*>(handle); };
    napi_value external;
    check(napi_create_external(info.Env(), handle.get(), collected, nullptr, &external), "napi_create_external");
    handle.release();
    check(napi_type_tag_object(info.Env(), external, &kEngineTag), "napi_type_tag_object");
    return Napi::Value(info.Env(), external);
  });
}

// activationsOf(engine): 'f32' | 'bf16'
Napi::Value activationsOf(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const bool bf16 = handleOf(info).engine().activations() == DType::BF16;
    return Napi::Value(Napi::String::New(info.Env(), bf16 ? "bf16" : "f32"));
  });
}

// describePlugin(plugin): string
Napi::Value describePlugin(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    return Napi::Value(Napi::String::New(info.Env(), openPlugin(textOf(info, 0, "plugin")).describe(0)));
  });
}

// describeNccl(plugin): string
Napi::Value describeNccl(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    return Napi::Value(Napi::String::New(info.Env(), openPlugin(textOf(info, 0, "plugin")).describeNccl()));
  });
}

// reserve(engine, arena, bytes)
Napi::Value reserve(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    handleOf(info).reserve(arenaOf(info, 1), integerOf(info, 2, "bytes"));
    return info.Env().Undefined();
  });
}

// enqueue(engine, op, args: Float64Array, count)
Napi::Value enqueue(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const Numbers args = numbersOf(info, 2, "args");
    handleOf(info).engine().enqueue(static_cast<int>(std::min<int64_t>(integerOf(info, 1, "op"), 1 << 20)), args.data,
                                    args.count);
    return info.Env().Undefined();
  });
}

// enterLane(engine, lane)
Napi::Value enterLane(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    handleOf(info).engine().enterLane(static_cast<double>(integerOf(info, 1, "lane")));
    return info.Env().Undefined();
  });
}

// record(engine, calls: Float64Array, count): number
Napi::Value record(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const Numbers calls = numbersOf(info, 1, "calls");
    const int64_t recording = handleOf(info).engine().record(calls.data, calls.count);
    return Napi::Value(Napi::Number::New(info.Env(), static_cast<double>(recording)));
  });
}

// replay(engine, recording): string
Napi::Value replay(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    return Napi::Value(Napi::String::New(info.Env(), handleOf(info).engine().replay(integerOf(info, 1, "recording"))));
  });
}

// takeNote(engine): string
Napi::Value takeNote(const Napi::CallbackInfo& info) {
  return translated(info,
                    [&] { return Napi::Value(Napi::String::New(info.Env(), handleOf(info).engine().takeNote())); });
}

// forget(engine, recording)
Napi::Value forget(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    handleOf(info).engine().forget(integerOf(info, 1, "recording"));
    return info.Env().Undefined();
  });
}

// hostMemory(engine, bytes): ArrayBuffer
Napi::Value hostMemory(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const int64_t bytes = integerOf(info, 1, "bytes");
    auto owner = std::make_unique<std::shared_ptr<char>>(handleOf(info).engine().hostMemory(bytes));
    const auto collected = [](napi_env, void*, void* owner) { delete static_cast<std::shared_ptr<char>*>(owner); };
    napi_value buffer;
    check(napi_create_external_arraybuffer(info.Env(), owner->get(), bytes, collected, owner.get(), &buffer),
          "napi_create_external_arraybuffer");
    owner.release();
    return Napi::Value(info.Env(), buffer);
  });
}

// upload(engine, arena, offset, source, ahead): Promise<void>
//
// The engine's thread makes the upload later. It then reads a SharedArrayBuffer or hostMemory directly. The memory of
// any other typed array may no longer exist at that time (the array was resized, or transferred to a worker that has
// ended), and the addon cannot prevent this. So its bytes are copied now.
Napi::Value upload(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const ArenaId arena = arenaOf(info, 1);
    const int64_t offset = integerOf(info, 2, "offset");
    const Bytes source = bytesOf(info, 3, "source");
    const bool ahead = info[4].IsBoolean() && info[4].As<Napi::Boolean>().Value();
    EngineHandle& handle = handleOf(info);
    handle.engine().checkPlace("upload", arena, offset, source.size);
    const std::shared_ptr<char> memory = handle.engine().hostMemoryAt(source.data, source.size);
    std::shared_ptr<char[]> copy;
    if (!source.shared && !memory) {
      copy = std::make_shared_for_overwrite<char[]>(source.size);
      if (source.size > 0) std::memcpy(copy.get(), source.data, source.size);
    }
    const auto start = [&](Engine& engine, Done done) {
      engine.upload({arena, offset, copy ? copy.get() : source.data, source.size, ahead, memory},
                    [copy, done = std::move(done)](const Error* error) { done(error); });
    };
    return Napi::Value(info.Env(), handle.promise(copy ? held(info) : held(info, info[3]), start));
  });
}

// read(engine, arena, offset, target): Promise<target>
//
// The engine's thread writes into the target. No other code may use the target until the promise resolves.
Napi::Value read(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const ArenaId arena = arenaOf(info, 1);
    const int64_t offset = integerOf(info, 2, "offset");
    const Bytes target = bytesOf(info, 3, "target");
    const auto start = [&](Engine& engine, Done done) {
      engine.read(arena, offset, target.data, target.size, std::move(done));
    };
    return Napi::Value(info.Env(), handleOf(info).promise(held(info, info[3], info[3]), start));
  });
}

// synchronize(engine): Promise<void>
Napi::Value synchronize(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const auto start = [](Engine& engine, Done done) { engine.synchronize(std::move(done)); };
    return Napi::Value(info.Env(), handleOf(info).promise(held(info), start));
  });
}

// profile(engine, on)
Napi::Value profile(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    if (!info[1].IsBoolean()) throw Error(ErrorCode::BadArgument, "on is not a boolean");
    handleOf(info).engine().profile(info[1].As<Napi::Boolean>().Value());
    return info.Env().Undefined();
  });
}

// readProfile(engine, target: Float64Array): Promise<target>
Napi::Value readProfile(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const Bytes target = bytesOf(info, 1, "target");
    if (target.type != napi_float64_array) throw Error(ErrorCode::BadArgument, "target is not a Float64Array");
    const auto start = [&](Engine& engine, Done done) {
      engine.readProfile(reinterpret_cast<double*>(target.data), target.size / static_cast<int64_t>(sizeof(double)),
                         std::move(done));
    };
    return Napi::Value(info.Env(), handleOf(info).promise(held(info, info[1], info[1]), start));
  });
}

// dispose(engine): Promise<void>
Napi::Value dispose(const Napi::CallbackInfo& info) {
  return translated(info, [&] { return Napi::Value(info.Env(), handleOf(info).dispose(held(info))); });
}

// joinRanks(engine, communicator)
Napi::Value joinRanks(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    handleOf(info).engine().join(communicatorOf(info, 1));
    return info.Env().Undefined();
  });
}

// makeRankId(plugin): string
Napi::Value makeRankId(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    return Napi::Value(Napi::String::New(info.Env(), openPlugin(textOf(info, 0, "plugin")).makeRankId()));
  });
}

// joinRanksOfDevice(engine, communicator, id, parts, alongTree): Promise<void>
Napi::Value joinRanksOfDevice(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const std::shared_ptr<comm::Communicator> ranks = communicatorOf(info, 1);
    if (!info[4].IsBoolean()) throw Error(ErrorCode::BadArgument, "alongTree is not a boolean");
    const RankGroup group{ranks->rank(), ranks->ranks(), textOf(info, 2, "id"), integerOf(info, 3, "parts"),
                          info[4].As<Napi::Boolean>().Value()};
    const auto start = [&](Engine& engine, Done done) { ranks->setDevice(engine.join(group, std::move(done))); };
    return Napi::Value(info.Env(), handleOf(info).promise(held(info), start));
  });
}

// share(engine, args: Float64Array, count)
Napi::Value share(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const Numbers args = numbersOf(info, 1, "args");
    handleOf(info).engine().share(args.data, args.count);
    return info.Env().Undefined();
  });
}

// Keeps the addon loaded. Node would unload it when the last worker that uses it ends, but OpenMP's threads may still
// be running code of the libraries that would be unloaded with it.
void stayLoaded() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&stayLoaded), &self) != 0)
    dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  stayLoaded();
  Engines::endWithProcess(env);
  const auto add = [&](const char* name, auto function) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("createEngine", createEngine);
  add("activationsOf", activationsOf);
  add("describePlugin", describePlugin);
  add("describeNccl", describeNccl);
  add("reserve", reserve);
  add("enqueue", enqueue);
  add("enterLane", enterLane);
  add("record", record);
  add("replay", replay);
  add("takeNote", takeNote);
  add("forget", forget);
  add("hostMemory", hostMemory);
  add("upload", upload);
  add("read", read);
  add("synchronize", synchronize);
  add("profile", profile);
  add("readProfile", readProfile);
  add("dispose", dispose);
  add("readRows", readRows);
  add("decodeFeatures", decodeFeatures);
  add("joinRanks", joinRanks);
  add("makeRankId", makeRankId);
  add("joinRanksOfDevice", joinRanksOfDevice);
  add("share", share);
  addCommunicator(env, exports);
  Napi::Array ops = Napi::Array::New(env, Engine::opCount());
  for (int i = 0; i < Engine::opCount(); ++i) ops.Set(static_cast<uint32_t>(i), Engine::opName(i));
  exports.Set("opNames", ops);
  return exports;
}

}  // namespace

}  // namespace lxmert::binding

static Napi::Object init(Napi::Env env, Napi::Object exports) { return lxmert::binding::initialize(env, exports); }
NODE_API_MODULE(lxmert, init)
