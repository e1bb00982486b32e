// Scratch space of ops: one block of device memory, handed out from its start and taken back as a whole after each op.
// Work runs in order on one stream, so the next op may have it at once. It grows when an op asks for more than there is,
// which waits for the device: after a first step it has its size.
//
// What is captured keeps the block that it was captured with; it may be another one by the time of its launch, and both
// are used in the order of the stream.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/check.h"

namespace lxmert::cuda {

class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;

  // Null for none.
  char* take(cudaStream_t stream, int64_t bytes) {
    if (bytes == 0) return nullptr;
    const int64_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (used_ == 0 && !fixed_) settle(stream);
    if (blocks_.empty() || used_ + size > blocks_.back().bytes) grow(size);
    char* place = blocks_.back().base.get() + used_;
    used_ += size;
    return place;
  }

  // What has been taken is free.
  void reset() { used_ = 0; }

  // One block instead of many, with room for each op that has been run.
  void settle(cudaStream_t stream) {
    if (blocks_.size() <= 1) return;
    check(cudaStreamSynchronize(stream), "waiting for kernels");
    int64_t bytes = 0;
    for (const Block& block : blocks_) bytes += block.bytes;
    blocks_.clear();
    grow(bytes);
  }

  // While it is fixed it refuses to grow; null when nothing has asked for any.
  std::shared_ptr<char> fix(bool fixed) {
    fixed_ = fixed;
    return blocks_.empty() ? nullptr : blocks_.back().base;
  }

 private:
  struct Block {
    std::shared_ptr<char> base;
    int64_t bytes;
  };
  static constexpr int64_t kAlignment = 256, kLeast = int64_t{1} << 20;

  // A further block: kernels that are running have the others.
  void grow(int64_t size) {
    if (fixed_)
      throw Error(ErrorCode::Internal, "an op asks for more scratch space when it is captured than when it was run");
    const int64_t bytes = std::max(size, kLeast);
    char* base = nullptr;
    check(cudaMalloc(reinterpret_cast<void**>(&base), bytes), "a kernel's scratch space");
    blocks_.push_back({std::shared_ptr<char>(base, [](char* memory) { cudaFree(memory); }), bytes});
    used_ = 0;
  }

  std::vector<Block> blocks_;
  int64_t used_ = 0;  // of the last block
  bool fixed_ = false;
};

}  // namespace lxmert::cuda
