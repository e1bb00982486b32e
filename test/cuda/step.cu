// Tests the functions of CudaDevice that a step needs. One is a graph of recorded ops: the capture must run no op, and
// the graph must keep its scratch space. The other one is uploads: they run at the same time as kernels, but before the
// work that reads them. step.test.ts makes faults in the code of the uploads.
#include <functional>
#include <future>
#include <string>

#include "cuda/device.h"
#include "cuda/kernels.h"
#include "emulator/support.h"

namespace lxmert::cuda {

namespace {

// A device with an arena, and functions that call ops.
struct Fixture {
  static constexpr int64_t kBytes = int64_t{1} << 20;
  CudaDevice device{0, Precision::Float32};
  char* memory = device.allocate(ArenaId::State, kBytes);
  ~Fixture() { device.release(memory, kBytes); }

  Floats at(int64_t first, int64_t count) { return {reinterpret_cast<float*>(memory) + first, count}; }

  void fill(float value, Floats x) {
    Fill args{};
    args.value = value;
    args.x = {x, DType::F32};
    device.ops().fill(device, args);
  }

  // db = the sums of dy's columns, which uses scratch space; dW also uses scratch space, after that of db.
  void sumColumns(int64_t rows, int64_t columns, Floats dy, Floats db) {
    LinearBackwardWeight args{};
    args.rows = {nullptr, RowSet::All, rows, 0};
    args.in = 1;
    args.out = columns;
    args.x = args.dy = {dy, DType::F32};
    args.dWeight = {db.data + columns, columns};
    args.dBias = db;
    device.ops().linearBackwardWeight(device, args);
  }

  float first(Floats x) {
    float value = NAN;
    device.copyOut(reinterpret_cast<char*>(&value), reinterpret_cast<const char*>(x.data), sizeof(float));
    std::promise<void> done;
    device.after([&](const Error* error) {
      if (error)
        done.set_exception(std::make_exception_ptr(*error));
      else
        done.set_value();
    });
    done.get_future().get();
    return value;
  }
};

void graphsRunWhatWasCaptured() {
  Fixture f;
  const Floats dy = f.at(0, 64 * 32), db = f.at(4096, 32);
  const auto work = [&] {
    f.fill(2, dy);
    f.sumColumns(64, 32, dy, db);
  };
  work();
  CHECK(f.first(db) == 128);
  f.fill(-1, db);
  const auto graph = f.device.capture(work);
  CHECK(f.first(db) == -1);
  for (int i = 0; i < 3; ++i) {
    f.fill(-1, db);
    graph->launch();
    CHECK(f.first(db) == 128);
  }
}

// In the meantime, other ops have used a larger block.
void graphsKeepTheirScratch() {
  Fixture f;
  const Floats dy = f.at(0, 64 * 32), db = f.at(4096, 32), wide = f.at(8192, 65536);
  const auto work = [&] { f.sumColumns(64, 32, dy, db); };
  f.fill(1, dy);
  work();
  const auto graph = f.device.capture(work);
  f.fill(1, wide);
  for (int i = 0; i < 3; ++i) f.sumColumns(1, 65536, wide, wide);
  f.fill(-1, db);
  graph->launch();
  CHECK(f.first(db) == 64);
}

// Each lane computes from values that were written before the lanes, with scratch space. The results are read after the
// lanes.
void sumInLanes(Fixture& f, float value, const Floats (&out)[2]) {
  const Floats dy = f.at(0, 64 * 32);
  f.fill(value, dy);
  for (int lane = 0; lane < 2; ++lane) {
    f.device.enterLane(lane + 1);
    const Floats shifted = f.at(4096 + 4096 * lane, 64 * 32), db = f.at(16384 + 4096 * lane, 32);
    cudaMemcpyAsync(shifted.data, dy.data, dy.size * sizeof(float), cudaMemcpyDeviceToDevice, f.device.stream());
    if (lane == 1) f.fill(1, {shifted.data, 32});
    f.sumColumns(64, 32, shifted, db);
    cudaMemcpyAsync(out[lane].data, db.data, sizeof(float), cudaMemcpyDeviceToDevice, f.device.stream());
  }
  f.device.enterLane(0);
}

void lanesPartAndJoin() {
  constexpr int kTrials = 20, kSteps = 6;
  for (int trial = 0; trial < kTrials; ++trial) {
    Fixture f;
    for (int step = 0; step < kSteps; ++step) {
      sumInLanes(f, static_cast<float>(step), {f.at(32768, 1), f.at(32769, 1)});
      cudaMemcpyAsync(f.at(40960 + 2 * step, 2).data, f.at(32768, 2).data, 2 * sizeof(float), cudaMemcpyDeviceToDevice,
                      f.device.stream());
      f.fill(-1, f.at(32768, 2));
    }
    f.device.wait();  // waits for both lanes, because a race may make either of them fail
    for (int step = 0; step < kSteps; ++step) {
      CHECK(f.first(f.at(40960 + 2 * step, 1)) == static_cast<float>(64 * step));
      CHECK(f.first(f.at(40961 + 2 * step, 1)) == static_cast<float>(63 * step + 1));
    }
  }
}

void lanesAreCaptured() {
  Fixture f;
  const auto work = [&] { sumInLanes(f, 3, {f.at(32768, 1), f.at(32769, 1)}); };
  work();
  const auto graph = f.device.capture(work);
  for (int i = 0; i < 10; ++i) {
    f.fill(-1, f.at(0, 40960));
    graph->launch();
    CHECK(f.first(f.at(32768, 1)) == 64 * 3);
    CHECK(f.first(f.at(32769, 1)) == 63 * 3 + 1);
  }
}

// Calls that are not ops come after both lanes, even if the lanes were not ended.
void allElseIsBehindTheLanes() {
  for (int trial = 0; trial < 20; ++trial) {
    Fixture f;
    f.device.enterLane(1);
    f.device.enterLane(2);
    for (int i = 0; i < 4; ++i) f.fill(static_cast<float>(i), f.at(0, 64));
    CHECK(f.first(f.at(0, 64)) == 3);
    f.device.enterLane(2);
    f.fill(4, f.at(0, 64));
    const float value = 5;
    f.device.copyIn(f.memory, {reinterpret_cast<const char*>(&value), sizeof value});
    CHECK(f.first(f.at(0, 64)) == 5);
  }
}

std::string errorOf(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void whatCannotBeCapturedLeavesTheDeviceAsItWas() {
  Fixture f;
  const Floats dy = f.at(0, 64 * 32), db = f.at(4096, 32);
  const auto work = [&] { f.sumColumns(64, 32, dy, db); };
  f.fill(1, dy);
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(has(errorOf([&] { f.device.capture(work); }), "more scratch space"));
  CHECK(has(errorOf([&] { f.device.capture([&] { f.device.wait(); }); }), "cudaErrorStreamCaptureUnsupported"));
  CHECK(has(errorOf([&] { f.device.capture([&] { cudaFree(f.memory); }); }), "cudaErrorStreamCaptureInvalidated"));
  CHECK(
      has(errorOf([&] { f.device.capture([] { throw Error(ErrorCode::Unsupported, "such an op"); }); }), "such an op"));
  work();
  CHECK(f.first(db) == 64);
  f.fill(0, db);
  f.device.capture(work)->launch();
  CHECK(f.first(db) == 64);
}

// Steps that read the two slots alternately. Each slot is filled while the step before is running.
void uploadsAheadKeepTheirOrder() {
  constexpr int kTrials = 20, kSteps = 24;
  for (int trial = 0; trial < kTrials; ++trial) {
    Fixture f;  // a new arena: it must be filled with zeros before the first upload
    for (int step = 0; step < kSteps; ++step) {
      float* const slot = f.at(step % 2 * 64, 1).data;
      const auto value = static_cast<float>(step + 1);
      f.device.copyInAhead(reinterpret_cast<char*>(slot), {reinterpret_cast<const char*>(&value), sizeof value});
      cudaMemcpyAsync(f.at(1024 + step, 1).data, slot, sizeof value, cudaMemcpyDeviceToDevice, f.device.stream());
    }
    for (int step = 0; step < kSteps; ++step) CHECK(f.first(f.at(1024 + step, 1)) == static_cast<float>(step + 1));
  }
}

// The memory is copied without staging, some time before the next callback that is given to `after` is called.
void hostMemoryStaysUntilItIsCopied() {
  Fixture f;
  const std::shared_ptr<char> memory = f.device.hostMemory(2 * sizeof(float));
  auto* const values = reinterpret_cast<float*>(memory.get());
  CHECK(values[0] == 0 && values[1] == 0);
  for (int step = 0; step < 24; ++step) {
    const int slot = step % 2;
    values[slot] = static_cast<float>(step);
    f.device.copyInAhead(reinterpret_cast<char*>(f.at(64 * slot, 1).data),
                         {reinterpret_cast<char*>(values + slot), sizeof(float), true});
    std::promise<void> done;
    f.device.after([&](const Error*) { done.set_value(); });
    done.get_future().wait();
    values[slot] = -1;
    CHECK(f.first(f.at(64 * slot, 1)) == static_cast<float>(step));
  }
}

}  // namespace

}  // namespace lxmert::cuda

int main(int count, char** words) {
  using namespace lxmert::cuda;
  const std::vector<Test> tests = {
      {"graphs run what was captured", graphsRunWhatWasCaptured},
      {"graphs keep their scratch space", graphsKeepTheirScratch},
      {"lanes part and join", lanesPartAndJoin},
      {"lanes are captured", lanesAreCaptured},
      {"all else is behind the lanes", allElseIsBehindTheLanes},
      {"host memory stays until it is copied", hostMemoryStaysUntilItIsCopied},
      {"uploads ahead keep their order", uploadsAheadKeepTheirOrder},
      {"what cannot be captured leaves the device as it was", whatCannotBeCapturedLeavesTheDeviceAsItWas},
  };
  return runTests(tests, count > 1 ? words[1] : "");
}
