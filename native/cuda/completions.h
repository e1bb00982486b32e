// Tells when the device has done what it was given: a thread that waits for events in the order of the stream, so that the
// engine's own thread goes on enqueuing.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "cuda/check.h"

namespace lxmert::cuda {

class Completions {
 public:
  // Null, or the error with which the device failed. Called on the thread of the completions.
  using Then = std::function<void(const Error*)>;

  explicit Completions(int ordinal);
  // Waits for the call that is running; those that wait are dropped.
  ~Completions();

  // Calls `then` when all that is in the stream now has been done.
  void add(cudaStream_t stream, Then then);

 private:
  struct Waiting {
    cudaEvent_t event;
    Then then;
  };
  void run(int ordinal);
  cudaEvent_t freshEvent();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Waiting> waiting_;
  std::vector<cudaEvent_t> events_;  // to be used again
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace lxmert::cuda
