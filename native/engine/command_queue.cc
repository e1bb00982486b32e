#include "engine/command_queue.h"

#include <utility>

namespace lxmert {

CommandQueue::CommandQueue(Command begin) : thread_([this, begin = std::move(begin)] { run(begin); }) {}

CommandQueue::~CommandQueue() { end(false); }

void CommandQueue::push(Command command) {
  {
    std::lock_guard lock(mutex_);
    if (ending_) return;
    commands_.push_back(std::move(command));
  }
  wake_.notify_one();
}

void CommandQueue::drain() {
  std::mutex done;
  std::condition_variable signal;
  bool reached = false;
  {
    std::lock_guard lock(mutex_);
    if (ending_) return;
    commands_.push_back([&] {
      std::lock_guard guard(done);
      reached = true;
      signal.notify_one();
    });
  }
  wake_.notify_one();
  std::unique_lock guard(done);
  signal.wait(guard, [&] { return reached; });
}

void CommandQueue::abort() { end(true); }

void CommandQueue::end(bool drop) {
  std::deque<Command> dropped;
  {
    std::lock_guard lock(mutex_);
    if (drop) dropped.swap(commands_);
    ending_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void CommandQueue::run(const Command& begin) {
  begin();
  for (;;) {
    Command command;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return ending_ || !commands_.empty(); });
      if (commands_.empty()) return;
      command = std::move(commands_.front());
      commands_.pop_front();
    }
    command();
  }
}

}  // namespace lxmert
