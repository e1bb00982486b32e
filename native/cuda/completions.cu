#include "cuda/completions.h"

#include <pthread.h>

#include <optional>
#include <utility>

namespace lxmert::cuda {

Completions::Completions(int ordinal) : thread_([this, ordinal] { run(ordinal); }) {}

Completions::~Completions() {
  std::deque<Waiting> dropped;
  {
    const std::lock_guard lock(mutex_);
    dropped.swap(waiting_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
  for (const Waiting& waiting : dropped) cudaEventDestroy(waiting.event);
  for (const cudaEvent_t event : events_) cudaEventDestroy(event);
}

void Completions::add(cudaStream_t stream, Then then) {
  const cudaEvent_t event = freshEvent();
  // On a failed device, recording the event fails. Waiting for the event fails, too, and `then` gets the error of the
  // wait.
  if (event) cudaEventRecord(event, stream);
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({event, std::move(then)});
  }
  wake_.notify_one();
}

// Null if the device cannot make an event.
cudaEvent_t Completions::freshEvent() {
  cudaEvent_t event = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (!events_.empty()) {
      event = events_.back();
      events_.pop_back();
    }
  }
  // The second flag makes the waiting thread sleep. Without it, waiting for a step keeps a core busy.
  constexpr unsigned kFlags = cudaEventDisableTiming | cudaEventBlockingSync;
  if (!event && cudaEventCreateWithFlags(&event, kFlags) != cudaSuccess) return nullptr;
  return event;
}

void Completions::run(int ordinal) {
  pthread_setname_np(pthread_self(), "lxmert cuda");
  cudaSetDevice(ordinal);
  for (;;) {
    Waiting next;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    std::optional<Error> failure;
    try {
      check(next.event ? cudaEventSynchronize(next.event) : cudaDeviceSynchronize(), "running kernels");
    } catch (const Error& error) {
      failure.emplace(error);
    }
    next.then(failure ? &*failure : nullptr);
    const std::lock_guard lock(mutex_);
    if (next.event) events_.push_back(next.event);
  }
}

}  // namespace lxmert::cuda
