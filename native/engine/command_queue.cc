#include "engine/command_queue.h"

#include <pthread.h>

#include <string>
#include <system_error>
#include <utility>

#include "engine/error.h"

namespace lxmert {

namespace {

template <class Run>
std::thread startThread(Run run) {
  try {
    return std::thread(std::move(run));
  } catch (const std::system_error& error) {
    throw Error(ErrorCode::OutOfMemory,
                std::string("the system gives no thread for an engine (") + error.what() +
                    "); end other engines or processes, or raise the limits of this one (ulimit -u, ulimit -v)");
  }
}

}  // namespace

CommandQueue::CommandQueue(Command begin) : thread_(startThread([this, begin = std::move(begin)] { run(begin); })) {}

CommandQueue::~CommandQueue() { end(); }

void CommandQueue::push(Command command) {
  {
    std::lock_guard lock(mutex_);
    if (ending_) return;
    commands_.push_back(std::move(command));
  }
  wake_.notify_one();
}

void CommandQueue::drop() {
  {
    const std::lock_guard lock(mutex_);
    if (dropped_.empty()) dropped_.swap(commands_);
    ending_ = true;
  }
  dropping_ = true;
  wake_.notify_one();
}

void CommandQueue::abort() {
  drop();
  end();
}

void CommandQueue::end() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  dropped_.clear();
}

void CommandQueue::run(const Command& begin) {
  pthread_setname_np(pthread_self(), "lxmert engine");  // the threads that it starts inherit the name
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
