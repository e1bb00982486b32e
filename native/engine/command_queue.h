// A thread that runs commands in the order in which they were added.
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

  // The new thread calls `begin` first. Throws OutOfMemory if the system cannot create a thread.
  explicit CommandQueue(Command begin);
  // Runs all queued commands, then ends the thread.
  ~CommandQueue();

  void push(Command command);
  // Drops the commands that have not started, and all commands that are added later. Does not wait. May be called
  // again.
  void drop();
  // Calls `drop` and waits for the command that is running. Must not be called on the thread of the queue.
  void abort();
  // Whether `drop` or `abort` has been called. A long command may check this and end early.
  bool isDropping() const { return dropping_; }

 private:
  void run(const Command& begin);
  void end();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Command> commands_;
  std::deque<Command> dropped_;  // may own memory that the running command uses, so it is freed after that command
  bool ending_ = false;
  std::atomic<bool> dropping_ = false;
  std::thread thread_;
};

}  // namespace lxmert
