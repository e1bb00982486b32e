// A CUDA graph, captured from a stream: one launch instead of thousands.
#pragma once

#include <functional>
#include <memory>

#include "cuda/lanes.h"
#include "engine/device.h"

namespace lxmert::cuda {

class Graph final : public Captured {
 public:
  // Captures what `work` enqueues on `stream`, which must be idle and which no other code may use. The graph is
  // launched on `target` and keeps `memory` alive. Throws Error, also the error of `work`; after an error the device
  // works as before.
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
