// Tests sums over ranks beside captured graphs, with a process for each of two ranks: the marks of a graph, and the
// waits between kernels and sums; values copied from their owners, with the bf16 copy of parameters.
// ranks.test.ts makes faults in this code. The program prints what failed on each rank.
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <future>
#include <string>
#include <vector>

#include "cuda/device.h"
#include "cuda/kernels.h"
#include "cuda/nccl_sums.h"
#include "emulator/support.h"

namespace lxmert::cuda {

namespace {

constexpr int kRanks = 2;
constexpr int64_t kSize = 5000;  // floats of a bucket
constexpr int kBuckets = 4;
constexpr int kSteps = 12;

int rank = 0;
std::string failures;

void expect(const char* what, float got, float wanted) {
  if (got != wanted)
    failures += "FAILED " + std::string(what) + ": rank " + std::to_string(rank) + " has " + std::to_string(got) +
                ", expected " + std::to_string(wanted) + '\n';
}

class Fixture {
 public:
  static constexpr int64_t kBytes = kBuckets * kSize * static_cast<int64_t>(sizeof(float));

  Fixture(const std::string& id, bool alongTree) : sums_(device_.rankSums({rank, kRanks, id, kRanks, alongTree})) {
    sums_->connect();
  }
  ~Fixture() {
    sums_.reset();
    for (char* memory : {gradients_, parameters_}) device_.release(memory, kBytes);
  }

  float* gradient(int bucket) { return reinterpret_cast<float*>(gradients_) + bucket * kSize; }
  float* parameter(int piece) { return reinterpret_cast<float*>(parameters_) + piece * kSize; }

  void fill(float* at, float value) {
    Fill args{};
    args.value = value;
    args.x = {{at, kSize}, DType::F32};
    device_.ops().fill(device_, args);
  }

  template <class T>
  float last(const T* values) {
    T value{};
    device_.copyOut(reinterpret_cast<char*>(&value), reinterpret_cast<const char*>(values + kSize - 1), sizeof(T));
    std::promise<void> done;
    device_.after([&](const Error*) { done.set_value(); });
    done.get_future().get();
    return toFloat(value);
  }

  CudaDevice& device() { return device_; }
  RankSums& sums() { return *sums_; }

 private:
  CudaDevice device_{0, Precision::BFloat16};
  char* gradients_ = device_.allocate(ArenaId::Gradients, kBytes);
  char* parameters_ = device_.allocate(ArenaId::Parameters, kBytes);
  std::shared_ptr<RankSums> sums_;
};

// A graph fills the buckets, in two lanes, and marks each of them. The sums follow its launch. Every step, the kernels
// write over the sums of the step before, which the host has not read.
void sumsRunBesideAGraph(const std::string& id, bool alongTree) {
  Fixture f(id, alongTree);
  std::vector<int64_t> marks;
  for (int bucket = 0; bucket < kBuckets; ++bucket) f.fill(f.gradient(bucket), 0);
  const auto captured = f.device().capture([&] {
    for (int bucket = 0; bucket < kBuckets; ++bucket) {
      f.device().enterLane(1 + bucket % 2);
      f.fill(f.gradient(bucket), static_cast<float>(rank + 1 + bucket));
      marks.push_back(f.sums().mark());
    }
    f.device().enterLane(0);
  });
  for (int step = 0; step < kSteps; ++step) {
    captured->launch();
    for (int bucket = 0; bucket < kBuckets; ++bucket) {
      Bucket sum{f.gradient(bucket), {f.gradient(bucket)}, kSize, {}};
      if (bucket == 3) sum.slices = {0, 1000, kSize};  // uneven: each rank gets its slice only
      f.sums().start(sum, marks[bucket]);
    }
    f.sums().finish([] { return false; });
    // Calls outside of the graph use the same events.
    f.sums().gather({{0, f.parameter(0), kSize}}, f.sums().mark());
    f.sums().gather({{0, f.parameter(1), kSize}}, f.sums().mark());
    f.sums().finish([] { return false; });
    if (step % 3 != 2) continue;
    for (int bucket = 0; bucket < kBuckets - 1; ++bucket)
      expect("sums beside a graph", f.last(f.gradient(bucket)), static_cast<float>(2 * bucket + 3));
    if (rank == 1) expect("slices beside a graph", f.last(f.gradient(3)), 9);
  }
}

// Each rank writes its pieces of the parameters, and receives those of the other.
void ownersGiveTheirParameters(const std::string& id) {
  Fixture f(id, false);
  for (int step = 1; step <= kSteps; ++step) {
    for (int piece = 0; piece < kBuckets; ++piece)
      if (piece % kRanks == rank) f.fill(f.parameter(piece), static_cast<float>(step * 8 + piece));
    std::vector<OwnedFloats> pieces;
    for (int piece = 0; piece < kBuckets; ++piece) pieces.push_back({piece % kRanks, f.parameter(piece), kSize});
    f.sums().gather(pieces, f.sums().mark());
    f.sums().finish([] { return false; });
    for (int piece = 0; piece < kBuckets; ++piece) {
      const auto wanted = static_cast<float>(step * 8 + piece);
      expect("float32 parameters of owners", f.last(f.parameter(piece)), wanted);
      expect("bfloat16 parameters of owners", f.last(f.device().shadow(f.parameter(piece))), wanted);
    }
  }
}

// After `abort`, all calls fail, and nothing waits for the other rank, which makes no call.
void abortEndsAllWaits(const std::string& id) {
  Fixture f(id, false);
  if (rank == 0) {
    f.sums().start({f.gradient(0), {f.gradient(0)}, kSize, {}}, f.sums().mark());
    f.sums().finish([] { return false; });
    f.sums().abort();
    f.last(f.gradient(0));
    const std::optional<Error> failure = f.sums().failure();
    if (!failure || failure->code != ErrorCode::RankLost) failures += "FAILED abort: there is no error\n";
    try {
      f.sums().start({f.gradient(0), {f.gradient(0)}, kSize, {}}, f.sums().mark());
      failures += "FAILED abort: a sum began\n";
    } catch (const Error&) {
    }
  }
}

}  // namespace

}  // namespace lxmert::cuda

int main() {
  using namespace lxmert;
  const std::string ids[] = {nccl::makeId(), nccl::makeId(), nccl::makeId(), nccl::makeId()};
  std::vector<pid_t> children;
  for (int rank = 0; rank < cuda::kRanks; ++rank) {
    const pid_t child = fork();
    if (child != 0) {
      children.push_back(child);
      continue;
    }
    cuda::rank = rank;
    try {
      cuda::sumsRunBesideAGraph(ids[0], false);
      cuda::sumsRunBesideAGraph(ids[1], true);
      cuda::ownersGiveTheirParameters(ids[2]);
      cuda::abortEndsAllWaits(ids[3]);
    } catch (const Error& error) {
      cuda::failures += std::string("FAILED ") + error.what() + '\n';
    }
    if (write(1, cuda::failures.data(), cuda::failures.size()) < 0) _exit(2);
    _exit(cuda::failures.empty() ? 0 : 1);
  }
  bool ok = true;
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    ok &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  return ok ? 0 : 1;
}
