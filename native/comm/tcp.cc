#include "comm/tcp.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>

#include "engine/error.h"

namespace lxmert::comm {

namespace {

constexpr int kPollMilliseconds = 100;
constexpr int kConnectSeconds = 30;

struct Greeting {
  uint64_t token;
  uint32_t rank, ranks;
};

[[noreturn]] void lost(const std::string& what) { throw Error(ErrorCode::RankLost, what); }

std::string reason() { return std::strerror(errno); }

void checkAborted(const std::atomic<bool>& aborted) {
  if (aborted) lost("communication was ended");
}

// True when the socket is ready for `events`; false after a short time.
bool isReady(int socket, short events) {
  pollfd one{socket, events, 0};
  return poll(&one, 1, kPollMilliseconds) > 0;
}

void prepare(int socket) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
}

class Deadline {
 public:
  bool passed() const { return std::chrono::steady_clock::now() > end_; }

 private:
  std::chrono::steady_clock::time_point end_ = std::chrono::steady_clock::now() + std::chrono::seconds(kConnectSeconds);
};

// Reads all bytes of a greeting, or returns false.
bool readGreeting(int socket, Greeting* greeting, const std::atomic<bool>& aborted) {
  auto* bytes = reinterpret_cast<char*>(greeting);
  size_t got = 0;
  for (int tries = 0; got < sizeof *greeting && tries < 50 && !aborted; ++tries) {
    if (!isReady(socket, POLLIN)) continue;
    const ssize_t count = recv(socket, bytes + got, sizeof *greeting - got, MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return false;
    if (count > 0) got += count;
  }
  return got == sizeof *greeting;
}

int listenOn(int family) {
  const int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) return -1;
  sockaddr_storage any{};
  any.ss_family = family;
  const int off = 0;
  if (family == AF_INET6) setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  const socklen_t size = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  if (bind(listener, reinterpret_cast<sockaddr*>(&any), size) == 0 && listen(listener, 1024) == 0) return listener;
  ::close(listener);
  return -1;
}

}  // namespace

TcpTransport::TcpTransport(int rank, int ranks, uint64_t token)
    : rank_(rank), ranks_(ranks), token_(token), sockets_(ranks, -1) {
  listener_ = listenOn(AF_INET6);
  if (listener_ < 0) listener_ = listenOn(AF_INET);
  if (listener_ < 0) lost("cannot listen on a port: " + reason());
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  getsockname(listener_, reinterpret_cast<sockaddr*>(&own), &size);
  port_ = ntohs(own.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&own)->sin6_port
                                          : reinterpret_cast<sockaddr_in*>(&own)->sin_port);
}

TcpTransport::~TcpTransport() { close(); }

// Each rank connects to the ranks with lower numbers, and accepts connections from the ranks with higher numbers.
void TcpTransport::open(const std::atomic<bool>& aborted) {
  for (int peer = 0; peer < rank_; ++peer) connectTo(peer, aborted);
  acceptPeers(ranks_ - 1 - rank_, aborted);
  ::close(listener_);
  listener_ = -1;
}

void TcpTransport::connectTo(int peer, const std::atomic<bool>& aborted) {
  const auto& [host, port] = addresses_.at(peer);
  const std::string where = "rank " + std::to_string(peer) + " at " + host + " port " + std::to_string(port);
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0)
    lost(where + ": that is no numeric address");
  const Deadline deadline;
  int connected = -1;
  while (connected < 0) {
    checkAborted(aborted);
    const int socket = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = socket < 0 ? errno : 0;
    if (socket >= 0 && connect(socket, found->ai_addr, found->ai_addrlen) < 0) {
      error = errno;
      if (error == EINPROGRESS) {
        while (!isReady(socket, POLLOUT) && !deadline.passed() && !aborted) continue;
        socklen_t size = sizeof error;
        getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
        if (deadline.passed()) error = ETIMEDOUT;
      }
    }
    if (error == 0) {
      connected = socket;
      break;
    }
    if (socket >= 0) ::close(socket);
    if (deadline.passed()) {
      freeaddrinfo(found);
      lost("no connection to " + where + ": " + std::strerror(error));
    }
    usleep(kPollMilliseconds * 1000);
  }
  freeaddrinfo(found);
  prepare(connected);
  const Greeting greeting{token_, static_cast<uint32_t>(rank_), static_cast<uint32_t>(ranks_)};
  if (send(connected, &greeting, sizeof greeting, MSG_NOSIGNAL) != sizeof greeting)
    lost(where + " does not take a greeting: " + reason());
  sockets_[peer] = connected;
}

void TcpTransport::acceptPeers(int count, const std::atomic<bool>& aborted) {
  const Deadline deadline;
  while (count > 0) {
    checkAborted(aborted);
    if (deadline.passed()) lost(std::to_string(count) + " ranks did not connect within 30 s");
    if (!isReady(listener_, POLLIN)) continue;
    const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) continue;
    Greeting greeting{};
    const bool ours = readGreeting(socket, &greeting, aborted) && greeting.token == token_ &&
                      static_cast<int>(greeting.ranks) == ranks_ && static_cast<int>(greeting.rank) > rank_ &&
                      static_cast<int>(greeting.rank) < ranks_ && sockets_[greeting.rank] < 0;
    if (!ours) {
      ::close(socket);
      continue;
    }
    prepare(socket);
    sockets_[greeting.rank] = socket;
    --count;
  }
}

void TcpTransport::exchange(const std::vector<Transfer>& sends, const std::vector<Transfer>& receives,
                            const std::atomic<bool>& aborted) {
  // The remaining transfers for each peer, in order.
  std::vector<std::deque<Transfer>> out(ranks_), in(ranks_);
  int64_t left = 0;
  for (const Transfer& each : sends)
    if (each.bytes > 0) out[each.peer].push_back(each), ++left;
  for (const Transfer& each : receives)
    if (each.bytes > 0) in[each.peer].push_back(each), ++left;

  // Moves bytes of the first transfer of a queue. Returns false if the socket can take or give no more bytes at the
  // moment.
  const auto move = [&](int peer, std::deque<Transfer>& queue, bool sending) {
    Transfer& first = queue.front();
    const ssize_t count = sending ? ::send(sockets_[peer], first.data, first.bytes, MSG_NOSIGNAL | MSG_DONTWAIT)
                                  : ::recv(sockets_[peer], first.data, first.bytes, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (count <= 0)
      lost("the connection to rank " + std::to_string(peer) + " ended" + (count < 0 ? ": " + reason() : ""));
    first.data += count;
    first.bytes -= count;
    if (first.bytes == 0) {
      queue.pop_front();
      --left;
    }
    return true;
  };

  std::vector<pollfd> polled;
  std::vector<int> peers;
  while (left > 0) {
    checkAborted(aborted);
    polled.clear();
    peers.clear();
    for (int peer = 0; peer < ranks_; ++peer) {
      const short events = (in[peer].empty() ? 0 : POLLIN) | (out[peer].empty() ? 0 : POLLOUT);
      if (events == 0) continue;
      polled.push_back({sockets_[peer], events, 0});
      peers.push_back(peer);
    }
    if (poll(polled.data(), polled.size(), kPollMilliseconds) <= 0) continue;
    for (size_t i = 0; i < polled.size(); ++i) {
      const int peer = peers[i];
      const short ready = polled[i].revents;
      if (ready & (POLLIN | POLLHUP | POLLERR))
        while (!in[peer].empty() && move(peer, in[peer], false)) continue;
      if (ready & (POLLOUT | POLLHUP | POLLERR))
        while (!out[peer].empty() && move(peer, out[peer], true)) continue;
    }
  }
}

void TcpTransport::close() {
  if (listener_ >= 0) ::close(listener_);
  listener_ = -1;
  for (int& socket : sockets_)
    if (socket >= 0) {
      ::close(socket);
      socket = -1;
    }
}

}  // namespace lxmert::comm
