// The interface from the engine to the ranks of a run: it sums float32 buckets over all ranks, and sends values from one
// rank to all others. native/comm/communicator.h does this for the CPU, native/cuda/nccl_sums.h for GPUs.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"

namespace lxmert {

// A range of floats to sum over all ranks.
struct Bucket {
  float* target;              // the target of the sum; `size` floats
  std::vector<float*> nodes;  // one summand for each node of the tree that this rank has; `size` floats each
  int64_t size;
  // Empty: every rank receives the whole sum. Otherwise rank r receives the floats from slices[r] to slices[r + 1] only,
  // and the rest of its target is undefined. The first slice begins at 0, and the last one ends at `size`.
  std::vector<int64_t> slices;
};

// Floats at the same place on every rank. The owner has the values, and the other ranks receive them.
struct OwnedFloats {
  int owner;
  float* data;
  int64_t size;
};

struct CommTimes {
  double moving = 0;   // seconds in which buckets were sent, received and added
  double waiting = 0;  // seconds in which the engine waited for them
  double bytes = 0;    // bytes sent
};

// The place of a device among the ranks of a run, for Device::rankSums.
struct RankGroup {
  int rank, ranks;
  // The id of the group, made by one rank (Plugin::makeRankId), the same on all ranks.
  std::string id;
  int64_t parts;  // of a global batch; at least `ranks`
  // Whether sums are made along the tree of the parts (comm/part_tree.h), so that any number of ranks gives the same
  // bits. Otherwise the library chooses the order of the additions, and each rank has one part.
  bool alongTree;
};

class RankSums {
 public:
  virtual ~RankSums() = default;
  // Connects to the other ranks. Called first, on the engine's thread. Waits; throws RankLost.
  virtual void connect() {}
  // Notes the place in the engine's work after which the data of the next `start` or `gather` is ready, and returns its
  // number. While a device captures ops, this is the only call that is allowed.
  virtual int64_t mark() { return 0; }
  // Both are called on the engine's thread. The work is done in the order of the calls, and begins when the work before
  // the mark is done. The engine must not use its memory until `finish` returns.
  virtual void start(Bucket bucket, int64_t mark) = 0;
  virtual void gather(std::vector<OwnedFloats> pieces, int64_t mark) = 0;
  // Called on the engine's thread. Later work of the engine runs after all sums and copies. Throws RankLost. On the CPU
  // it waits for them; it returns early, without results, if `isEnding` is true.
  virtual void finish(const std::function<bool()>& isEnding) = 0;

  // The following functions may be called on any thread.
  // Ends all work. Callers that wait for the work get an error.
  virtual void abort() = 0;
  virtual CommTimes times() const = 0;
  // The error that ended the work, also of work that a device does later.
  virtual std::optional<Error> failure() const { return std::nullopt; }
};

}  // namespace lxmert
