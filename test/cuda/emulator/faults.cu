// Runs a kernel with one fault, which the argument names. Prints `right`, `wrong values`, or the error of the launch.
// emulator.test.ts has the expected output for each fault, and the faults for which the address sanitizer ends the
// program.
#include <cmath>
#include <cstring>
#include <string>

#include "cuda/ptx.cuh"
#include "support.h"

namespace lxmert::cuda {

namespace {

enum Fault {
  kNone,
  kNoBarrier,
  kNoBarrierBetweenRows,
  kWrongIndex,
  kNoMask,
  kSharedOverrun,
  kSharedUnderrun,
  kBarrierInBranch,
  kBarrierAfterReturn,
  kTwoBarriers,
  kLaneMissing,
  kLaneReturned,
  kMaskWithoutLane,
  kMaskWithoutSource,
  kTwoOperations,
  kGlobalOverrun,
  kFaults,
};
constexpr const char* kNames[kFaults] = {
    "none",           "no-barrier",      "no-barrier-between-rows", "wrong-index",          "no-mask",
    "shared-overrun", "shared-underrun", "barrier-in-branch",       "barrier-after-return", "two-barriers",
    "lane-missing",   "lane-returned",   "mask-without-lane",       "mask-without-source",  "two-operations",
    "global-overrun",
};

constexpr int kThreads = 128, kWarps = kThreads / 32, kWidth = 100, kRows = 12;
constexpr uint32_t kAll = 0xFFFFFFFFu;

// Computes the sum of a row for all threads, as in layer norm and softmax.
template <Fault fault>
__device__ float sumOfRow(float mine, float* shared) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int with = 16; with > 0; with /= 2) {
    if (fault == kLaneMissing && lane == 7) break;
    if (fault == kTwoOperations && lane < 3) {
      __syncwarp();
      continue;
    }
    const uint32_t mask = fault == kMaskWithoutLane     ? kAll & ~(1u << 5)
                          : fault == kMaskWithoutSource ? (lane == 31 ? 1u << 31 : kAll >> 1)
                                                        : kAll;
    mine += __shfl_xor_sync(mask, mine, with);
  }
  if (lane == 0) shared[fault == kSharedOverrun ? warp + 1 : fault == kSharedUnderrun ? warp - 1 : warp] = mine;
  if (fault == kBarrierInBranch) {
    if (warp < 2) __syncthreads();
  } else if (fault == kTwoBarriers) {
    if (warp < 2)
      __syncthreads();
    else
      __syncthreads();
  } else if (fault != kNoBarrier) {
    __syncthreads();
  }
  float sum = 0;
  for (int i = 0; i < kWarps; ++i) sum += shared[i];
  return sum;
}

// y = x - mean(x); each block computes a few rows.
template <Fault fault>
__global__ void centre(const float* x, float* y, int rows) {
  LXMERT_SHARED(float, shared);
  const int column = static_cast<int>(threadIdx.x);
  if (fault == kBarrierAfterReturn && column >= 96) return;
  if (fault == kLaneReturned && column >= kWidth) return;
  for (int row = static_cast<int>(blockIdx.x); row < rows; row += static_cast<int>(gridDim.x)) {
    const bool inside = fault == kNoMask || column < kWidth;
    const float value = inside ? x[row * kWidth + column] : 0;
    const float mean = sumOfRow<fault>(value, shared) / kWidth;
    const int to = fault == kWrongIndex ? row * kWidth + (column ^ 1) : row * kWidth + column;
    if (column < kWidth) y[to] = value - mean;
    if (fault == kGlobalOverrun && column == kWidth && row == rows - 1) y[row * kWidth + column] = 1;
    if (fault != kNoBarrierBetweenRows) __syncthreads();
  }
}

template <Fault fault>
std::string outcome() {
  std::vector<float> values(kRows * kWidth);
  for (float& v : values) v = randomFloat();
  // There is one additional row that is never written, so that a read after the last row gives NaN.
  values.resize((kRows + 1) * kWidth, NAN);
  Array<float> x(values);
  float* y;
  cudaMalloc(&y, kRows * kWidth * sizeof(float));
  try {
    LXMERT_LAUNCH(centre<fault>, 3, kThreads, kWarps * sizeof(float), nullptr, x.data(), y, kRows);
  } catch (const Error& error) {
    cudaFree(y);
    return error.what();
  }
  std::vector<float> got(kRows * kWidth);
  cudaMemcpy(got.data(), y, got.size() * sizeof(float), cudaMemcpyDeviceToHost);
  const cudaError_t freed = cudaFree(y);
  if (freed != cudaSuccess) return cudaGetErrorString(freed);
  for (int row = 0; row < kRows; ++row) {
    double mean = 0;
    for (int i = 0; i < kWidth; ++i) mean += values[row * kWidth + i] / static_cast<double>(kWidth);
    for (int i = 0; i < kWidth; ++i)
      if (!(std::abs(got[row * kWidth + i] - (values[row * kWidth + i] - mean)) < 1e-5)) return "wrong values";
  }
  return "right";
}

template <int... fault>
std::string outcomeOf(const std::string& name, std::integer_sequence<int, fault...>) {
  std::string result = "no such fault";
  ((name == kNames[fault] ? void(result = outcome<static_cast<Fault>(fault)>()) : void()), ...);
  return result;
}

// Wrong uses of the functions of ptx.cuh.
__global__ void misuse(int which, const float* from) {
  LXMERT_SHARED(char, shared);
  uint32_t r[4];
  const int lane = static_cast<int>(threadIdx.x);
  if (which == 0) ldmatrixX4(r, shared + 16 * lane + 2);
  if (which == 1) ldmatrixX4(r, shared + 16 * (lane + 1));
  if (which == 2) cpAsync16(shared + 16 * lane, from + 1, true);
  if (which == 3) cpAsync16(shared + 16 * (lane + 1), from, true);
}

// A block that reads the target of a copy without waiting for the copy.
__global__ void impatient(const float* from, float* to, bool wait) {
  LXMERT_SHARED(float, shared);
  cpAsync16(shared + 4 * threadIdx.x, from + 4 * threadIdx.x, true);
  cpAsyncCommit();
  if (wait) cpAsyncWait<0>();
  __syncthreads();
  for (int i = 0; i < 4; ++i) to[4 * threadIdx.x + i] = shared[4 * threadIdx.x + i];
}

// The order in which the threads of a block run.
__global__ void order(int* next, int* place) { place[next[0]++] = static_cast<int>(threadIdx.x); }

std::string orderOfThreads() {
  Array<int> next(std::vector<int>{0}), place(32);
  LXMERT_LAUNCH(order, 1, 32, 0, nullptr, next.data(), place.data());
  std::string result;
  for (const int thread : place.read()) result += " " + std::to_string(thread);
  return result;
}

std::string misuseOf(const std::string& name) {
  Array<float> from(std::vector<float>(128, 1.0f)), to(128);
  const char* names[] = {"ldmatrix-misaligned", "ldmatrix-outside", "copy-misaligned", "copy-outside"};
  for (int which = 0; which < 4; ++which)
    if (name == names[which]) LXMERT_LAUNCH(misuse, 1, 32, 512, nullptr, which, from.data());
  LXMERT_LAUNCH(impatient, 1, 32, 512, nullptr, from.data(), to.data(), name != "copy-not-awaited");
  for (const float value : to.read())
    if (value != 1) return "wrong values";
  return "right";
}

std::string run(const std::string& name) {
  if (name == "order") return orderOfThreads();
  try {
    const std::string result = outcomeOf(name, std::make_integer_sequence<int, kFaults>{});
    return result == "no such fault" ? misuseOf(name) : result;
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

}  // namespace lxmert::cuda

int main(int count, char** names) {
  for (int i = 1; i < count; ++i) std::printf("%s: %s\n", names[i], lxmert::cuda::run(names[i]).c_str());
}
