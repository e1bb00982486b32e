// The interface from the engine to the ranks of a run (native/comm/communicator.h): it sums float32 buckets over all
// ranks, and sends values from one rank to all others.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

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

class RankSums {
 public:
  virtual ~RankSums() = default;
  // Both are called on the engine's thread. The work is done in the order of the calls. The engine must not use its memory
  // until `finish` returns.
  virtual void start(Bucket bucket) = 0;
  virtual void gather(std::vector<OwnedFloats> pieces) = 0;
  // Called on the engine's thread: waits for all work. Throws RankLost. Returns early, without results, if `isEnding` is
  // true.
  virtual void finish(const std::function<bool()>& isEnding) = 0;
};

}  // namespace lxmert
