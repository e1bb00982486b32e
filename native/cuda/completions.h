// Reports when the device has finished its work. A separate thread waits for events in the order of the stream, so
// that the engine's thread can continue to enqueue.
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
  // Gets null, or the error with which the device failed. It is called on the thread of the completions.
  using Then = std::function<void(const Error*)>;

  explicit Completions(int ordinal);
  // Waits for the running callback; drops the callbacks that have not started.
  ~Completions();

  // Calls `then` when all work that is now in the stream is done.
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
  std::vector<cudaEvent_t> events_;  // free, to be used again
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace lxmert::cuda
