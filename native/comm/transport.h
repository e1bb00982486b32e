// Moves bytes between the ranks of a run. Used on the communicator's thread only.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace lxmert::comm {

struct Transfer {
  int peer;
  char* data;
  int64_t bytes;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Connects to all other ranks.
  virtual void open(const std::atomic<bool>& aborted) = 0;
  // Makes all transfers. Between two ranks, the first send of one rank goes to the first receive of the other rank, the
  // second to the second, and so on. Throws RankLost when a peer is gone, and soon after `aborted` is set.
  virtual void exchange(const std::vector<Transfer>& sends, const std::vector<Transfer>& receives,
                        const std::atomic<bool>& aborted) = 0;
  // Ends the communication with the other ranks. Called at the end of a run that had no error.
  virtual void close() = 0;
};

}  // namespace lxmert::comm
