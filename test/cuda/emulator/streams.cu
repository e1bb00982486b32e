// Tests streams, events and captures of the emulator. Work without an order runs in any order, so a missing wait is
// found. A capture refuses the calls that CUDA refuses.
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <thread>

#include "support.h"

namespace lxmert::cuda {

namespace {

constexpr int kTrials = 60;  // a fault that appears in one of three trials is missed with a probability of 10^-10

__global__ void add(float* x, float value) { x[0] += value; }
__global__ void sum(float* to, const float* a, const float* b) { to[0] = a[0] + b[0]; }
__global__ void misuse(unsigned mask) { __shfl_sync(mask, 0, 0); }

void waits(cudaStream_t stream, cudaEvent_t event, cudaStream_t other) {
  cudaEventRecord(event, other);
  CHECK(cudaStreamWaitEvent(stream, event) == cudaSuccess);
}

void addTo(Array<float>& x, float value, cudaStream_t stream) { LXMERT_LAUNCH(add, 1, 1, 0, stream, x.data(), value); }

void workWaitsToBeWaitedFor() {
  Stream stream;
  Event event;
  Array<float> x(std::vector<float>{1});
  addTo(x, 1, stream);
  CHECK(x.read()[0] == 1);
  cudaEventRecord(event, stream);
  addTo(x, 1, stream);
  CHECK(cudaEventSynchronize(event) == cudaSuccess);
  CHECK(x.read()[0] == 2);  // only the work for which the host waited has run
  while (cudaEventQuery(event) != cudaSuccess) {
  }
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(x.read()[0] == 3);
}

// Steps with inputs in two slots. Each input is copied while the previous step uses the other slot. Returns the number
// of trials in which a step has read a wrong input.
enum class Missing { Nothing, WaitForTheCopy, WaitForTheReader };

int wrongSteps(Missing missing) {
  int wrong = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    constexpr int kSteps = 6;
    Stream compute, copies;
    Event copied, fence;
    Array<float> slots(std::vector<float>(2, 0)), seen(std::vector<float>(kSteps, 0));
    std::vector<float> inputs(kSteps);
    for (int step = 0; step < kSteps; ++step) {
      float* slot = slots.data() + step % 2;
      inputs[step] = static_cast<float>(step + 1);
      // The copy of this step must run after all work that was enqueued on `compute` before the previous copy.
      if (step > 0 && missing != Missing::WaitForTheReader) cudaStreamWaitEvent(copies, fence);
      cudaEventRecord(fence, compute);
      cudaMemcpyAsync(slot, &inputs[step], sizeof(float), cudaMemcpyHostToDevice, copies);
      if (missing != Missing::WaitForTheCopy) waits(compute, copied, copies);
      cudaMemcpyAsync(seen.data() + step, slot, sizeof(float), cudaMemcpyDeviceToDevice, compute);
    }
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    wrong += seen.read() != inputs;
  }
  return wrong;
}

void missingWaitsAreFound() {
  CHECK(wrongSteps(Missing::Nothing) == 0);
  CHECK(wrongSteps(Missing::WaitForTheCopy) > 0);
  CHECK(wrongSteps(Missing::WaitForTheReader) > 0);
}

void failuresGoFromStreamToStream() {
  Stream first, second, third;
  Event event;
  Array<float> x(std::vector<float>{1});
  LXMERT_LAUNCH(misuse, 1, 32, 0, first, 1u);
  waits(second, event, first);
  addTo(x, 1, second);
  addTo(x, 10, third);
  CHECK(cudaStreamSynchronize(second) == cudaErrorLaunchFailure);
  CHECK(std::strstr(cudaGetErrorString(cudaErrorLaunchFailure), "kernel misuse"));
  CHECK(cudaStreamSynchronize(third) == cudaSuccess);
  CHECK(x.read()[0] == 11);
}

// A program must wait for the last use of memory before it frees the memory. (CUDA "may" wait.)
void freedMemoryIsGone() {
  Stream stream;
  Array<float> seen(std::vector<float>{0});
  float* memory = nullptr;
  cudaMalloc(&memory, sizeof(float));
  cudaMemsetAsync(memory, 0, sizeof(float), stream);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  cudaMemcpyAsync(seen.data(), memory, sizeof(float), cudaMemcpyDeviceToDevice, stream);
  CHECK(cudaFree(memory) == cudaSuccess);
  CHECK(std::isnan(seen.read()[0]));
  CHECK(cudaFree(memory) == cudaErrorInvalidValue);
}

// If a thread does not query an error, its next launch returns the error, although the launch did not cause it.
void errorsWaitToBeAskedFor() {
  Stream stream;
  Array<float> x(std::vector<float>{1});
  cudaGetLastError();
  CHECK(cudaFreeHost(nullptr) == cudaErrorInvalidValue);
  std::thread([&] { addTo(x, 1, stream); }).join();
  bool refused = false;
  try {
    addTo(x, 1, stream);
  } catch (const Error& error) {
    refused = std::strstr(error.what(), "cudaErrorInvalidValue") != nullptr;
  }
  CHECK(refused);
  addTo(x, 1, stream);
  CHECK(cudaGetLastError() == cudaSuccess);
}

// x + 1, then y = x + 10 and z = x + 100 in two branches, then x = y + z. The waits at the join may be left out.
cudaError_t capture(Stream (&s)[3], Array<float> (&x)[3], bool joined, cudaGraph_t* graph) {
  Event parted, met[2];
  CHECK(cudaStreamBeginCapture(s[0], cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  addTo(x[0], 1, s[0]);
  cudaEventRecord(parted, s[0]);
  for (int i : {1, 2}) {
    cudaStreamWaitEvent(s[i], parted);
    cudaMemcpyAsync(x[i].data(), x[0].data(), sizeof(float), cudaMemcpyDeviceToDevice, s[i]);
    addTo(x[i], i == 1 ? 10.0f : 100.0f, s[i]);
    if (joined || i == 1) waits(s[0], met[i - 1], s[i]);
  }
  LXMERT_LAUNCH(sum, 1, 1, 0, s[0], x[0].data(), x[1].data(), x[2].data());
  return cudaStreamEndCapture(s[0], graph);
}

void captureRecordsAndReplays() {
  Stream s[3];
  const std::vector<float> zero{0};
  Array<float> x[3] = {Array<float>(zero), Array<float>(zero), Array<float>(zero)};
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  CHECK(capture(s, x, true, &graph) == cudaSuccess);
  CHECK(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
  cudaGraphDestroy(graph);
  cudaDeviceSynchronize();
  CHECK(x[0].read()[0] == 0);  // nothing has run
  float expected = 0;
  for (int i = 0; i < 12; ++i) {
    expected = 2 * (expected + 1) + 110;
    cudaGraphLaunch(executable, s[0]);
    if (i == 0) CHECK(x[0].read()[0] == 0);  // launched, but the host has not waited
    CHECK(cudaStreamSynchronize(s[0]) == cudaSuccess);
    CHECK(x[0].read()[0] == expected);
  }
  addTo(x[0], 1, s[1]);
  cudaStreamSynchronize(s[1]);
  CHECK(x[0].read()[0] == expected + 1);  // the stream works as before the capture
  cudaGraphLaunch(executable, s[0]);
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);  // the launched graph still runs to its end
  CHECK(cudaStreamSynchronize(s[0]) == cudaSuccess);
  CHECK(x[0].read()[0] == 2 * (expected + 2) + 110);
  CHECK(capture(s, x, false, &graph) == cudaErrorStreamCaptureUnjoined && !graph);
}

// Branches of a graph run in either order.
void lanesOfAGraphAreOrderedByNothing() {
  std::set<float> results;
  Stream first, second;
  Event parted, met;
  Array<float> x(std::vector<float>{0});
  cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal);
  waits(second, parted, first);
  cudaMemsetAsync(x.data(), 0, sizeof(float), first);
  addTo(x, 1, second);
  waits(first, met, second);
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  CHECK(cudaStreamEndCapture(first, &graph) == cudaSuccess);
  cudaGraphInstantiate(&executable, graph);
  for (int i = 0; i < kTrials; ++i) {
    cudaGraphLaunch(executable, first);
    cudaStreamSynchronize(first);
    results.insert(x.read()[0]);
  }
  CHECK(results.count(0) == 1 && results.count(1) == 1);
  cudaGraphDestroy(graph);
  cudaGraphExecDestroy(executable);
}

// The result of one call during a capture, and the result of ending this capture.
void expectRefused(const char* name, cudaError_t expected, const std::function<cudaError_t(cudaStream_t)>& call) {
  Stream stream;
  cudaGraph_t graph;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  const cudaError_t status = call(stream);
  const cudaError_t end = cudaStreamEndCapture(stream, &graph);
  if (status == expected && end == cudaErrorStreamCaptureInvalidated && !graph) return;
  std::printf("%s during a capture: %s, then %s\n", name, cudaGetErrorName(status), cudaGetErrorName(end));
  ++failures;
}

void capturesAreStrict() {
  Stream other;
  Event event, before;
  void* memory = nullptr;
  char host[4];
  void* mine = nullptr;
  cudaMalloc(&mine, 4);
  cudaEventRecord(before, other);
  const cudaError_t unsupported = cudaErrorStreamCaptureUnsupported;
  expectRefused("cudaMalloc", unsupported, [&](cudaStream_t) { return cudaMalloc(&memory, 4); });
  expectRefused("cudaFree", unsupported, [&](cudaStream_t) { return cudaFree(mine); });
  expectRefused("cudaMallocHost", unsupported, [&](cudaStream_t) { return cudaMallocHost(&memory, 4); });
  expectRefused("cudaMemcpy", unsupported,
                [&](cudaStream_t) { return cudaMemcpy(host, mine, 4, cudaMemcpyDeviceToHost); });
  expectRefused("cudaDeviceSynchronize", unsupported, [](cudaStream_t) { return cudaDeviceSynchronize(); });
  expectRefused("waiting for itself", unsupported, [](cudaStream_t s) { return cudaStreamSynchronize(s); });
  expectRefused("waiting for another stream", unsupported, [&](cudaStream_t) { return cudaStreamSynchronize(other); });
  expectRefused("cudaEventQuery", unsupported, [&](cudaStream_t) { return cudaEventQuery(before); });
  expectRefused("cudaEventSynchronize", unsupported, [&](cudaStream_t) { return cudaEventSynchronize(before); });
  expectRefused("the default stream", cudaErrorStreamCaptureImplicit,
                [&](cudaStream_t) { return cudaMemsetAsync(mine, 0, 4, nullptr); });
  expectRefused("an event from outside", cudaErrorStreamCaptureIsolation,
                [&](cudaStream_t s) { return cudaStreamWaitEvent(s, before); });
  expectRefused("another thread's look at its event", cudaErrorCapturedEvent, [&](cudaStream_t s) {
    cudaError_t status = cudaSuccess;
    cudaEventRecord(event, s);
    std::thread([&] { status = cudaEventQuery(event); }).join();
    return status;
  });
  expectRefused("two captures that meet", cudaErrorStreamCaptureMerge, [&](cudaStream_t s) {
    cudaGraph_t graph;
    Stream third;
    cudaStreamBeginCapture(third, cudaStreamCaptureModeThreadLocal);
    cudaEventRecord(event, third);
    const cudaError_t status = cudaStreamWaitEvent(s, event);
    CHECK(cudaStreamEndCapture(third, &graph) == cudaErrorStreamCaptureInvalidated);
    return status;
  });
  CHECK(cudaStreamWaitEvent(other, event) == cudaErrorCapturedEvent);  // an event of a capture that has ended
  CHECK(cudaFree(mine) == cudaSuccess);
}

// In thread-local mode other threads may make these calls; in global mode they may not.
void modesSayWhoIsRefused() {
  for (const auto mode :
       {cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeGlobal, cudaStreamCaptureModeRelaxed}) {
    Stream stream;
    cudaGraph_t graph;
    cudaStreamBeginCapture(stream, mode);
    cudaError_t status = cudaSuccess, end = cudaSuccess;
    std::thread([&] {
      float* memory = nullptr;
      status = cudaMalloc(&memory, 4);
      cudaFree(memory);
      end = cudaStreamEndCapture(stream, &graph);
    }).join();
    CHECK((status == cudaSuccess) == (mode != cudaStreamCaptureModeGlobal));
    if (mode == cudaStreamCaptureModeRelaxed)
      CHECK(end == cudaSuccess && cudaGraphDestroy(graph) == cudaSuccess);
    else
      CHECK(end == cudaErrorStreamCaptureWrongThread && cudaStreamEndCapture(stream, &graph) != cudaSuccess);
  }
}

}  // namespace

}  // namespace lxmert::cuda

int main() {
  using namespace lxmert::cuda;
  return runTests({
      {"work waits to be waited for", workWaitsToBeWaitedFor},
      {"missing waits are found", missingWaitsAreFound},
      {"failures go from stream to stream", failuresGoFromStreamToStream},
      {"freed memory is gone", freedMemoryIsGone},
      {"errors wait to be asked for", errorsWaitToBeAskedFor},
      {"capture records and replays", captureRecordsAndReplays},
      {"lanes of a graph are ordered by nothing", lanesOfAGraphAreOrderedByNothing},
      {"captures are strict", capturesAreStrict},
      {"modes say who is refused", modesSayWhoIsRefused},
  });
}
