#include "cuda/graph.h"

#include <utility>

#include "cuda/check.h"

namespace lxmert::cuda {

namespace {

// A capture that fails leaves the device usable.
void checkCapture(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  throw Error(ErrorCode::Internal,
              std::string(what) + " failed: " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
}

}  // namespace

// Captures in thread-local mode: other threads may allocate memory and wait for events meanwhile.
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

// A launched graph may still run when it is destroyed, but the memory that it uses must not be freed before it has
// finished.
Graph::~Graph() {
  cudaGraphExecDestroy(executable_);
  cudaStreamSynchronize(target_);
}

void Graph::launch() { check(cudaGraphLaunch(executable_, target_), "launching a graph"); }

}  // namespace lxmert::cuda
