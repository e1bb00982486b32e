#include "comm/communicator.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

namespace lxmert::comm {

namespace {

// Number of floats that are added together. It is so small that they stay in the cache.
constexpr int64_t kBlock = 4096;
// Slices begin at multiples of this many floats: one cache line.
constexpr int64_t kLine = 16;

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

Transfer transfer(int peer, float* data, int64_t floats) {
  return {peer, reinterpret_cast<char*>(data), floats * static_cast<int64_t>(sizeof(float))};
}

}  // namespace

Communicator::Communicator(int rank, int ranks, std::unique_ptr<Transport> transport)
    : rank_(rank), ranks_(ranks), transport_(std::move(transport)), thread_([this] { run(); }) {
  setParts(ranks);
}

std::shared_ptr<Communicator> Communicator::overMpi(std::unique_ptr<MpiTransport> mpi) {
  MpiTransport* transport = mpi.get();
  auto made = std::make_shared<Communicator>(0, 1, std::move(mpi));
  Communicator& self = *made;
  self.mpi_ = transport;
  self.onThread([&self] {
    const MpiTransport::Place place = self.mpi_->start();
    self.rank_ = place.rank;
    self.ranks_ = place.ranks;
  });
  self.finish([] { return false; });
  self.setParts(self.ranks_);
  return made;
}

std::string Communicator::shareText(const std::string& text) {
  if (!mpi_) throw Error(ErrorCode::BadArgument, "shareText works over MPI only");
  std::string shared;
  onThread([&] { shared = mpi_->shareText(text); });
  finish([] { return false; });
  return shared;
}

Communicator::~Communicator() {
  abort();
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Communicator::run() {
  pthread_setname_np(pthread_self(), "lxmert ranks");
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return ending_ || !work_.empty(); });
      if (work_.empty()) return;
      work = std::move(work_.front());
      work_.pop_front();
      if (failure_) work = nullptr;  // after an error, later work is not run
    }
    std::optional<Error> error;
    try {
      if (work) work();
    } catch (const Error& thrown) {
      error.emplace(thrown);
    } catch (const std::exception& thrown) {
      error.emplace(ErrorCode::Internal, thrown.what());
    }
    {
      const std::lock_guard lock(mutex_);
      if (error && !failure_) failure_.emplace(*error);
      --pending_;
    }
    done_.notify_all();
  }
}

void Communicator::onThread(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    ++pending_;
  }
  wake_.notify_one();
}

void Communicator::open() {
  onThread([this] { transport_->open(aborted_); });
  finish([] { return false; });
}

void Communicator::close() {
  onThread([this] { transport_->close(); });
  finish([] { return false; });
}

void Communicator::setParts(int64_t parts) {
  nodes_.clear();
  for (int rank = 0; rank < ranks_; ++rank) nodes_.push_back(nodesOf(parts, ranks_, rank));
}

void Communicator::start(Bucket bucket, int64_t) {
  if (bucket.nodes.size() != nodes_[rank_].size())
    throw Error(ErrorCode::BadArgument, "a bucket has " + std::to_string(bucket.nodes.size()) + " nodes, expected " +
                                            std::to_string(nodes_[rank_].size()));
  const std::vector<int64_t>& slices = bucket.slices;
  const bool fits = slices.empty() || (slices.size() == static_cast<size_t>(ranks_) + 1 && slices.front() == 0 &&
                                       slices.back() == bucket.size && std::is_sorted(slices.begin(), slices.end()));
  if (!fits) throw Error(ErrorCode::BadArgument, "the slices of a bucket do not cover it in the order of the ranks");
  onThread([this, bucket = std::move(bucket)] { sum(bucket); });
}

void Communicator::gather(std::vector<OwnedFloats> pieces, int64_t) {
  for (const OwnedFloats& piece : pieces)
    if (piece.owner < 0 || piece.owner >= ranks_)
      throw Error(ErrorCode::BadArgument, "there is no rank " + std::to_string(piece.owner));
  onThread([this, pieces = std::move(pieces)] { allGather(pieces); });
}

void Communicator::finish(const std::function<bool()>& isEnding) {
  const Stopwatch watch;
  std::unique_lock lock(mutex_);
  while (pending_ > 0 && !failure_ && !isEnding()) done_.wait_for(lock, std::chrono::milliseconds(50));
  times_.waiting += watch.seconds();
  if (failure_) throw Error(*failure_);
}

void Communicator::setDevice(std::weak_ptr<RankSums> sums) {
  const std::lock_guard lock(mutex_);
  device_ = std::move(sums);
}

void Communicator::abort() {
  aborted_ = true;
  const std::lock_guard lock(mutex_);
  if (const auto device = device_.lock()) device->abort();
}

CommTimes Communicator::times() const {
  const std::lock_guard lock(mutex_);
  if (const auto device = device_.lock()) return device->times();
  return times_;
}

std::vector<int64_t> Communicator::evenSlices(int64_t size) const {
  std::vector<int64_t> slices;
  for (int rank = 0; rank < ranks_; ++rank) slices.push_back((size / kLine * rank / ranks_) * kLine);
  slices.push_back(size);
  return slices;
}

void Communicator::sum(const Bucket& bucket) {
  if (!bucket.slices.empty()) return reduceScatter(bucket, bucket.slices);
  const std::vector<int64_t> slices = evenSlices(bucket.size);
  reduceScatter(bucket, slices);
  std::vector<OwnedFloats> pieces;
  for (int rank = 0; rank < ranks_; ++rank)
    pieces.push_back({rank, bucket.target + slices[rank], slices[rank + 1] - slices[rank]});
  allGather(pieces);
}

void Communicator::reduceScatter(const Bucket& bucket, const std::vector<int64_t>& slices) {
  const int64_t ownSize = slices[rank_ + 1] - slices[rank_];
  std::vector<Transfer> sends, receives;
  int64_t others = 0;
  for (int peer = 0; peer < ranks_; ++peer)
    if (peer != rank_) others += static_cast<int64_t>(nodes_[peer].size());
  received_.resize(std::max<size_t>(received_.size(), others * ownSize));
  float* at = received_.data();
  for (int peer = 0; peer < ranks_; ++peer) {
    if (peer == rank_) continue;
    for (float* node : bucket.nodes)
      sends.push_back(transfer(peer, node + slices[peer], slices[peer + 1] - slices[peer]));
    for (size_t i = 0; i < nodes_[peer].size(); ++i, at += ownSize) receives.push_back(transfer(peer, at, ownSize));
  }
  exchange(sends, receives);
  const Stopwatch watch;
  addNodes(bucket, slices[rank_], ownSize);
  const std::lock_guard lock(mutex_);
  times_.moving += watch.seconds();
}

void Communicator::allGather(const std::vector<OwnedFloats>& pieces) {
  std::vector<Transfer> sends, receives;
  for (const OwnedFloats& piece : pieces)
    for (int peer = 0; peer < ranks_; ++peer) {
      if (peer == rank_) continue;
      if (piece.owner == rank_) sends.push_back(transfer(peer, piece.data, piece.size));
      if (piece.owner == peer) receives.push_back(transfer(peer, piece.data, piece.size));
    }
  exchange(sends, receives);
}

void Communicator::exchange(const std::vector<Transfer>& sends, const std::vector<Transfer>& receives) {
  const Stopwatch watch;
  transport_->exchange(sends, receives, aborted_);
  const std::lock_guard lock(mutex_);
  times_.moving += watch.seconds();
  for (const Transfer& each : sends) times_.bytes += static_cast<double>(each.bytes);
}

// Adds this rank's slice of the nodes of all ranks along the tree.
void Communicator::addNodes(const Bucket& bucket, int64_t begin, int64_t count) {
  struct Term {
    Node node;
    const float* data;
  };
  std::vector<Term> terms;
  const float* at = received_.data();
  for (int rank = 0; rank < ranks_; ++rank)
    for (size_t i = 0; i < nodes_[rank].size(); ++i) {
      const float* data = rank == rank_ ? bucket.nodes[i] + begin : at;
      if (rank != rank_) at += count;
      terms.push_back({nodes_[rank][i], data});
    }
  partial_.resize(terms.size() * kBlock);
  std::vector<Term> stack;
  for (int64_t block = 0; block < count; block += kBlock) {
    const int64_t size = std::min(kBlock, count - block);
    stack.clear();
    // The sum of the two topmost terms takes the place of both.
    const auto add = [&](Node node) {
      const float *left = stack[stack.size() - 2].data, *right = stack.back().data;
      stack.pop_back();
      float* sum = partial_.data() + (stack.size() - 1) * kBlock;
      for (int64_t i = 0; i < size; ++i) sum[i] = left[i] + right[i];
      stack.back() = {node, sum};
    };
    for (const Term& term : terms) {
      stack.push_back({term.node, term.data + block});
      while (stack.size() > 1 && areSiblings(stack[stack.size() - 2].node, stack.back().node))
        add({stack.back().node.level + 1, stack.back().node.index / 2});
    }
    // The remaining nodes have no sibling. They are added from right to left, until one root remains.
    while (stack.size() > 1) add(stack[stack.size() - 2].node);
    std::memcpy(bucket.target + begin + block, stack.back().data, size * sizeof(float));
  }
}

}  // namespace lxmert::comm
