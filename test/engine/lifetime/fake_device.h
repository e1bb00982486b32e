// For tests of the core: a device whose kernels fail, wait and count as a test needs, and an engine on this device.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"

using namespace lxmert;

inline std::atomic<int> failures{0};

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                               \
    }                                                                           \
  } while (0)

// Runs a test and prints its result.
inline void run(const char* name, void (*test)()) {
  const int before = failures;
  test();
  std::printf("%s %s\n", failures == before ? "ok" : "FAILED", name);
}

// Observations of the device, which the engine owns.
struct Observed {
  std::mutex mutex;
  std::set<char*> live;         // memory that has not been released
  int64_t claimed = 0;          // bytes of the last claim
  std::atomic<int> kernels{0};  // number of finished kernels
  std::atomic<bool> used_dead{false};
  int64_t largest_arena = 1 << 20, largest_claim = 1 << 22;
  std::function<void(const Fill&)> kernel = [](const Fill&) {};
  std::function<void()> begin = [] {};
  std::atomic<int> captures{0}, launches{0};
  bool makes_captures = false;
  std::function<void()> capture = [] {};
};

// A captured graph: its launch runs the captured work.
class FakeCaptured final : public Captured {
 public:
  FakeCaptured(Observed& observed, std::vector<std::function<void()>> kernels)
      : observed_(observed), kernels_(std::move(kernels)) {}
  void launch() override {
    for (const auto& kernel : kernels_) kernel();
    ++observed_.launches;
  }

 private:
  Observed& observed_;
  std::vector<std::function<void()>> kernels_;
};

class FakeDevice final : public Device {
 public:
  explicit FakeDevice(Observed& observed) : observed_(observed) {
    column_.fill = [](Device& device, const Fill& fill) { static_cast<FakeDevice&>(device).fill(fill); };
  }
  void claim(const ArenaSizes& sizes) override {
    const int64_t bytes = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
    if (bytes > observed_.largest_claim) throw Error(ErrorCode::OutOfMemory, "claim");
    const std::lock_guard lock(observed_.mutex);
    observed_.claimed = bytes;
  }
  char* allocate(ArenaId, int64_t bytes) override {
    if (bytes > observed_.largest_arena) throw Error(ErrorCode::OutOfMemory, "arena");
    char* memory = static_cast<char*>(std::calloc(1, bytes));
    const std::lock_guard lock(observed_.mutex);
    observed_.live.insert(memory);
    return memory;
  }
  void release(char* memory, int64_t) override {
    {
      const std::lock_guard lock(observed_.mutex);
      observed_.live.erase(memory);
    }
    std::free(memory);
  }
  void begin() override { observed_.begin(); }
  void copyIn(char* device, const HostBytes& host) override { std::memcpy(device, host.data, host.size); }
  void copyOut(char* host, const char* device, int64_t bytes) override { std::memcpy(host, device, bytes); }
  std::unique_ptr<Captured> capture(const std::function<void()>& work) override {
    if (!observed_.makes_captures) return nullptr;
    ++observed_.captures;
    observed_.capture();
    std::vector<std::function<void()>> kernels;
    captured_ = &kernels;
    work();
    captured_ = nullptr;
    return std::make_unique<FakeCaptured>(observed_, std::move(kernels));
  }
  const OpColumn& ops() const override { return column_; }
  std::string name() const override { return "fake"; }

 private:
  void fill(const Fill& fill) {
    if (captured_) return captured_->push_back([this, fill] { run(fill); });
    run(fill);
  }
  void run(const Fill& fill) {
    observed_.kernel(fill);
    {
      const std::lock_guard lock(observed_.mutex);
      if (!observed_.live.count(reinterpret_cast<char*>(fill.x.data))) observed_.used_dead = true;
    }
    for (int64_t i = 0; i < fill.x.size; ++i) fill.x[i] = fill.value;
    ++observed_.kernels;
  }

  Observed& observed_;
  OpColumn column_;
  std::vector<std::function<void()>>* captured_ = nullptr;
};

constexpr ArenaId kArena = ArenaId::State;
constexpr int64_t kFloats = 64, kBytes = kFloats * sizeof(float);

inline std::unique_ptr<Engine> engineOn(Observed& observed) {
  return std::make_unique<Engine>(std::make_unique<FakeDevice>(observed));
}

inline int opNamed(const std::string& name) {
  for (int op = 0; op < Engine::opCount(); ++op)
    if (name == Engine::opName(op)) return op;
  std::abort();
}

// Fills the first floats of the arena.
inline void enqueueFill(Engine& engine, double value, int64_t floats = kFloats) {
  static const int op = opNamed("fill");
  const double args[] = {value, static_cast<double>(kArena), 0, static_cast<double>(floats), 0};
  engine.enqueue(op, args, std::size(args));
}

// The code of the error that `call` throws; "" if it throws none.
template <class Call>
std::string codeOf(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return codeName(error.code);
  }
  return "";
}

// The result of an asynchronous call: "" or the code of its error.
template <class Start>
std::string outcomeOf(Start&& start) {
  std::promise<std::string> ended;
  start([&](const Error* error) { ended.set_value(error ? codeName(error->code) : ""); });
  return ended.get_future().get();
}

inline std::string synchronize(Engine& engine) {
  return outcomeOf([&](Done done) { engine.synchronize(std::move(done)); });
}

inline std::string read(Engine& engine, float* values) {
  return outcomeOf(
      [&](Done done) { engine.read(kArena, 0, reinterpret_cast<char*>(values), kBytes, std::move(done)); });
}

// Blocks the engine's thread inside a kernel until the promise `open` is fulfilled.
struct Gate {
  std::promise<void> reached, open;
  std::shared_future<void> opened = open.get_future().share();
  std::atomic<bool> passed{false};

  void wait() {
    if (passed.exchange(true)) return;
    reached.set_value();
    opened.wait();
  }
};
