// A thread that runs commands in the order given. The engine's stream of work on a device without one of its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace lxmert {

class CommandQueue {
 public:
  using Command = std::function<void()>;

  // `begin` runs first, on the new thread. Throws OutOfMemory when the system gives no thread.
  explicit CommandQueue(Command begin);
  // Runs what is queued, then ends.
  ~CommandQueue();

  void push(Command command);
  // Drops what has not started and all that comes later. Waits for nothing; idempotent.
  void drop();
  // The same, and waits for what has started. Not from the queue's own thread.
  void abort();
  // Whether one of these has been called: a long command may look, and end early.
  bool isDropping() const { return dropping_; }

 private:
  void run(const Command& begin);
  void end();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Command> commands_;
  std::deque<Command> dropped_;  // may own memory that the running command works on: freed after it
  bool ending_ = false;
  std::atomic<bool> dropping_ = false;
  std::thread thread_;
};

}  // namespace lxmert
