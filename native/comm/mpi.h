// MPI as a transport, through the library that is compiled against the MPI of the machine.
#pragma once

#include <string>

#include "comm/mpi_plugin.h"
#include "comm/transport.h"

namespace lxmert::comm {

class MpiTransport final : public Transport {
 public:
  // Opens the library. Throws NoDevice when it does not load.
  explicit MpiTransport(const std::string& library);

  // Call `start` and `shareText` before all other functions, and all functions on the same thread: MPI is initialised
  // for calls of one thread only.
  struct Place {
    int rank, ranks;
  };
  Place start();
  std::string shareText(const std::string& text);

  void open(const std::atomic<bool>&) override {}
  void exchange(const std::vector<Transfer>& sends, const std::vector<Transfer>& receives,
                const std::atomic<bool>& aborted) override;
  void close() override;

 private:
  const LxmertMpi* mpi_;
};

}  // namespace lxmert::comm
