// A transport with a socket between every two ranks. It needs no library besides the system.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/transport.h"

namespace lxmert::comm {

// Where a rank listens.
struct Address {
  std::string host;  // a numeric address, IPv4 or IPv6
  int port;
};

class TcpTransport final : public Transport {
 public:
  // Listens on a free port of all interfaces. Connections that do not begin with the token are refused.
  TcpTransport(int rank, int ranks, uint64_t token);
  ~TcpTransport() override;
  TcpTransport(const TcpTransport&) = delete;

  int port() const { return port_; }
  // The addresses of all ranks, before `open`.
  void setAddresses(std::vector<Address> addresses) { addresses_ = std::move(addresses); }

  void open(const std::atomic<bool>& aborted) override;
  void exchange(const std::vector<Transfer>& sends, const std::vector<Transfer>& receives,
                const std::atomic<bool>& aborted) override;
  void close() override;

 private:
  void connectTo(int peer, const std::atomic<bool>& aborted);
  void acceptPeers(int count, const std::atomic<bool>& aborted);

  const int rank_, ranks_;
  const uint64_t token_;
  int listener_ = -1, port_ = 0;
  std::vector<Address> addresses_;
  std::vector<int> sockets_;  // by rank; -1: none
};

}  // namespace lxmert::comm
