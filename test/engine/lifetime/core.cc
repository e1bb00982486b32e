// The core's engine and queue on a device whose kernels fail, wait and count as these tests want. core.test.ts builds and
// runs it; docs/engine.md says how to build it with a sanitizer.
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

namespace {

std::atomic<int> failures{0};

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                               \
    }                                                                           \
  } while (0)

// What a test sees of its device, which the engine owns.
struct Observed {
  std::mutex mutex;
  std::set<char*> live;         // memory that has not been given back
  int64_t claimed = 0;          // as last told
  std::atomic<int> kernels{0};  // that have run to their end
  std::atomic<bool> used_dead{false};
  int64_t largest_arena = 1 << 20, largest_claim = 1 << 22;
  std::function<void(const Fill&)> kernel = [](const Fill&) {};
  std::function<void()> begin = [] {};
  std::atomic<int> captures{0}, launches{0};
  bool makes_captures = false;
  std::function<void()> capture = [] {};
};

// Its launch does what was captured.
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
  void copyIn(char* device, const char* host, int64_t bytes) override { std::memcpy(device, host, bytes); }
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

std::unique_ptr<Engine> engineOn(Observed& observed) {
  return std::make_unique<Engine>(std::make_unique<FakeDevice>(observed));
}

int opNamed(const std::string& name) {
  for (int op = 0; op < Engine::opCount(); ++op)
    if (name == Engine::opName(op)) return op;
  std::abort();
}

// Fills the first floats of the arena.
void enqueueFill(Engine& engine, double value, int64_t floats = kFloats) {
  static const int op = opNamed("fill");
  const double args[] = {value, static_cast<double>(kArena), 0, static_cast<double>(floats), 0};
  engine.enqueue(op, args, std::size(args));
}

// The code of what `call` throws; "" when it does not.
template <class Call>
std::string codeOf(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return codeName(error.code);
  }
  return "";
}

// How an asynchronous call ends: "" or the code.
template <class Start>
std::string outcomeOf(Start&& start) {
  std::promise<std::string> ended;
  start([&](const Error* error) { ended.set_value(error ? codeName(error->code) : ""); });
  return ended.get_future().get();
}

std::string synchronize(Engine& engine) {
  return outcomeOf([&](Done done) { engine.synchronize(std::move(done)); });
}

std::string read(Engine& engine, float* values) {
  return outcomeOf(
      [&](Done done) { engine.read(kArena, 0, reinterpret_cast<char*>(values), kBytes, std::move(done)); });
}

void worksInOrder() {
  Observed observed;
  const auto engine = engineOn(observed);
  engine->reserve(kArena, kBytes);
  std::vector<float> up(kFloats, 3.0f);
  std::vector<std::vector<float>> down(3, std::vector<float>(kFloats));
  std::vector<int> order;
  const auto reads = [&](int i) {
    engine->read(kArena, 0, reinterpret_cast<char*>(down[i].data()), kBytes,
                 [&, i](const Error*) { order.push_back(i); });
  };
  reads(0);
  engine->upload(kArena, 0, reinterpret_cast<char*>(up.data()), kBytes, false,
                 [&](const Error*) { order.push_back(10); });
  reads(1);
  enqueueFill(*engine, 7);
  reads(2);
  CHECK(synchronize(*engine) == "");
  CHECK((order == std::vector<int>{0, 10, 1, 2}));
  CHECK(down[0][5] == 0.0f && down[1][5] == 3.0f && down[2][5] == 7.0f);
}

void failuresPoison() {
  const std::pair<std::function<void()>, const char*> cases[] = {
      {[] { throw Error(ErrorCode::Unsupported, "x"); }, "UNSUPPORTED"},
      {[] { throw std::bad_alloc(); }, "OUT_OF_MEMORY"},
      {[] { throw std::runtime_error("x"); }, "INTERNAL"},
  };
  for (const auto& [fails, code] : cases) {
    Observed observed;
    observed.kernel = [&fails = fails](const Fill& fill) {
      if (fill.value == 2.0f) fails();
    };
    const auto engine = engineOn(observed);
    engine->reserve(kArena, kBytes);
    enqueueFill(*engine, 1);
    CHECK(synchronize(*engine) == "");
    enqueueFill(*engine, 2);
    enqueueFill(*engine, 3);
    std::vector<float> values(kFloats, -1.0f);
    CHECK(read(*engine, values.data()) == code);
    CHECK(values[0] == -1.0f);
    CHECK(observed.kernels == 1);  // nothing runs after a failure
    CHECK(synchronize(*engine) == code);
    CHECK(outcomeOf([&](Done done) { engine->dispose(std::move(done)); }) == "");
    CHECK(observed.live.empty() && observed.claimed == 0);
  }
}

void failedBeginning() {
  Observed observed;
  observed.begin = [] { throw Error(ErrorCode::NoDevice, "x"); };
  const auto engine = engineOn(observed);
  CHECK(synchronize(*engine) == "NO_DEVICE");
}

void wrongCallsLeaveNoTrace() {
  Observed observed;
  const auto engine = engineOn(observed);
  engine->reserve(kArena, kBytes);
  CHECK(codeOf([&] { enqueueFill(*engine, 1, kFloats + 1); }) == "BAD_ARGUMENT");
  CHECK(codeOf([&] { engine->enqueue(Engine::opCount(), nullptr, 0); }) == "BAD_ARGUMENT");
  CHECK(codeOf([&] { engine->enqueue(opNamed("gradNorm"), nullptr, 0); }) == "UNSUPPORTED");  // an empty cell
  CHECK(codeOf([&] { engine->upload(kArena, 1, nullptr, kBytes, false, {}); }) == "BAD_ARGUMENT");
  CHECK(codeOf([&] { engine->read(kArena, INT64_MAX, nullptr, 1, {}); }) == "BAD_ARGUMENT");
  CHECK(synchronize(*engine) == "");
}

// Holds the engine's thread inside a kernel until told to go on.
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

void endingDropsWhatHasNotStarted() {
  Observed observed;
  Gate gate;
  observed.kernel = [&](const Fill&) { gate.wait(); };
  std::atomic<int> told{0};
  auto engine = engineOn(observed);
  engine->reserve(kArena, kBytes);
  for (int i = 0; i < 100; ++i) enqueueFill(*engine, i);
  engine->reserve(kArena, 2 * kBytes);  // the old memory waits for work that is dropped
  engine->synchronize([&](const Error*) { ++told; });
  gate.reached.get_future().wait();
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK(observed.kernels == 0);
    gate.open.set_value();
  });
  engine.reset();
  CHECK(observed.kernels == 1 && told == 0);
  CHECK(observed.live.empty() && !observed.used_dead);
  opener.join();
}

void disposalDrains() {
  Observed observed;
  auto engine = engineOn(observed);
  engine->reserve(kArena, kBytes);
  for (int i = 0; i < 1000; ++i) enqueueFill(*engine, i);
  CHECK(outcomeOf([&](Done done) { engine->dispose(std::move(done)); }) == "");
  CHECK(observed.kernels == 1000 && observed.live.empty() && !observed.used_dead);
  CHECK(engine->reserved() == 0);
}

void reserveWaitsForNothing() {
  Observed observed;
  Gate gate;
  size_t liveOnNew = 0;
  observed.kernel = [&](const Fill&) {
    gate.wait();
    const std::lock_guard lock(observed.mutex);
    liveOnNew = observed.live.size();
  };
  const auto engine = engineOn(observed);
  engine->reserve(kArena, kBytes);
  enqueueFill(*engine, 1);
  gate.reached.get_future().wait();
  engine->reserve(kArena, 2 * kBytes);  // would never return if it waited
  {
    const std::lock_guard lock(observed.mutex);
    CHECK(observed.live.size() == 2);  // the kernel is still at work on the old
  }
  gate.open.set_value();
  CHECK(synchronize(*engine) == "");
  enqueueFill(*engine, 2, 2 * kFloats);
  CHECK(synchronize(*engine) == "");
  CHECK(liveOnNew == 1 && !observed.used_dead && observed.claimed == 2 * kBytes);
}

void failedReserveChangesNothing() {
  Observed observed;
  const auto engine = engineOn(observed);
  engine->reserve(kArena, kBytes);
  enqueueFill(*engine, 5);
  CHECK(codeOf([&] { engine->reserve(kArena, observed.largest_arena + 1); }) == "OUT_OF_MEMORY");
  CHECK(codeOf([&] { engine->reserve(kArena, observed.largest_claim + 1); }) == "OUT_OF_MEMORY");
  CHECK(codeOf([&] { engine->reserve(ArenaId::Workspace, observed.largest_claim); }) == "OUT_OF_MEMORY");  // together
  std::vector<float> values(kFloats);
  CHECK(read(*engine, values.data()) == "");
  CHECK(values[kFloats - 1] == 5.0f && engine->reserved() == kBytes && observed.claimed == kBytes);
  engine->reserve(kArena, 0);
  CHECK(engine->reserved() == 0 && observed.claimed == 0);
}

void queueOutlivesItsAbort() {
  std::atomic<int> ran{0};
  CommandQueue queue([] {});
  queue.push([&] { ++ran; });
  queue.abort();
  const int before = ran;
  queue.push([&] { ++ran; });
  queue.abort();
  CHECK(ran == before);
}

// Fills the first floats with each of the values in turn.
int64_t recordFills(Engine& engine, const std::vector<double>& values) {
  std::vector<double> calls;
  for (const double value : values)
    for (const double number : {static_cast<double>(opNamed("fill")), 5.0, value, static_cast<double>(kArena), 0.0,
                                static_cast<double>(kFloats), 0.0})
      calls.push_back(number);
  return engine.record(calls.data(), calls.size());
}

void recordingsAreReplayed() {
  for (const bool captures : {false, true}) {
    Observed observed;
    observed.makes_captures = captures;
    const auto engine = engineOn(observed);
    engine->reserve(kArena, kBytes);
    const int64_t recording = recordFills(*engine, {1, 2, 3});
    std::vector<float> values(kFloats);
    CHECK(read(*engine, values.data()) == "" && values[0] == 0.0f);  // nothing has run
    for (int i = 1; i <= 3; ++i) {
      enqueueFill(*engine, 7);
      CHECK(engine->replay(recording) == "");
      CHECK(read(*engine, values.data()) == "" && values[kFloats - 1] == 3.0f && observed.kernels == 4 * i);
    }
    CHECK(observed.captures == (captures ? 1 : 0) && observed.launches == (captures ? 2 : 0));
    engine->profile(true);  // op by op
    engine->replay(recording);
    std::vector<double> cells(2 * Engine::opCount());
    CHECK(outcomeOf([&](Done done) { engine->readProfile(cells.data(), std::ssize(cells), std::move(done)); }) == "");
    CHECK(cells[2 * opNamed("fill")] == 3 && observed.launches == (captures ? 2 : 0));
    engine->profile(false);
    engine->replay(recording);
    engine->forget(recording);
    CHECK(synchronize(*engine) == "" && observed.kernels == 18);
    CHECK(codeOf([&] { engine->replay(recording); }) == "BAD_ARGUMENT");
    CHECK(codeOf([&] { engine->forget(recording); }) == "BAD_ARGUMENT");
  }
}

void deadRecordingsAreRefused() {
  Observed observed;
  const auto engine = engineOn(observed);
  engine->reserve(kArena, kBytes);
  const int64_t recording = recordFills(*engine, {1});
  engine->replay(recording);
  engine->reserve(ArenaId::Workspace, kBytes);  // any of them
  CHECK(codeOf([&] { engine->replay(recording); }) == "BAD_ARGUMENT");
  const int64_t fresh = recordFills(*engine, {2});
  engine->reserve(kArena, kBytes);
  CHECK(codeOf([&] { engine->replay(fresh); }) == "BAD_ARGUMENT");
  CHECK(synchronize(*engine) == "" && observed.live.size() == 2 && !observed.used_dead);
  engine->reserve(kArena, 0);
  engine->reserve(ArenaId::Workspace, 0);
  CHECK(synchronize(*engine) == "" && observed.live.empty());  // recordings hold no memory
  const double cut[] = {static_cast<double>(opNamed("fill")), 6, 1}, unknown[] = {1e9, 0}, half[] = {0};
  for (const auto& [calls, count] : {std::pair{cut, 3}, {unknown, 2}, {half, 1}})
    CHECK(codeOf([&, calls = calls, count = count] { engine->record(calls, count); }) == "BAD_ARGUMENT");
}

// Costs speed, not the run, and is told once.
void failedCapturesFallBack() {
  Observed observed;
  observed.makes_captures = true;
  observed.capture = [] { throw Error(ErrorCode::Internal, "no graphs today"); };
  const auto engine = engineOn(observed);
  engine->reserve(kArena, kBytes);
  const int64_t recording = recordFills(*engine, {1, 2}), other = recordFills(*engine, {3});
  std::vector<std::string> told;
  for (int i = 0; i < 4; ++i) {
    told.push_back(engine->replay(recording));
    told.push_back(engine->replay(other));
    CHECK(synchronize(*engine) == "");
  }
  CHECK(observed.kernels == 12 && observed.captures == 1 && observed.launches == 0);
  CHECK(std::count(told.begin(), told.end(), "no graphs today") == 1 && std::count(told.begin(), told.end(), "") == 7);
}

void endingStopsAReplayBetweenOps() {
  Observed observed;
  Gate gate;
  observed.kernel = [&](const Fill&) { gate.wait(); };
  auto engine = engineOn(observed);
  engine->reserve(kArena, kBytes);
  engine->replay(recordFills(*engine, std::vector<double>(100, 1)));
  gate.reached.get_future().wait();
  engine->drop();
  gate.open.set_value();
  engine.reset();
  CHECK(observed.kernels == 1 && observed.live.empty() && !observed.used_dead);
}

// Engines on several threads, each made, used and ended at random moments: for the thread sanitizer.
void manyEngines() {
  std::vector<std::thread> owners;
  for (unsigned owner = 0; owner < 4; ++owner)
    owners.emplace_back([owner] {
      uint32_t state = owner + 1;
      const auto random = [&](uint32_t n) { return (state = state * 1664525u + 1013904223u) / 65536 % n; };
      for (int round = 0; round < 150; ++round) {
        Observed observed;
        std::vector<float> values(kFloats);
        std::atomic<int> told{0};
        int asked = 0;
        {
          const auto engine = engineOn(observed);
          engine->reserve(kArena, kBytes);
          for (uint32_t i = 0, n = random(40); i < n; ++i) {
            enqueueFill(*engine, i);
            if (random(4) == 0) engine->reserve(kArena, kBytes * (1 + random(8)));
            if (random(4) == 0) {
              ++asked;
              engine->read(kArena, 0, reinterpret_cast<char*>(values.data()), kBytes, [&](const Error*) { ++told; });
            }
          }
          if (random(2) == 0) {
            CHECK(synchronize(*engine) == "");
            CHECK(told == asked);
          }
          if (random(2) == 0) engine->dispose([](const Error*) {});
        }
        CHECK(told <= asked && observed.live.empty() && observed.claimed >= 0 && !observed.used_dead);
      }
    });
  for (std::thread& owner : owners) owner.join();
}

}  // namespace

int main() {
  const std::pair<const char*, void (*)()> tests[] = {
      {"works in order", worksInOrder},
      {"failures poison", failuresPoison},
      {"a failed beginning is told", failedBeginning},
      {"wrong calls leave no trace", wrongCallsLeaveNoTrace},
      {"ending drops what has not started", endingDropsWhatHasNotStarted},
      {"disposal drains", disposalDrains},
      {"reserve waits for nothing", reserveWaitsForNothing},
      {"a failed reserve changes nothing", failedReserveChangesNothing},
      {"a queue outlives its abort", queueOutlivesItsAbort},
      {"recordings are replayed", recordingsAreReplayed},
      {"dead recordings are refused", deadRecordingsAreRefused},
      {"failed captures fall back", failedCapturesFallBack},
      {"ending stops a replay between ops", endingStopsAReplayBetweenOps},
      {"many engines", manyEngines},
  };
  for (const auto& [name, test] : tests) {
    const int before = failures;
    test();
    std::printf("%s %s\n", failures == before ? "ok" : "FAILED", name);
  }
  return failures == 0 ? 0 : 1;
}
