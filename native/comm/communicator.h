// Sums gradients over the ranks of a run. A separate thread does this, so neither JavaScript nor the engine waits while
// bytes are sent. Each rank owns a slice of every bucket. It receives the sums that the other ranks made of their parts
// of this slice, and adds all of them along the fixed tree (part_tree.h). This is a reduce-scatter. If all ranks need
// the whole sum, each rank then sends its slice to all others. This is an all-gather. The order of additions depends on
// the number of parts alone, so any number of ranks gives the same bits.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "comm/mpi.h"
#include "comm/part_tree.h"
#include "comm/transport.h"
#include "engine/error.h"
#include "engine/rank_sums.h"

namespace lxmert::comm {

class Communicator final : public RankSums {
 public:
  Communicator(int rank, int ranks, std::unique_ptr<Transport> transport);
  // A communicator over MPI, which gives the number of this rank and the number of ranks. Waits.
  static std::shared_ptr<Communicator> overMpi(std::unique_ptr<MpiTransport> mpi);
  ~Communicator() override;
  Communicator(const Communicator&) = delete;

  int rank() const { return rank_; }
  int ranks() const { return ranks_; }

  // Connects to the other ranks. Waits; throws RankLost.
  void open();
  // Returns the text of rank 0 on all ranks. Waits. Only over MPI.
  std::string shareText(const std::string& text);
  // Sets the number of parts of a global batch, which is at least the number of ranks. Call it before the first bucket.
  void setParts(int64_t parts);

  void start(Bucket bucket, int64_t mark) override;
  void gather(std::vector<OwnedFloats> pieces, int64_t mark) override;
  void finish(const std::function<bool()>& isEnding) override;

  // From now on `abort` and `times` are also those of these sums of a device.
  void setDevice(std::weak_ptr<RankSums> sums);
  void abort() override;
  // Ends the connections at the end of a run. Waits.
  void close();
  CommTimes times() const override;

 private:
  void run();
  void onThread(std::function<void()> work);
  void sum(const Bucket& bucket);
  void reduceScatter(const Bucket& bucket, const std::vector<int64_t>& slices);
  void allGather(const std::vector<OwnedFloats>& pieces);
  void exchange(const std::vector<Transfer>& sends, const std::vector<Transfer>& receives);
  void addNodes(const Bucket& bucket, int64_t begin, int64_t count);
  std::vector<int64_t> evenSlices(int64_t size) const;

  int rank_, ranks_;
  std::unique_ptr<Transport> transport_;
  MpiTransport* mpi_ = nullptr;           // the transport, where it is MPI
  std::vector<std::vector<Node>> nodes_;  // by rank
  std::vector<float> received_, partial_;

  mutable std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<std::function<void()>> work_;  // guarded
  int pending_ = 0;                         // guarded: work that has not ended
  std::optional<Error> failure_;            // guarded: the first error
  CommTimes times_;                         // guarded
  std::weak_ptr<RankSums> device_;          // guarded
  bool ending_ = false;                     // guarded
  std::atomic<bool> aborted_ = false;
  std::thread thread_;
};

}  // namespace lxmert::comm
