#include "cuda/emulator/launch.h"

#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <numeric>
#include <string>

#include "cuda/emulator/streams.h"
#include "cuda/emulator/trace.h"
#include "cuda/emulator/uses.h"
#include "engine/error.h"

namespace lxmert::emulator {

namespace {

constexpr uint64_t kMostThreads = 1024;
constexpr uint64_t kMostBlocksY = 65535;
constexpr uint64_t kMostBlocksX = 2147483647;
// A launch with fewer threads runs on one thread of the CPU.
constexpr int64_t kFewThreads = 2048;

uint64_t seedOfLaunch() {
  static std::atomic<uint64_t> launches = 0;
  return Random(seedOfProcess() + launches++ * 0x632BE59BD9B4E019ull).next();
}

std::string text(const dim3& d) {
  return std::to_string(d.x) + " x " + std::to_string(d.y) + " x " + std::to_string(d.z);
}

void check(const Launch& l) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::Internal, std::string(l.name) + ": the launch failed: " + why);
  };
  const uint64_t threads = uint64_t{l.block.x} * l.block.y * l.block.z;
  if (threads == 0 || threads > kMostThreads || l.block.z > 64)
    refuse("a block of " + text(l.block) + " threads, expected 1 to 1024 (z at most 64)");
  if (l.grid.x == 0 || l.grid.y == 0 || l.grid.z == 0 || l.grid.x > kMostBlocksX || l.grid.y > kMostBlocksY ||
      l.grid.z > kMostBlocksY)
    refuse("a grid of " + text(l.grid) + " blocks, expected 1 to 2147483647 x 65535 x 65535");
  if (l.sharedBytes > kMostSharedBytes)
    refuse(std::to_string(l.sharedBytes) + " bytes of shared memory, expected at most " +
           std::to_string(kMostSharedBytes));
}

std::atomic<bool> lost = false;

// Emulates a device that fails: LXMERT_EMULATOR_BREAKS_AT is the number of the launch that fails.
void breakWhereAsked(const Launch& launch) {
  static const uint64_t where = [] {
    const char* text = std::getenv("LXMERT_EMULATOR_BREAKS_AT");
    return text ? std::strtoull(text, nullptr, 10) : 0;
  }();
  static std::atomic<uint64_t> launches = 0;
  if (where == 0 || ++launches != where) return;
  lost = true;
  throw Error(ErrorCode::Internal, std::string(launch.name) + ": broken by LXMERT_EMULATOR_BREAKS_AT");
}

}  // namespace

bool isLost() { return lost; }

uint64_t seedOfProcess() {
  static const uint64_t seed = [] {
    const char* text = std::getenv("LXMERT_EMULATOR_SEED");
    return text ? std::strtoull(text, nullptr, 10) : 1;
  }();
  return seed;
}

void runGrid(const Launch& launch) {
  breakWhereAsked(launch);
  const dim3 grid = launch.grid;
  const int64_t blocks = int64_t{grid.x} * grid.y * grid.z;
  const int64_t threads = int64_t{launch.block.x} * launch.block.y * launch.block.z;
  if constexpr (kRacecheck) nameWork(launch.name);
  Random random(seedOfLaunch());
  const uint64_t seed = random.next();
  // i -> i * step + first visits every block once, if `step` and the number of blocks have no common factor.
  const int64_t first = random.below(static_cast<uint32_t>(blocks));
  int64_t step = 1 + random.below(static_cast<uint32_t>(blocks));
  while (std::gcd(step, blocks) != 1) ++step;

  std::atomic<bool> failed = false;
  std::exception_ptr failure;
  std::mutex mutex;
#pragma omp parallel for schedule(dynamic) if (!kRacecheck && blocks > 1 && blocks * threads >= kFewThreads)
  for (int64_t i = 0; i < blocks; ++i) {
    if (failed) continue;
    const auto b = static_cast<uint32_t>((i * step + first) % blocks);
    try {
      Block::ofThisThread().run(launch, {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y}, seed ^ b);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failed) failure = std::current_exception();
      failed = true;
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void enqueue(cudaStream_t stream, const Launch& launch, std::shared_ptr<void> arguments) {
  check(launch);
  trace("kernel", launch.name);
  cudaError_t status = submit(stream, [launch, arguments = std::move(arguments)] { runGrid(launch); });
  if (status == cudaSuccess) status = cudaGetLastError();  // as platform.h does on a device
  if (status != cudaSuccess)
    throw Error(ErrorCode::Internal, std::string(launch.name) + ": the launch failed: " + cudaGetErrorName(status));
}

}  // namespace lxmert::emulator
