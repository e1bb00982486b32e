#include "cuda/nccl_sums.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "cuda/convert.h"
#include "cuda/float_sums.h"

namespace lxmert::cuda {

namespace {

using Clock = std::chrono::steady_clock;
using comm::Node;

// Slices begin at multiples of this many floats: one cache line.
constexpr int64_t kLine = 32;
constexpr std::chrono::milliseconds kWatchEvery{50};
// How long a rank that ends waits for the end of the others' messages.
constexpr std::chrono::seconds kFinalPatience{5};

std::vector<std::vector<Node>> nodesOfAll(const RankGroup& group) {
  std::vector<std::vector<Node>> nodes;
  for (int rank = 0; rank < group.ranks; ++rank)
    nodes.push_back(group.alongTree ? comm::nodesOf(group.parts, group.ranks, rank) : std::vector<Node>{{0, rank}});
  return nodes;
}

bool areEqual(const std::vector<int64_t>& slices) {
  for (size_t i = 2; i < slices.size(); ++i)
    if (slices[i] - slices[i - 1] != slices[1] - slices[0]) return false;
  return slices.front() == 0;
}

}  // namespace

// Measures the time of the work that is enqueued during its life.
class NcclSums::Timed {
 public:
  Timed(NcclSums& sums, cudaStream_t stream, bool waiting)
      : sums_(sums), stream_(stream), stretch_{sums.timedEvent(), sums.timedEvent(), waiting} {
    cudaEventRecord(stretch_.begin, stream_);
  }
  ~Timed() {
    cudaEventRecord(stretch_.end, stream_);
    const std::lock_guard lock(sums_.timesMutex_);
    sums_.stretches_.push_back(stretch_);
  }
  Timed(const Timed&) = delete;

 private:
  NcclSums& sums_;
  cudaStream_t stream_;
  Stretch stretch_;
};

NcclSums::NcclSums(CudaDevice& device, RankGroup group)
    : device_(device), group_(std::move(group)), nodes_(nodesOfAll(group_)), watcher_([this] { watch(); }) {}

// If nothing has failed, the other ranks may still receive what this rank has sent, so it does not abort at once.
// Errors are ignored: nothing can be done about them here.
NcclSums::~NcclSums() {
  if (stream_) cudaStreamSynchronize(*stream_);
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  watcher_.join();
  if (communicator_) {
    nccl::Result state = nccl_.CommFinalize(communicator_);
    const auto end = Clock::now() + kFinalPatience;
    while (state == nccl::kInProgress && Clock::now() < end) {
      std::this_thread::yield();
      if (nccl_.CommGetAsyncError(communicator_, &state) != nccl::kSuccess) break;
    }
    state == nccl::kSuccess ? nccl_.CommDestroy(communicator_) : nccl_.CommAbort(communicator_);
  }
  if (received_) cudaFree(received_);
  for (const Stretch& stretch : stretches_) cudaEventDestroy(stretch.begin), cudaEventDestroy(stretch.end);
  for (const cudaEvent_t event : events_) cudaEventDestroy(event);
}

// Ends the communicator when it fails, or when `abort` was called. Its kernels then end, and what they leave is garbage,
// so `failure` is set before.
void NcclSums::watch() {
  pthread_setname_np(pthread_self(), "lxmert nccl");
  std::unique_lock lock(mutex_);
  while (!ending_) {
    wake_.wait_for(lock, kWatchEvery);
    if (!communicator_) continue;
    nccl::Result state = nccl::kSuccess;
    const nccl::Result asked = nccl_.CommGetAsyncError(communicator_, &state);
    const nccl::Result worst = asked == nccl::kSuccess ? state : asked;
    if (worst != nccl::kSuccess && worst != nccl::kInProgress && !failure_)
      failure_.emplace(ErrorCode::RankLost, std::string("NCCL: ") + nccl_.GetErrorString(worst));
    if (!aborting_ && !failure_) continue;
    if (!failure_) failure_.emplace(ErrorCode::RankLost, "communication was ended");
    nccl_.CommAbort(std::exchange(communicator_, nullptr));
  }
}

void NcclSums::abort() {
  {
    const std::lock_guard lock(mutex_);
    aborting_ = true;
    if (!failure_) failure_.emplace(ErrorCode::RankLost, "communication was ended");
  }
  wake_.notify_all();
}

std::optional<Error> NcclSums::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

// Waits until the last call has been made: calls return before that, so that `abort` can end them.
void NcclSums::settle(const char* what) {
  for (nccl::Result state = nccl::kInProgress; state == nccl::kInProgress; std::this_thread::yield()) {
    const std::lock_guard lock(mutex_);
    if (failure_) throw Error(*failure_);
    nccl::check(nccl_.CommGetAsyncError(communicator_, &state), what);
    nccl::check(state, what);
  }
}

// Makes calls of NCCL together, so that none of them waits for a later one.
template <class Calls>
void NcclSums::grouped(const Calls& calls) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_) throw Error(*failure_);
    nccl::check(nccl_.GroupStart(), "a group of calls");
    try {
      calls();
    } catch (...) {
      nccl_.GroupEnd();
      throw;
    }
    nccl::check(nccl_.GroupEnd(), "a group of calls");
  }
  settle("a group of calls");
}

void NcclSums::connect() {
  stream_.emplace();
  done_.emplace();
  nccl::Config config;
  if (device_.freeMultiprocessors() > 0) config.mostBlocks = device_.freeMultiprocessors();
  {
    const std::lock_guard lock(mutex_);
    if (failure_) throw Error(*failure_);
    nccl::check(nccl_.CommInitRankConfig(&communicator_, group_.ranks, nccl::idOf(group_.id), group_.rank, &config),
                "joining the other ranks");
  }
  settle("joining the other ranks");
}

int64_t NcclSums::mark() {
  if (next_ == static_cast<int64_t>(marks_.size())) marks_.emplace_back();
  const Mark& mark = marks_[next_];
  const bool both = device_.mark(mark.main, mark.side);
  return 2 * next_++ + (both ? 1 : 0);
}

void NcclSums::waitFor(int64_t mark) {
  const Mark& at = marks_.at(mark / 2);
  check(cudaStreamWaitEvent(*stream_, at.main, 0), "waiting for kernels");
  if (mark % 2 == 1) check(cudaStreamWaitEvent(*stream_, at.side, 0), "waiting for kernels");
}

void NcclSums::start(Bucket bucket, int64_t mark) {
  if (bucket.nodes.size() != nodes_[group_.rank].size())
    throw Error(ErrorCode::BadArgument, "a bucket has " + std::to_string(bucket.nodes.size()) + " nodes, expected " +
                                            std::to_string(nodes_[group_.rank].size()));
  const std::vector<int64_t>& slices = bucket.slices;
  const bool fits = slices.empty() || (slices.size() == static_cast<size_t>(group_.ranks) + 1 && slices.front() == 0 &&
                                       slices.back() == bucket.size && std::is_sorted(slices.begin(), slices.end()));
  if (!fits) throw Error(ErrorCode::BadArgument, "the slices of a bucket do not cover it in the order of the ranks");
  waitFor(mark);
  const Timed timed(*this, *stream_, false);
  sum(bucket);
}

void NcclSums::gather(std::vector<OwnedFloats> pieces, int64_t mark) {
  for (const OwnedFloats& piece : pieces)
    if (piece.owner < 0 || piece.owner >= group_.ranks)
      throw Error(ErrorCode::BadArgument, "there is no rank " + std::to_string(piece.owner));
  waitFor(mark);
  const Timed timed(*this, *stream_, false);
  copyFromOwners(pieces);
}

void NcclSums::finish(const std::function<bool()>&) {
  if (const std::optional<Error> lost = failure()) throw Error(*lost);
  check(cudaEventRecord(*done_, *stream_), "waiting for other ranks");
  {
    const Timed timed(*this, device_.stream(), true);
    check(cudaStreamWaitEvent(device_.stream(), *done_, 0), "waiting for other ranks");
  }
  next_ = 0;
  harvest();
}

std::vector<int64_t> NcclSums::evenSlices(int64_t size) const {
  std::vector<int64_t> slices;
  for (int rank = 0; rank < group_.ranks; ++rank) slices.push_back((size / kLine * rank / group_.ranks) * kLine);
  slices.push_back(size);
  return slices;
}

void NcclSums::sum(const Bucket& bucket) {
  const auto [rank, ranks] = std::pair(group_.rank, group_.ranks);
  {
    const std::lock_guard lock(timesMutex_);
    const double rounds = static_cast<double>(bucket.nodes.size()) + (bucket.slices.empty() ? 1 : 0);
    times_.bytes += rounds * (ranks - 1) / ranks * static_cast<double>(bucket.size * sizeof(float));
  }
  if (group_.alongTree) {
    if (!bucket.slices.empty()) return sumAlongTree(bucket, bucket.slices);
    const std::vector<int64_t> slices = evenSlices(bucket.size);
    sumAlongTree(bucket, slices);
    std::vector<OwnedFloats> pieces;
    for (int peer = 0; peer < ranks; ++peer)
      pieces.push_back({peer, bucket.target + slices[peer], slices[peer + 1] - slices[peer]});
    return grouped([&] {
      for (const OwnedFloats& piece : pieces)
        if (piece.size > 0)
          nccl::check(
              nccl_.Broadcast(piece.data, piece.data, piece.size, nccl::kFloat32, piece.owner, communicator_, *stream_),
              "sending a sum");
    });
  }
  const float* own = bucket.nodes.front();
  const std::vector<int64_t>& slices = bucket.slices;
  grouped([&] {
    if (slices.empty())
      return nccl::check(
          nccl_.AllReduce(own, bucket.target, bucket.size, nccl::kFloat32, nccl::kSum, communicator_, *stream_),
          "a sum");
    if (areEqual(slices))
      return nccl::check(nccl_.ReduceScatter(own, bucket.target + slices[rank], slices[1], nccl::kFloat32, nccl::kSum,
                                             communicator_, *stream_),
                         "a sum");
    for (int owner = 0; owner < ranks; ++owner)
      if (const int64_t count = slices[owner + 1] - slices[owner]; count > 0)
        nccl::check(nccl_.Reduce(own + slices[owner], bucket.target + slices[owner], count, nccl::kFloat32, nccl::kSum,
                                 owner, communicator_, *stream_),
                    "a sum");
  });
}

void NcclSums::sumAlongTree(const Bucket& bucket, const std::vector<int64_t>& slices) {
  const int64_t ownSize = slices[group_.rank + 1] - slices[group_.rank];
  int64_t others = 0;
  for (int peer = 0; peer < group_.ranks; ++peer)
    if (peer != group_.rank) others += static_cast<int64_t>(nodes_[peer].size());
  float* at = received(others * ownSize);
  grouped([&] {
    for (int peer = 0; peer < group_.ranks; ++peer) {
      if (peer == group_.rank) continue;
      if (const int64_t count = slices[peer + 1] - slices[peer]; count > 0)
        for (const float* node : bucket.nodes)
          nccl::check(nccl_.Send(node + slices[peer], count, nccl::kFloat32, peer, communicator_, *stream_),
                      "sending a summand");
      for (size_t i = 0; ownSize > 0 && i < nodes_[peer].size(); ++i, at += ownSize)
        nccl::check(nccl_.Recv(at, ownSize, nccl::kFloat32, peer, communicator_, *stream_), "receiving a summand");
    }
  });
  if (ownSize > 0) addNodes(bucket, slices[group_.rank], ownSize);
}

// Adds this rank's slice of the nodes of all ranks along the tree. A sum takes the place of its left summand.
void NcclSums::addNodes(const Bucket& bucket, int64_t begin, int64_t count) {
  struct Term {
    Node node;
    float* data;
  };
  std::vector<Term> stack;
  const auto add = [&](Node node) {
    const float* right = stack.back().data;
    stack.pop_back();
    addFloats(*stream_, stack.back().data, stack.back().data, right, count);
    stack.back().node = node;
  };
  float* at = received_;
  for (int rank = 0; rank < group_.ranks; ++rank)
    for (size_t i = 0; i < nodes_[rank].size(); ++i) {
      stack.push_back({nodes_[rank][i], rank == group_.rank ? bucket.nodes[i] + begin : at});
      if (rank != group_.rank) at += count;
      while (stack.size() > 1 && comm::areSiblings(stack[stack.size() - 2].node, stack.back().node))
        add({stack.back().node.level + 1, stack.back().node.index / 2});
    }
  // The remaining nodes have no sibling. They are added from right to left, until one root remains.
  while (stack.size() > 1) add(stack[stack.size() - 2].node);
  if (stack.back().data != bucket.target + begin)
    check(cudaMemcpyAsync(bucket.target + begin, stack.back().data, count * sizeof(float), cudaMemcpyDeviceToDevice,
                          *stream_),
          "copying a sum");
}

// Products read parameters from their bf16 copy, so every rank makes the copy of what it receives. The parameters
// themselves travel in float32, because some ops read them.
void NcclSums::copyFromOwners(const std::vector<OwnedFloats>& pieces) {
  double floats = 0;
  grouped([&] {
    for (const OwnedFloats& piece : pieces) {
      floats += static_cast<double>(piece.size);
      if (piece.size > 0)
        nccl::check(
            nccl_.Broadcast(piece.data, piece.data, piece.size, nccl::kFloat32, piece.owner, communicator_, *stream_),
            "copying from another rank");
    }
  });
  for (const OwnedFloats& piece : pieces)
    if (bf16* copy = piece.owner == group_.rank ? nullptr : device_.shadow(piece.data))
      convertToBf16(*stream_, piece.data, copy, piece.size);
  const std::lock_guard lock(timesMutex_);
  times_.bytes += floats * sizeof(float) * (group_.ranks - 1) / group_.ranks;
}

// Memory for summands of other ranks. It grows in the first steps only.
float* NcclSums::received(int64_t floats) {
  if (floats <= receivedFloats_) return received_;
  check(cudaStreamSynchronize(*stream_), "waiting for other ranks");
  if (received_) check(cudaFree(std::exchange(received_, nullptr)), "freeing memory");
  receivedFloats_ = 0;
  check(cudaMalloc(reinterpret_cast<void**>(&received_), floats * sizeof(float)), "memory for sums of other ranks");
  receivedFloats_ = floats;
  return received_;
}

cudaEvent_t NcclSums::timedEvent() {
  const std::lock_guard lock(timesMutex_);
  cudaEvent_t event = nullptr;
  if (!events_.empty()) {
    event = events_.back();
    events_.pop_back();
    return event;
  }
  check(cudaEventCreateWithFlags(&event, 0), "an event");
  return event;
}

// Adds the times of the stretches that have ended.
void NcclSums::harvest() const {
  const std::lock_guard lock(timesMutex_);
  while (!stretches_.empty() && cudaEventQuery(stretches_.front().end) == cudaSuccess) {
    const Stretch stretch = stretches_.front();
    stretches_.pop_front();
    float milliseconds = 0;
    if (cudaEventElapsedTime(&milliseconds, stretch.begin, stretch.end) == cudaSuccess)
      (stretch.waiting ? times_.waiting : times_.moving) += milliseconds / 1000.0;
    events_.insert(events_.end(), {stretch.begin, stretch.end});
  }
}

CommTimes NcclSums::times() const {
  harvest();
  const std::lock_guard lock(timesMutex_);
  return times_;
}

}  // namespace lxmert::cuda
