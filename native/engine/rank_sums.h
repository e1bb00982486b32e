// What the engine asks of the ranks of a run: sums of float32 buckets over all of them (native/comm/communicator.h).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace lxmert {

// A range of floats to sum: one place for each node of the tree that this rank holds, and where the sum of all ranks goes.
struct Bucket {
  float* target;
  std::vector<float*> nodes;
  int64_t size;
};

class RankSums {
 public:
  virtual ~RankSums() = default;
  // Engine's thread: hands over a bucket, to be summed after those before it. Its memory belongs to the ranks until
  // `finish` returns.
  virtual void start(Bucket bucket) = 0;
  // Engine's thread: waits for all buckets. Throws RankLost. Returns early, without the sums, when `isEnding` is true.
  virtual void finish(const std::function<bool()>& isEnding) = 0;
};

}  // namespace lxmert
