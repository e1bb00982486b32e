// The interface from the engine to the ranks of a run: it sums float32 buckets over all ranks
// (native/comm/communicator.h).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace lxmert {

// A range of floats to sum: one place for each node of the tree that this rank has, and the place for the sum of all
// ranks.
struct Bucket {
  float* target;
  std::vector<float*> nodes;
  int64_t size;
};

class RankSums {
 public:
  virtual ~RankSums() = default;
  // Called on the engine's thread: passes a bucket to be summed, after the buckets before it. The engine must not use
  // its memory until `finish` returns.
  virtual void start(Bucket bucket) = 0;
  // Called on the engine's thread: waits for all buckets. Throws RankLost. Returns early, without sums, if `isEnding`
  // is true.
  virtual void finish(const std::function<bool()>& isEnding) = 0;
};

}  // namespace lxmert
