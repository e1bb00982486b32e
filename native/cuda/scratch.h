// Scratch space of ops: one block of device memory. An op takes parts of the block from its beginning, and the whole
// block is free again after the op. Work runs in order on one stream, so the next op may use the block at once. The
// scratch space grows if an op needs more than there is. To grow, it waits for the device. After the first step it no
// longer grows.
//
// A captured graph keeps the block that it was captured with, even if the ops use another one by the time it is
// launched.
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

  // Returns null for 0 bytes.
  char* take(cudaStream_t stream, int64_t bytes) {
    if (bytes == 0) return nullptr;
    const int64_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (used_ == 0 && !fixed_) settle(stream);
    if (blocks_.empty() || used_ + size > blocks_.back().bytes) grow(size);
    char* place = blocks_.back().base.get() + used_;
    used_ += size;
    return place;
  }

  // Frees everything that has been taken.
  void reset() { used_ = 0; }

  // Replaces several blocks by one, with room for every op that has run.
  void settle(cudaStream_t stream) {
    if (blocks_.size() <= 1) return;
    check(cudaStreamSynchronize(stream), "waiting for kernels");
    int64_t bytes = 0;
    for (const Block& block : blocks_) bytes += block.bytes;
    blocks_.clear();
    grow(bytes);
  }

  // While the scratch space is fixed, it refuses to grow. Returns the block, or null if no op has used scratch space.
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

  // Adds a block and keeps the others, which running kernels still use.
  void grow(int64_t size) {
    if (fixed_) throw Error(ErrorCode::Internal, "an op needs more scratch space in a capture than in its first run");
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
