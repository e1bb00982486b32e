// The functions of NCCL that comm/nccl.h names, for emulated devices in several processes of one machine. Bytes travel
// through shared memory: each rank has a ring of bytes for every other rank. A call is work of its stream like a kernel,
// ordered by streams and events only. It is done in many steps, and work of other streams is done between them, so a
// missing wait gives wrong values. LXMERT_EMULATOR_DELAYS=N delays each call by a random time of up to N milliseconds.
//
// Sums are made in the order of the ranks. Every transfer begins with its size. Ranks that make different calls get an
// error (NCCL would wait for ever, or mix up the values).
#include "comm/nccl.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "cuda/emulator/launch.h"
#include "cuda/emulator/streams.h"
#include "cuda/emulator/trace.h"
#include "cuda/emulator/uses.h"

using namespace lxmert::nccl;
using lxmert::emulator::Random;

extern "C" Result ncclGroupStart();
extern "C" Result ncclGroupEnd();

namespace {

constexpr Result kSystemError = 2, kInvalidArgument = 4, kInvalidUsage = 5;
constexpr size_t kRingBytes = size_t{1} << 16;

// The bytes on their way from one rank to another. One process writes, and one reads.
struct Ring {
  std::atomic<uint64_t> written, read;
  char bytes[kRingBytes];

  size_t put(const char* from, size_t count) {
    const uint64_t at = written.load(std::memory_order_relaxed);
    const size_t most = std::min<size_t>(count, kRingBytes - (at - read.load(std::memory_order_acquire)));
    for (size_t i = 0; i < most;) {
      const size_t place = (at + i) % kRingBytes, run = std::min(most - i, kRingBytes - place);
      std::memcpy(bytes + place, from + i, run);
      i += run;
    }
    written.store(at + most, std::memory_order_release);
    return most;
  }
  size_t take(char* to, size_t count) {
    const uint64_t at = read.load(std::memory_order_relaxed);
    const size_t most = std::min<size_t>(count, written.load(std::memory_order_acquire) - at);
    for (size_t i = 0; i < most;) {
      const size_t place = (at + i) % kRingBytes, run = std::min(most - i, kRingBytes - place);
      std::memcpy(to + i, bytes + place, run);
      i += run;
    }
    read.store(at + most, std::memory_order_release);
    return most;
  }
};

struct Shared {
  std::atomic<int> attached;
  Ring rings[];  // [from, to]
};

// The memory and the place of one rank.
struct Member {
  Shared* shared = nullptr;
  size_t bytes = 0;
  int rank = 0, ranks = 0;
  std::string name;
  std::atomic<bool> aborted = false;
  Random random{0};

  ~Member() {
    if (!shared) return;
    munmap(shared, bytes);
    shm_unlink(name.c_str());  // fails if another rank has done it
  }
  Ring& ring(int from, int to) const { return shared->rings[from * ranks + to]; }
};
using MemberPtr = std::shared_ptr<Member>;

// Bytes to or from one peer, after their size.
struct Transfer {
  char* data;
  size_t bytes;
  size_t done = 0;
  uint64_t size = 0;
};

// The calls of a group: transfers by peer, and what is done with the received values at the end.
struct Group {
  MemberPtr member;
  cudaStream_t stream = nullptr;
  std::vector<std::deque<Transfer>> out, in;
  std::vector<std::function<void()>> ends;
  std::vector<std::pair<const void*, size_t>> reads, writes;
  std::chrono::steady_clock::time_point start;
  bool begun = false;

  void send(int peer, const void* data, size_t bytes) {
    if (bytes > 0) out[peer].push_back({const_cast<char*>(static_cast<const char*>(data)), bytes});
  }
  void receive(int peer, void* data, size_t bytes) {
    if (bytes > 0) in[peer].push_back({static_cast<char*>(data), bytes});
  }
  // Moves what can be moved at the moment. Returns true when all is done.
  bool step();

 private:
  void begin();
  static bool moveOut(Ring& ring, std::deque<Transfer>& queue);
  static bool moveIn(Ring& ring, std::deque<Transfer>& queue);
};

thread_local int depth = 0;
thread_local std::shared_ptr<Group> open_;

size_t sizeOf(DataType type) { return type == kBFloat16 ? 2 : 4; }

void Group::begin() {
  begun = true;
  static const char* const delays = std::getenv("LXMERT_EMULATOR_DELAYS");
  const uint32_t most = delays ? static_cast<uint32_t>(std::atoi(delays)) : 0;
  start = std::chrono::steady_clock::now() + std::chrono::microseconds(member->random.below(1000 * most + 1));
  for (const auto& [data, bytes] : reads) lxmert::emulator::noteWhole("NCCL", lxmert::emulator::Use::Read, data, bytes);
  for (const auto& [data, bytes] : writes)
    lxmert::emulator::noteWhole("NCCL", lxmert::emulator::Use::Write, data, bytes);
}

bool Group::moveOut(Ring& ring, std::deque<Transfer>& queue) {
  while (!queue.empty()) {
    Transfer& first = queue.front();
    constexpr size_t kHead = sizeof(uint64_t);
    if (first.done < kHead) {
      first.size = first.bytes;
      first.done += ring.put(reinterpret_cast<char*>(&first.size) + first.done, kHead - first.done);
    }
    if (first.done >= kHead) first.done += ring.put(first.data + first.done - kHead, first.bytes + kHead - first.done);
    if (first.done < first.bytes + kHead) return false;
    queue.pop_front();
  }
  return true;
}

bool Group::moveIn(Ring& ring, std::deque<Transfer>& queue) {
  while (!queue.empty()) {
    Transfer& first = queue.front();
    constexpr size_t kHead = sizeof(uint64_t);
    if (first.done < kHead)
      first.done += ring.take(reinterpret_cast<char*>(&first.size) + first.done, kHead - first.done);
    if (first.done >= kHead) {
      if (first.size != first.bytes)
        throw lxmert::Error(lxmert::ErrorCode::Internal, "NCCL: a rank sends " + std::to_string(first.size) +
                                                             " bytes to one that expects " +
                                                             std::to_string(first.bytes));
      first.done += ring.take(first.data + first.done - kHead, first.bytes + kHead - first.done);
    }
    if (first.done < first.bytes + kHead) return false;
    queue.pop_front();
  }
  return true;
}

bool Group::step() {
  if (!begun) begin();
  if (member->aborted) return true;
  if (std::chrono::steady_clock::now() < start) return false;
  bool done = true;
  for (int peer = 0; peer < member->ranks; ++peer) {
    done &= moveOut(member->ring(member->rank, peer), out[peer]);
    done &= moveIn(member->ring(peer, member->rank), in[peer]);
  }
  if (done)
    for (const auto& end : ends) end();
  return done;
}

// Adds a call to the group that is open, or does it alone.
template <class Add>
Result call(Communicator communicator, cudaStream_t stream, Add add) {
  if (!communicator || !stream) return kInvalidArgument;
  const MemberPtr& member = *reinterpret_cast<MemberPtr*>(communicator);
  const bool alone = depth == 0;
  if (alone) ncclGroupStart();
  if (!open_) {
    open_ = std::make_shared<Group>();
    open_->member = member;
    open_->stream = stream;
    open_->out.resize(member->ranks);
    open_->in.resize(member->ranks);
  }
  const bool fits = open_->member == member && open_->stream == stream;
  if (fits) add(*open_, *member);
  const Result ended = alone ? ncclGroupEnd() : kSuccess;
  return fits ? ended : kInvalidUsage;
}

template <class T>
const T* at(const void* data, size_t elements) {
  return static_cast<const T*>(data) + elements;
}

// `to` = the sum over all ranks of the `count` floats that each of them sends here.
void sumHere(Group& group, const Member& self, const float* own, float* to, size_t count) {
  auto received = std::make_shared<std::vector<std::vector<float>>>(self.ranks);
  for (int peer = 0; peer < self.ranks; ++peer) {
    if (peer == self.rank) continue;
    (*received)[peer].resize(count);
    group.receive(peer, (*received)[peer].data(), count * sizeof(float));
  }
  group.reads.push_back({own, count * sizeof(float)});
  group.writes.push_back({to, count * sizeof(float)});
  group.ends.push_back([received, own, to, count, rank = self.rank] {
    std::vector<float>& mine = (*received)[rank];
    mine.assign(own, own + count);
    std::memcpy(to, (*received)[0].data(), count * sizeof(float));
    for (size_t peer = 1; peer < received->size(); ++peer)
      for (size_t i = 0; i < count; ++i) to[i] += (*received)[peer][i];
  });
}

void sendToOthers(Group& group, const Member& self, const void* data, size_t bytes) {
  for (int peer = 0; peer < self.ranks; ++peer)
    if (peer != self.rank) group.send(peer, data, bytes);
  group.reads.push_back({data, bytes});
}

}  // namespace

extern "C" {
Result ncclGetVersion(int* version) {
  *version = 22700;
  return kSuccess;
}

const char* ncclGetErrorString(Result result) {
  return result == kSuccess           ? "no error"
         : result == kInProgress      ? "in progress"
         : result == kSystemError     ? "no shared memory"
         : result == kInvalidArgument ? "invalid argument"
                                      : "invalid usage";
}

Result ncclGetUniqueId(UniqueId* id) {
  static std::atomic<int> made = 0;
  std::snprintf(id->bytes, sizeof id->bytes, "/lxmert-nccl-%d-%d-%lld", getpid(), made++,
                static_cast<long long>(std::chrono::steady_clock::now().time_since_epoch().count()));
  return kSuccess;
}

Result ncclCommInitRankConfig(Communicator* communicator, int ranks, UniqueId id, int rank, Config* config) {
  if (rank < 0 || rank >= ranks || config->size != sizeof(Config) || config->blocking != 0) return kInvalidArgument;
  auto member = std::make_shared<Member>();
  member->name = id.bytes;
  member->rank = rank;
  member->ranks = ranks;
  member->bytes = sizeof(Shared) + sizeof(Ring) * ranks * ranks;
  member->random = Random(lxmert::emulator::seedOfProcess() * 1000 + rank);
  const int file = shm_open(id.bytes, O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, static_cast<off_t>(member->bytes)) != 0) return kSystemError;
  void* memory = mmap(nullptr, member->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return kSystemError;
  member->shared = static_cast<Shared*>(memory);
  ++member->shared->attached;
  *communicator = reinterpret_cast<Communicator>(new MemberPtr(std::move(member)));
  return kInProgress;
}

Result ncclCommGetAsyncError(Communicator communicator, Result* result) {
  const Member& member = **reinterpret_cast<MemberPtr*>(communicator);
  *result = member.shared->attached < member.ranks ? kInProgress : kSuccess;
  if (*result == kSuccess && member.rank == 0) shm_unlink(member.name.c_str());
  return kSuccess;
}

Result ncclCommFinalize(Communicator) { return kSuccess; }

Result ncclCommDestroy(Communicator communicator) {
  delete reinterpret_cast<MemberPtr*>(communicator);
  return kSuccess;
}

Result ncclCommAbort(Communicator communicator) {
  (*reinterpret_cast<MemberPtr*>(communicator))->aborted = true;
  return ncclCommDestroy(communicator);
}

Result ncclGroupStart() {
  ++depth;
  return kSuccess;
}

Result ncclGroupEnd() {
  if (depth == 0) return kInvalidUsage;
  if (--depth > 0 || !open_) return kSuccess;
  const std::shared_ptr<Group> group = std::move(open_);
  open_.reset();
  lxmert::emulator::trace("NCCL");
  return lxmert::emulator::submitSteps(group->stream, [group] { return group->step(); }) == cudaSuccess ? kSuccess
                                                                                                        : kInvalidUsage;
}

Result ncclSend(const void* from, size_t count, DataType type, int peer, Communicator comm, cudaStream_t stream) {
  return call(comm, stream, [&](Group& group, const Member&) {
    group.send(peer, from, count * sizeOf(type));
    group.reads.push_back({from, count * sizeOf(type)});
  });
}

Result ncclRecv(void* to, size_t count, DataType type, int peer, Communicator comm, cudaStream_t stream) {
  return call(comm, stream, [&](Group& group, const Member&) {
    group.receive(peer, to, count * sizeOf(type));
    group.writes.push_back({to, count * sizeOf(type)});
  });
}

Result ncclBroadcast(const void* from, void* to, size_t count, DataType type, int root, Communicator comm,
                     cudaStream_t stream) {
  return call(comm, stream, [&](Group& group, const Member& self) {
    const size_t bytes = count * sizeOf(type);
    if (self.rank == root) sendToOthers(group, self, from, bytes);
    if (self.rank != root) group.receive(root, to, bytes);
    if (self.rank != root || to != from) group.writes.push_back({to, bytes});
    if (self.rank == root && to != from) group.ends.push_back([=] { std::memcpy(to, from, bytes); });
  });
}

Result ncclReduce(const void* from, void* to, size_t count, DataType type, Reduction, int root, Communicator comm,
                  cudaStream_t stream) {
  if (type != kFloat32) return kInvalidArgument;
  return call(comm, stream, [&](Group& group, const Member& self) {
    if (self.rank == root) return sumHere(group, self, at<float>(from, 0), static_cast<float*>(to), count);
    group.send(root, from, count * sizeof(float));
    group.reads.push_back({from, count * sizeof(float)});
  });
}

Result ncclAllReduce(const void* from, void* to, size_t count, DataType type, Reduction, Communicator comm,
                     cudaStream_t stream) {
  if (type != kFloat32) return kInvalidArgument;
  return call(comm, stream, [&](Group& group, const Member& self) {
    sendToOthers(group, self, from, count * sizeof(float));
    sumHere(group, self, at<float>(from, 0), static_cast<float*>(to), count);
  });
}

Result ncclReduceScatter(const void* from, void* to, size_t ownCount, DataType type, Reduction, Communicator comm,
                         cudaStream_t stream) {
  if (type != kFloat32) return kInvalidArgument;
  return call(comm, stream, [&](Group& group, const Member& self) {
    for (int peer = 0; peer < self.ranks; ++peer)
      if (peer != self.rank) group.send(peer, at<float>(from, peer * ownCount), ownCount * sizeof(float));
    group.reads.push_back({from, self.ranks * ownCount * sizeof(float)});
    sumHere(group, self, at<float>(from, self.rank * ownCount), static_cast<float*>(to), ownCount);
  });
}

Result ncclAllGather(const void* from, void* to, size_t ownCount, DataType type, Communicator comm,
                     cudaStream_t stream) {
  return call(comm, stream, [&](Group& group, const Member& self) {
    const size_t bytes = ownCount * sizeOf(type);
    char* const all = static_cast<char*>(to);
    sendToOthers(group, self, from, bytes);
    for (int peer = 0; peer < self.ranks; ++peer)
      if (peer != self.rank) group.receive(peer, all + peer * bytes, bytes);
    group.writes.push_back({to, self.ranks * bytes});
    if (all + self.rank * bytes != from)
      group.ends.push_back([=, rank = self.rank] { std::memcpy(all + rank * bytes, from, bytes); });
  });
}
}
