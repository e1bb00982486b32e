// Work of a stream, captured as a CUDA graph: one launch instead of some thousand.
#pragma once

#include <functional>
#include <memory>

#include "cuda/lanes.h"
#include "engine/device.h"

namespace lxmert::cuda {

class Graph final : public Captured {
 public:
  // Captures what `work` gives to `stream`, which must be idle and nobody else's; it will be launched on `target`. `memory`
  // is kept as long as the graph. Throws Error, also what `work` throws, and then nothing has happened.
  Graph(cudaStream_t stream, cudaStream_t target, Lanes::Memory memory, const std::function<void()>& work);
  ~Graph() override;
  Graph(const Graph&) = delete;

  void launch() override;

 private:
  cudaStream_t target_;
  Lanes::Memory memory_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace lxmert::cuda
