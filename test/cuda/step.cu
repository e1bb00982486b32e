// What a step asks of CudaDevice: a graph of recorded ops, captured without running anything, that holds the scratch space it
// needs; and uploads beside the kernels, in order with what they feed. The test plants faults in the latter.
#include <functional>
#include <future>
#include <string>

#include "cuda/device.h"
#include "cuda/kernels.h"
#include "emulator/support.h"

namespace lxmert::cuda {

namespace {

// A device with an arena, and ops on it.
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

  // db = the sums of dy's columns, by way of scratch space; dW, too.
  void sumColumns(int64_t rows, int64_t columns, Floats dy, Floats db) {
    LinearBackwardWeight args{};
    args.rows = {nullptr, RowSet::All, rows, 0};
    args.in = 1;
    args.out = columns;
    args.x = args.dy = {dy, DType::F32};
    args.dWeight = at(kBytes / 8, columns);
    args.dBias = db;
    device.ops().linearBackwardWeight(device, args);
  }

  float first(Floats x) {
    float value = NAN;
    device.copyOut(reinterpret_cast<char*>(&value), reinterpret_cast<const char*>(x.data), sizeof(float));
    std::promise<void> done;
    device.after([&](const Error*) { done.set_value(); });
    done.get_future().wait();
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

// Other ops have taken a larger block since.
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

// Steps that read the two slots in turn, each of which is filled while the step before is at work.
void uploadsAheadKeepTheirOrder() {
  constexpr int kTrials = 20, kSteps = 24;
  for (int trial = 0; trial < kTrials; ++trial) {
    Fixture f;  // a fresh arena: its zeros must not come later than the first upload
    for (int step = 0; step < kSteps; ++step) {
      float* const slot = f.at(step % 2 * 64, 1).data;
      const auto value = static_cast<float>(step + 1);
      f.device.copyInAhead(reinterpret_cast<char*>(slot), reinterpret_cast<const char*>(&value), sizeof value);
      cudaMemcpyAsync(f.at(1024 + step, 1).data, slot, sizeof value, cudaMemcpyDeviceToDevice, f.device.stream());
    }
    for (int step = 0; step < kSteps; ++step) CHECK(f.first(f.at(1024 + step, 1)) == static_cast<float>(step + 1));
  }
}

}  // namespace

}  // namespace lxmert::cuda

int main() {
  using namespace lxmert::cuda;
  return runTests({
      {"graphs run what was captured", graphsRunWhatWasCaptured},
      {"graphs keep their scratch space", graphsKeepTheirScratch},
      {"uploads ahead keep their order", uploadsAheadKeepTheirOrder},
      {"what cannot be captured leaves the device as it was", whatCannotBeCapturedLeavesTheDeviceAsItWas},
  });
}
