#include "binding/communicator_handle.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "binding/arguments.h"
#include "comm/mpi.h"
#include "comm/tcp.h"

namespace lxmert::binding {

namespace {

using comm::Communicator;

constexpr napi_type_tag kRanksTag = {0x6c786d6572742d72ull, 0x616e6b732d303031ull};

// A communicator. Before the ranks are connected, this structure has only the transport. The communicator is made from
// the transport when the ranks are connected.
struct Holder {
  std::shared_ptr<Communicator> ranks;
  std::unique_ptr<comm::TcpTransport> tcp;
};

Holder& holderOf(const Napi::CallbackInfo& info, size_t index) {
  void* holder = nullptr;
  bool ours = false;
  if (!info[index].IsExternal() || napi_check_object_type_tag(info.Env(), info[index], &kRanksTag, &ours) != napi_ok ||
      !ours || napi_get_value_external(info.Env(), info[index], &holder) != napi_ok)
    throw Error(ErrorCode::BadArgument, "argument " + std::to_string(index) + " is not a communicator");
  return *static_cast<Holder*>(holder);
}

Napi::Value external(Napi::Env env, std::unique_ptr<Holder> holder) {
  const auto collected = [](napi_env, void* holder, void*) { delete static_cast<Holder*>(holder); };
  napi_value value;
  check(napi_create_external(env, holder.get(), collected, nullptr, &value), "napi_create_external");
  holder.release();
  check(napi_type_tag_object(env, value, &kRanksTag), "napi_type_tag_object");
  return {env, value};
}

// Does work on a thread of libuv's pool, and resolves the promise with the value that `result` makes.
class Waiting final : public Napi::AsyncWorker {
 public:
  using Result = std::function<Napi::Value(Napi::Env)>;
  Waiting(Napi::Env env, std::function<void()> work, Result result)
      : AsyncWorker(env), work_(std::move(work)), result_(std::move(result)), deferred_(env) {}

  static Napi::Value start(Napi::Env env, std::function<void()> work, Result result) {
    auto* worker = new Waiting(env, std::move(work), std::move(result));
    const Napi::Value promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

 protected:
  void Execute() override {
    try {
      work_();
    } catch (const Error& error) {
      error_.emplace(error);
    } catch (const std::exception& error) {
      error_.emplace(ErrorCode::Internal, error.what());
    }
  }
  void OnOK() override {
    if (error_)
      deferred_.Reject(Napi::Value(Env(), toJs(Env(), *error_)));
    else
      deferred_.Resolve(result_(Env()));
  }

 private:
  std::function<void()> work_;
  Result result_;
  std::optional<Error> error_;
  Napi::Promise::Deferred deferred_;
};

Napi::Value undefined(Napi::Env env) { return env.Undefined(); }

// listenToRanks(rank, ranks, token): communicator. The token is 16 hexadecimal digits.
Napi::Value listenToRanks(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const auto rank = static_cast<int>(integerOf(info, 0, "rank"));
    const auto ranks = static_cast<int>(integerOf(info, 1, "ranks"));
    const uint64_t token = std::stoull(textOf(info, 2, "token"), nullptr, 16);
    auto holder = std::make_unique<Holder>();
    auto tcp = std::make_unique<comm::TcpTransport>(rank, ranks, token);
    const int port = tcp->port();
    holder->tcp = std::move(tcp);
    holder->ranks = nullptr;
    const Napi::Value value = external(info.Env(), std::move(holder));
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("communicator", value);
    result.Set("port", port);
    return Napi::Value(result);
  });
}

// connectRanks(communicator, rank, ranks, hosts: string[], ports: number[]): Promise<void>
Napi::Value connectRanks(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    Holder& holder = holderOf(info, 0);
    if (!holder.tcp) throw Error(ErrorCode::BadArgument, "the communicator is connected already");
    const auto rank = static_cast<int>(integerOf(info, 1, "rank"));
    const auto ranks = static_cast<int>(integerOf(info, 2, "ranks"));
    const auto hosts = info[3].As<Napi::Array>(), ports = info[4].As<Napi::Array>();
    std::vector<comm::Address> addresses;
    for (int i = 0; i < ranks; ++i)
      addresses.push_back({hosts.Get(i).As<Napi::String>().Utf8Value(), ports.Get(i).As<Napi::Number>().Int32Value()});
    holder.tcp->setAddresses(std::move(addresses));
    holder.ranks = std::make_shared<Communicator>(rank, ranks, std::move(holder.tcp));
    return Waiting::start(
        info.Env(), [ranks = holder.ranks] { ranks->open(); }, undefined);
  });
}

// openMpi(library): Promise<{ communicator, rank, ranks }>
Napi::Value openMpi(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    auto mpi = std::make_shared<std::unique_ptr<comm::MpiTransport>>(
        std::make_unique<comm::MpiTransport>(textOf(info, 0, "library")));
    auto ranks = std::make_shared<std::shared_ptr<Communicator>>();
    const auto work = [mpi, ranks] { *ranks = Communicator::overMpi(std::move(*mpi)); };
    const auto result = [ranks](Napi::Env env) {
      auto holder = std::make_unique<Holder>();
      holder->ranks = *ranks;
      Napi::Object opened = Napi::Object::New(env);
      opened.Set("rank", (*ranks)->rank());
      opened.Set("ranks", (*ranks)->ranks());
      opened.Set("communicator", external(env, std::move(holder)));
      return Napi::Value(opened);
    };
    return Waiting::start(info.Env(), work, result);
  });
}

// shareText(communicator, text): Promise<string>. The result is the text of rank 0. Works only over MPI.
Napi::Value shareText(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const auto shared = std::make_shared<std::string>(textOf(info, 1, "text"));
    const auto work = [shared, ranks = communicatorOf(info, 0)] { *shared = ranks->shareText(*shared); };
    return Waiting::start(info.Env(), work,
                          [shared](Napi::Env env) { return Napi::Value(Napi::String::New(env, *shared)); });
  });
}

// setParts(communicator, parts)
Napi::Value setParts(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    communicatorOf(info, 0)->setParts(integerOf(info, 1, "parts"));
    return info.Env().Undefined();
  });
}

// abortRanks(communicator)
Napi::Value abortRanks(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    if (holderOf(info, 0).ranks) holderOf(info, 0).ranks->abort();
    return info.Env().Undefined();
  });
}

// closeRanks(communicator): Promise<void>
Napi::Value closeRanks(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    return Waiting::start(
        info.Env(), [ranks = communicatorOf(info, 0)] { ranks->close(); }, undefined);
  });
}

// rankTimes(communicator): { moving, waiting, bytes }
Napi::Value rankTimes(const Napi::CallbackInfo& info) {
  return translated(info, [&] {
    const CommTimes times = communicatorOf(info, 0)->times();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("moving", times.moving);
    result.Set("waiting", times.waiting);
    result.Set("bytes", times.bytes);
    return Napi::Value(result);
  });
}

}  // namespace

std::shared_ptr<Communicator> communicatorOf(const Napi::CallbackInfo& info, size_t index) {
  const Holder& holder = holderOf(info, index);
  if (!holder.ranks) throw Error(ErrorCode::BadArgument, "the communicator is not connected yet");
  return holder.ranks;
}

void addCommunicator(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, auto function) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("listenToRanks", listenToRanks);
  add("connectRanks", connectRanks);
  add("openMpi", openMpi);
  add("shareText", shareText);
  add("setParts", setParts);
  add("abortRanks", abortRanks);
  add("closeRanks", closeRanks);
  add("rankTimes", rankTimes);
}

}  // namespace lxmert::binding
