// The streams that ops run on: one after the other, or in two lanes that run side by side. Each stream has scratch space of
// its own, since an op of the one may run while an op of the other does.
#pragma once

#include <array>
#include <memory>

#include "cuda/scratch.h"
#include "cuda/streams.h"

namespace lxmert::cuda {

class Lanes {
 public:
  // `main` is for lane 1, and for all that is in no lane.
  explicit Lanes(cudaStream_t main) : main_(main) {}
  ~Lanes();
  Lanes(const Lanes&) = delete;

  // What is enqueued from here on goes to lane 1 or 2: behind what was enqueued before the lanes parted, and in no order
  // with the other one. 0: behind both.
  void enter(int lane);
  // The same as entering 0, for what must not fail: whoever waits for the device hears of its errors.
  void leave();
  cudaStream_t stream() const { return lane_ == kSide ? side_ : main_; }
  Scratch& scratch();
  void wait() const;
  // The same, for what must not fail.
  void settle() const;

  // What a capture needs to hold, of each lane.
  using Memory = std::array<std::shared_ptr<char>, 2>;
  // From here on `main` is another stream, and scratch space is what it is; or back, with all scratch space free.
  Memory beginCapture(cudaStream_t main);
  void endCapture(cudaStream_t main);

 private:
  cudaError_t join() const;
  static constexpr int kSide = 2;
  cudaStream_t main_;
  const cudaStream_t side_ = newStream();
  const cudaEvent_t parted_ = newEvent(), joined_ = newEvent();
  int lane_ = 0;
  Scratch scratch_[2];
};

}  // namespace lxmert::cuda
