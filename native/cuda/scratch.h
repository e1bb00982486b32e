// Scratch space of ops: one block of device memory, handed out from its start and taken back as a whole after each op.
// Work runs in order on one stream, so the next op may have it at once. It grows when an op asks for more than there is,
// which waits for the device: after a first step it has its size.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cuda/check.h"

namespace lxmert::cuda {

class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  ~Scratch() {
    for (const Block& block : blocks_) cudaFree(block.base);
  }

  char* take(cudaStream_t stream, int64_t bytes) {
    const int64_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (used_ == 0 && blocks_.size() > 1) merge(stream);
    if (blocks_.empty() || used_ + size > blocks_.back().bytes) grow(size);
    char* place = blocks_.back().base + used_;
    used_ += size;
    return place;
  }

  // What has been taken is free.
  void reset() { used_ = 0; }

 private:
  struct Block {
    char* base;
    int64_t bytes;
  };
  static constexpr int64_t kAlignment = 256, kLeast = int64_t{1} << 20;

  // A further block: kernels that are running have the others.
  void grow(int64_t size) {
    Block block{nullptr, std::max(size, kLeast)};
    check(cudaMalloc(reinterpret_cast<void**>(&block.base), block.bytes), "a kernel's scratch space");
    blocks_.push_back(block);
    used_ = 0;
  }

  // One block instead of many.
  void merge(cudaStream_t stream) {
    int64_t bytes = 0;
    check(cudaStreamSynchronize(stream), "waiting for kernels");
    for (const Block& block : blocks_) {
      bytes += block.bytes;
      cudaFree(block.base);
    }
    blocks_.clear();
    grow(bytes);
  }

  std::vector<Block> blocks_;
  int64_t used_ = 0;  // of the last block
};

}  // namespace lxmert::cuda
