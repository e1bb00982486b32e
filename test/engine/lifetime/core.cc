// Tests the core's engine and queue on a device for tests; recordings.cc tests its recordings. core.test.ts builds and
// runs them; docs/engine.md says how to build them with a sanitizer.
#include "fake_device.h"

void testRecordings();

namespace {

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
  engine->upload({kArena, 0, reinterpret_cast<char*>(up.data()), kBytes}, [&](const Error*) { order.push_back(10); });
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
  CHECK(codeOf([&] { engine->enqueue(opNamed("gradNorm"), nullptr, 0); }) ==
        "UNSUPPORTED");  // the device does not have this op
  CHECK(codeOf([&] { engine->upload({kArena, 1, nullptr, kBytes}, {}); }) == "BAD_ARGUMENT");
  CHECK(codeOf([&] { engine->read(kArena, INT64_MAX, nullptr, 1, {}); }) == "BAD_ARGUMENT");
  CHECK(synchronize(*engine) == "");
}

// Host memory stays alive as long as an upload needs it.
void uploadsHoldHostMemory() {
  Observed observed;
  Gate gate;
  observed.kernel = [&](const Fill&) { gate.wait(); };
  const auto engine = engineOn(observed);
  engine->reserve(kArena, kBytes);
  for (const int64_t bytes : {int64_t{0}, int64_t{-1}, (int64_t{1} << 33) + 1})
    CHECK(codeOf([&] { engine->hostMemory(bytes); }) == "BAD_ARGUMENT");
  std::shared_ptr<char> memory = engine->hostMemory(2 * kBytes);
  char* const base = memory.get();
  CHECK(std::all_of(base, base + 2 * kBytes, [](char byte) { return byte == 0; }));
  CHECK(engine->hostMemoryAt(base + kBytes, kBytes) == memory && engine->hostMemoryAt(base, 0) == memory);
  CHECK(!engine->hostMemoryAt(base - 1, 1) && !engine->hostMemoryAt(base + kBytes, kBytes + 1));
  std::fill_n(reinterpret_cast<float*>(base), kFloats, 7.0f);
  enqueueFill(*engine, 1);
  gate.reached.get_future().wait();
  engine->upload({kArena, 0, base, kBytes, true, memory}, [](const Error*) {});
  const std::weak_ptr<char> held = memory;
  memory.reset();
  CHECK(!held.expired());
  gate.open.set_value();
  std::vector<float> down(kFloats);
  engine->read(kArena, 0, reinterpret_cast<char*>(down.data()), kBytes, [](const Error*) {});
  CHECK(synchronize(*engine) == "");
  CHECK(down == std::vector<float>(kFloats, 7));
  CHECK(held.expired() && !engine->hostMemoryAt(base, 1));
}

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
  // An engine that is ending drops new work at once.
  const auto isEnding = [&ending = *engine] {
    auto given = std::make_shared<int>();
    const std::weak_ptr<int> kept = given;
    ending.synchronize([given = std::move(given)](const Error*) {});
    return kept.expired();
  };
  std::thread opener([&] {
    while (!isEnding()) std::this_thread::yield();
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
  engine->reserve(kArena, 2 * kBytes);  // this call would never return if it waited
  {
    const std::lock_guard lock(observed.mutex);
    CHECK(observed.live.size() == 2);  // the running kernel still uses the old memory
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
  CHECK(codeOf([&] { engine->reserve(ArenaId::Workspace, observed.largest_claim); }) == "OUT_OF_MEMORY");  // in total
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

// Several threads make, use and end engines at random moments. This test is for the thread sanitizer.
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
      {"uploads hold host memory", uploadsHoldHostMemory},
      {"ending drops what has not started", endingDropsWhatHasNotStarted},
      {"disposal drains", disposalDrains},
      {"reserve waits for nothing", reserveWaitsForNothing},
      {"a failed reserve changes nothing", failedReserveChangesNothing},
      {"a queue outlives its abort", queueOutlivesItsAbort},
      {"many engines", manyEngines},
  };
  for (const auto& [name, test] : tests) run(name, test);
  testRecordings();
  return failures == 0 ? 0 : 1;
}
