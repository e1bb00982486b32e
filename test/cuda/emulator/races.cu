// Races that give right values on the emulator, in every order. The argument names one of them. The program prints the
// result of the right kernel or order, and then the result of the same kernel or order with the fault. races.test.ts
// has the expected results; scripts/check-races.mjs builds the program.
#include <cstring>
#include <functional>
#include <string>

#include "cuda/ptx.cuh"
#include "support.h"

namespace lxmert::cuda {

namespace {

constexpr uint32_t kAll = 0xFFFFFFFFu;
constexpr int kThreads = 64;

// Threads add to the same numbers, so the order does not change the result.
__global__ void addAll(float* sum, int steps, bool wrong) {
  const int mine = static_cast<int>(threadIdx.x);
  for (int step = 0; step < steps; ++step)
    if (wrong || mine == 0) sum[0] += 0;
}

__global__ void addInBlocks(float* sum, bool wrong) {
  if (threadIdx.x == 0) sum[wrong ? 0 : blockIdx.x] += 0;
}

// Each warp computes the largest thread number of its half; all threads read the results.
__global__ void barrier(float* out, bool wrong) {
  LXMERT_SHARED(float, shared);
  const int mine = static_cast<int>(threadIdx.x);
  if (mine % 32 == 0) shared[mine / 32] = 1;
  if (!wrong) __syncthreads();
  out[mine] = wrong ? shared[mine / 32] + shared[1 - mine / 32] * 0 : shared[0] + shared[1] * 0;
}

// The buffer is used again while another warp may still read it.
__global__ void barrierBetween(float* out, bool wrong) {
  LXMERT_SHARED(float, shared);
  const int mine = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 2; ++i) {
    shared[mine] = 1;
    __syncthreads();
    out[mine] = shared[kThreads - 1 - mine];
    if (!wrong) __syncthreads();
  }
}

enum Between { kWarp, kShuffle, kBallot, kHalves };

// A lane reads a value that its neighbour has written.
__global__ void neighbours(float* out, Between between) {
  LXMERT_SHARED(float, shared);
  const int mine = static_cast<int>(threadIdx.x);
  shared[mine] = 1;
  if (between == kWarp) __syncwarp();
  if (between == kShuffle) __shfl_xor_sync(kAll, mine, 1);
  if (between == kBallot) __ballot_sync(kAll, 1);
  if (between == kHalves) __syncwarp(mine % 2 == 0 ? 0x55555555u : 0xAAAAAAAAu);
  out[mine] = shared[mine ^ 1];
}

// A lane reads the row of another lane with ldmatrix.
__global__ void matrix(float* out, bool wrong) {
  LXMERT_SHARED(uint4, shared);
  const int mine = static_cast<int>(threadIdx.x);
  shared[mine] = make_uint4(0, 0, 0, 0);
  if (!wrong) __syncwarp();
  uint32_t r[4];
  ldmatrixX4(r, shared + mine);
  out[mine] = static_cast<float>(r[0] + r[1] + r[2] + r[3]);
}

enum Copies { kAwaited, kNotAwaited, kNoBarrier, kOverReaders };

__global__ void copies(const uint4* from, float* out, Copies how) {
  LXMERT_SHARED(uint4, shared);
  const int mine = static_cast<int>(threadIdx.x), last = kThreads - 1;
  shared[mine] = from[mine];
  __syncthreads();
  if (how == kOverReaders) out[mine] = static_cast<float>(shared[last - mine].x);
  cpAsync16(shared + mine, from + mine, true);
  cpAsyncCommit();
  if (how != kNotAwaited) cpAsyncWait<0>();
  if (how != kNoBarrier) __syncthreads();
  out[mine] = static_cast<float>(shared[how == kNotAwaited ? mine : last - mine].x);
}

__global__ void atomics(float* sum, bool wrong) {
  if (wrong && threadIdx.x == 7)
    sum[0] += 0;
  else
    atomicAdd(sum, 0.0f);
}

// Reads four or two elements at once, from `first` on.
__global__ void fours(const float* from, float* out, int first) {
  const float4 x = *reinterpret_cast<const float4*>(from + first);
  out[threadIdx.x] = x.x + x.w;
}
__global__ void pairs(const bf16* from, uint2* out, int first) {
  out[threadIdx.x] = *reinterpret_cast<const uint2*>(from + first);
}
__global__ void storedPairs(bf16* to, int first) { *reinterpret_cast<uint32_t*>(to + first) = packBf16(0, 0); }
__global__ void indices(float* out, int index) {
  float registers[4] = {1, 1, 1, 1};
  out[0] = registers[index & 7];
}
__global__ void shifts(float* out, int by) { out[0] = static_cast<float>(1u << by); }

__global__ void write(float* x) { x[0] = 1; }
__global__ void read(const float* x, float* y) { y[0] = x[0]; }

void after(cudaStream_t stream, cudaStream_t other) {
  Event event;
  cudaEventRecord(event, other);
  cudaStreamWaitEvent(stream, event);
}

// The data of a test.
struct World {
  Array<float> floats{std::vector<float>(1024, 1.0f)}, out{std::vector<float>(1024, 0.0f)};
  Stream first, second;

  const uint4* vectors() const { return reinterpret_cast<const uint4*>(floats.data()); }
  bf16* halves() const { return reinterpret_cast<bf16*>(floats.data()); }
  uint2* words() const { return reinterpret_cast<uint2*>(out.data()); }
};

#define LAUNCH(kernel, ...) LXMERT_LAUNCH(kernel, 1, kThreads, kThreads * sizeof(uint4), w.first, __VA_ARGS__)

void streams(World& w, bool wrong) {
  LXMERT_LAUNCH(write, 1, 1, 0, w.first, w.floats.data());
  if (!wrong) after(w.second, w.first);
  LXMERT_LAUNCH(read, 1, 1, 0, w.second, w.floats.data(), w.out.data());
}

// A copy that may run before the kernel has read the target of the copy.
void copyOverReader(World& w, bool wrong) {
  LXMERT_LAUNCH(read, 1, 1, 0, w.first, w.floats.data(), w.out.data());
  if (!wrong) after(w.second, w.first);
  cudaMemsetAsync(w.floats.data(), 0, sizeof(float), w.second);
}

// The host waits for the stream. With the fault, it waits for something else.
void host(World& w, bool wrong) {
  LXMERT_LAUNCH(write, 1, 1, 0, w.first, w.floats.data());
  cudaStreamSynchronize(wrong ? w.second : w.first);
  LXMERT_LAUNCH(read, 1, 1, 0, w.second, w.floats.data(), w.out.data());
}

// Two branches of a graph, which is launched twice. The fault is in a branch, not in the join.
void graph(World& w, bool wrong) {
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  cudaStreamBeginCapture(w.first, cudaStreamCaptureModeThreadLocal);
  after(w.second, w.first);
  LXMERT_LAUNCH(write, 1, 1, 0, w.first, w.floats.data());
  LXMERT_LAUNCH(read, 1, 1, 0, w.second, w.floats.data() + (wrong ? 0 : 64), w.out.data());
  after(w.first, w.second);
  LXMERT_LAUNCH(read, 1, 1, 0, w.first, w.floats.data(), w.out.data());
  if (cudaStreamEndCapture(w.first, &graph) != cudaSuccess) throw Error(ErrorCode::Internal, "no graph");
  cudaGraphInstantiate(&executable, graph);
  for (int i = 0; i < 2; ++i) cudaGraphLaunch(executable, w.first);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
}

struct Case {
  const char* name;
  std::function<void(World&, bool)> run;
};

const Case kCases[] = {
    {"two-writers", [](World& w, bool wrong) { LAUNCH(addAll, w.out.data(), 2, wrong); }},
    {"two-blocks", [](World& w, bool wrong) { LXMERT_LAUNCH(addInBlocks, 2, 32, 0, w.first, w.out.data(), wrong); }},
    {"no-syncthreads", [](World& w, bool wrong) { LAUNCH(barrier, w.out.data(), wrong); }},
    {"no-syncthreads-between", [](World& w, bool wrong) { LAUNCH(barrierBetween, w.out.data(), wrong); }},
    {"shuffle-for-syncwarp", [](World& w, bool wrong) { LAUNCH(neighbours, w.out.data(), wrong ? kShuffle : kWarp); }},
    {"ballot-for-syncwarp", [](World& w, bool wrong) { LAUNCH(neighbours, w.out.data(), wrong ? kBallot : kWarp); }},
    {"syncwarp-of-others", [](World& w, bool wrong) { LAUNCH(neighbours, w.out.data(), wrong ? kHalves : kWarp); }},
    {"ldmatrix", [](World& w, bool wrong) { LAUNCH(matrix, w.out.data(), wrong); }},
    {"copy-not-awaited",
     [](World& w, bool wrong) { LAUNCH(copies, w.vectors(), w.out.data(), wrong ? kNotAwaited : kAwaited); }},
    {"copy-without-barrier",
     [](World& w, bool wrong) { LAUNCH(copies, w.vectors(), w.out.data(), wrong ? kNoBarrier : kAwaited); }},
    {"copy-over-readers",
     [](World& w, bool wrong) { LAUNCH(copies, w.vectors(), w.out.data(), wrong ? kOverReaders : kAwaited); }},
    {"atomic-and-plain", [](World& w, bool wrong) { LAUNCH(atomics, w.out.data(), wrong); }},
    {"no-event", streams},
    {"copy-over-reader", copyOverReader},
    {"host-waits-elsewhere", host},
    {"branches-of-a-graph", graph},
    {"misaligned-float4", [](World& w, bool wrong) { LAUNCH(fours, w.floats.data(), w.out.data(), wrong ? 1 : 4); }},
    {"misaligned-uint2", [](World& w, bool wrong) { LAUNCH(pairs, w.halves(), w.words(), wrong ? 2 : 4); }},
    {"misaligned-pair",
     [](World& w, bool wrong) { LXMERT_LAUNCH(storedPairs, 1, 1, 0, w.first, w.halves(), wrong ? 1 : 2); }},
    {"index", [](World& w, bool wrong) { LXMERT_LAUNCH(indices, 1, 1, 0, w.first, w.out.data(), wrong ? 5 : 3); }},
    {"shift", [](World& w, bool wrong) { LXMERT_LAUNCH(shifts, 1, 1, 0, w.first, w.out.data(), wrong ? 32 : 31); }},
};

std::string outcome(const Case& each, bool wrong) {
  World world;
  try {
    each.run(world, wrong);
    return cudaDeviceSynchronize() == cudaSuccess && cudaStreamSynchronize(world.first) == cudaSuccess &&
                   cudaStreamSynchronize(world.second) == cudaSuccess
               ? "right"
               : cudaGetErrorString(cudaErrorLaunchFailure);
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

}  // namespace lxmert::cuda

int main() {
  using namespace lxmert::cuda;
  for (const Case& each : kCases)
    for (const bool wrong : {false, true})
      std::printf("%s%s: %s\n", each.name, wrong ? "" : " (not)", outcome(each, wrong).c_str());
}
