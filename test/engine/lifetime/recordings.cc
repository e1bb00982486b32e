// Tests the core's recordings on a device for tests: they are replayed op by op or captured, and refused if invalid.
// See core.cc.
#include "fake_device.h"

namespace {

// Enqueues ops that fill the first floats with each of the values, one after the other.
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
    CHECK(read(*engine, values.data()) == "" && values[0] == 0.0f);  // no op has run
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
  engine->reserve(ArenaId::Workspace, kBytes);  // reserving any arena makes recordings invalid
  CHECK(codeOf([&] { engine->replay(recording); }) == "BAD_ARGUMENT");
  const int64_t fresh = recordFills(*engine, {2});
  engine->reserve(kArena, kBytes);
  CHECK(codeOf([&] { engine->replay(fresh); }) == "BAD_ARGUMENT");
  CHECK(synchronize(*engine) == "" && observed.live.size() == 2 && !observed.used_dead);
  engine->reserve(kArena, 0);
  engine->reserve(ArenaId::Workspace, 0);
  CHECK(synchronize(*engine) == "" && observed.live.empty());  // recordings do not keep memory alive
  const double cut[] = {static_cast<double>(opNamed("fill")), 6, 1}, unknown[] = {1e9, 0}, half[] = {0};
  for (const auto& [calls, count] : {std::pair{cut, 3}, {unknown, 2}, {half, 1}})
    CHECK(codeOf([&, calls = calls, count = count] { engine->record(calls, count); }) == "BAD_ARGUMENT");
}

// A failed capture makes the run slower but does not end it, and is reported once.
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

}  // namespace

void testRecordings() {
  run("recordings are replayed", recordingsAreReplayed);
  run("dead recordings are refused", deadRecordingsAreRefused);
  run("failed captures fall back", failedCapturesFallBack);
  run("ending stops a replay between ops", endingStopsAReplayBetweenOps);
}
