// Sums over the ranks of a run in the memory of their GPUs, by NCCL. All calls only enqueue work on a stream of its own,
// which waits for the kernels before each mark, and for which later kernels wait after `finish`.
//
// Along the tree of the parts (comm/part_tree.h), ranks send their summands to the owner of each slice, which adds them
// with a kernel, so any number of ranks gives the same bits. Otherwise NCCL adds.
//
// A thread watches NCCL. It ends the communicator if a call fails later, or if the run has failed on another rank.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "comm/nccl.h"
#include "comm/part_tree.h"
#include "cuda/device.h"

namespace lxmert::cuda {

class NcclSums final : public RankSums {
 public:
  NcclSums(CudaDevice& device, RankGroup group);
  ~NcclSums() override;
  NcclSums(const NcclSums&) = delete;

  void connect() override;
  int64_t mark() override;
  void start(Bucket bucket, int64_t mark) override;
  void gather(std::vector<OwnedFloats> pieces, int64_t mark) override;
  void finish(const std::function<bool()>& isEnding) override;
  void abort() override;
  CommTimes times() const override;
  std::optional<Error> failure() const override;

 private:
  // Events between the engine's streams and the stream of the ranks. All recordings use the same events. The number of a
  // mark is odd if the side stream has an event, too, which is so in a lane.
  struct Mark {
    Event main, side;
  };
  // A measured stretch of a stream.
  struct Stretch {
    cudaEvent_t begin, end;
    bool waiting;  // of the engine; otherwise of the stream of the ranks
  };
  class Timed;

  void watch();
  template <class Calls>
  void grouped(const Calls& calls);
  void settle(const char* what);
  void waitFor(int64_t mark);
  void sum(const Bucket& bucket);
  void sumAlongTree(const Bucket& bucket, const std::vector<int64_t>& slices);
  void copyFromOwners(const std::vector<OwnedFloats>& pieces);
  void addNodes(const Bucket& bucket, int64_t begin, int64_t count);
  float* received(int64_t floats);
  std::vector<int64_t> evenSlices(int64_t size) const;
  cudaEvent_t timedEvent();
  void harvest() const;

  CudaDevice& device_;
  const RankGroup group_;
  const nccl::Library& nccl_ = nccl::open();
  std::vector<std::vector<comm::Node>> nodes_;  // by rank
  std::optional<Stream> stream_;
  std::optional<Event> done_;
  std::deque<Mark> marks_;
  int64_t next_ = 0;  // the next mark
  float* received_ = nullptr;
  int64_t receivedFloats_ = 0;

  mutable std::mutex mutex_;  // guards the communicator and all members below
  std::condition_variable wake_;
  nccl::Communicator communicator_ = nullptr;
  std::optional<Error> failure_;
  bool aborting_ = false, ending_ = false;
  mutable std::mutex timesMutex_;  // guards the members below
  mutable CommTimes times_;
  mutable std::deque<Stretch> stretches_;
  mutable std::vector<cudaEvent_t> events_;
  std::thread watcher_;
};

}  // namespace lxmert::cuda
