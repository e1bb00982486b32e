#include "cuda/graph.h"

#include <utility>

#include "cuda/check.h"

namespace lxmert::cuda {

namespace {

// An error of a capture is not one of the device, which goes on as before.
void checkCapture(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  throw Error(ErrorCode::Internal,
              std::string(what) + " failed: " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
}

}  // namespace

// The thread's own mode: other threads may allocate meanwhile, and wait for events.
Graph::Graph(cudaStream_t stream, cudaStream_t target, Lanes::Memory memory, const std::function<void()>& work)
    : target_(target), memory_(std::move(memory)) {
  checkCapture(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  checkCapture(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
  cudaGraphDestroy(graph);
  checkCapture(status, "cudaGraphInstantiate");
}

// A launch survives it, but not the memory that goes with it.
Graph::~Graph() {
  cudaGraphExecDestroy(executable_);
  cudaStreamSynchronize(target_);
}

void Graph::launch() { check(cudaGraphLaunch(executable_, target_), "launching a graph"); }

}  // namespace lxmert::cuda
