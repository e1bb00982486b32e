// The streams of the ops: one stream, or two lanes that run at the same time. Each stream has separate scratch space,
// because an op of one lane may run at the same time as an op of the other.
#pragma once

#include <array>
#include <memory>

#include "cuda/scratch.h"
#include "cuda/streams.h"

namespace lxmert::cuda {

class Lanes {
 public:
  // `main` is the stream of lane 1, and of all work outside of lanes.
  explicit Lanes(cudaStream_t main) : main_(main) {}
  ~Lanes();
  Lanes(const Lanes&) = delete;

  // Sends later work to lane 1 or 2. Both lanes run after all work that was enqueued before them, and there is no order
  // between them. Lane 0 ends both lanes: later work runs after them.
  void enter(int lane);
  // Like enter(0), but does not throw. The next call that waits for the device reports its error.
  void leave();
  cudaStream_t stream() const { return lane_ == kSide ? side_ : main_; }
  Scratch& scratch();
  void wait() const;
  // Records `main` behind all work so far and, in a lane, also `side`: then the result is true. During a capture the
  // events are recorded by each launch of the graph, for work outside of it.
  bool mark(cudaEvent_t main, cudaEvent_t side) const;
  // Like wait, but does not throw.
  void settle() const;

  // The scratch memory of each lane that a captured graph needs to keep.
  using Memory = std::array<std::shared_ptr<char>, 2>;
  // beginCapture replaces `main` by another stream and prevents the scratch space from growing. endCapture undoes both
  // and frees the parts of the scratch space that ops have taken.
  Memory beginCapture(cudaStream_t main);
  void endCapture(cudaStream_t main);

 private:
  cudaError_t join() const;
  static constexpr int kSide = 2;
  cudaStream_t main_;
  const Stream side_;
  const Event parted_, joined_;
  int lane_ = 0;
  bool capturing_ = false;
  Scratch scratch_[2];
};

}  // namespace lxmert::cuda
