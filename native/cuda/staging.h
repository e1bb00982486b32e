// Copies between the host and the device by way of pinned memory, which the device copies on its own: neither direction
// stops the engine's thread, unless more is asked for than the pinned memory holds.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda/completions.h"
#include "engine/device.h"

namespace lxmert::cuda {

// Zeroed.
std::shared_ptr<char> pinned(int64_t bytes);

class Staging {
 public:
  Staging() = default;
  Staging(const Staging&) = delete;
  ~Staging();

  // What stays is copied from where it is. For all else there are two buffers in turn: one is filled while the device copies
  // from the other.
  void upload(cudaStream_t stream, char* device, const HostBytes& host);
  // The values are at `host` before what is added to `completions` next is called.
  void download(cudaStream_t stream, Completions& completions, char* host, const char* device, int64_t bytes);

 private:
  struct Pinned {
    std::shared_ptr<char> memory;
    int64_t bytes = 0;
    cudaEvent_t copied = nullptr;  // of uploads: when it is free again
  };
  void uploadPart(cudaStream_t stream, char* device, const char* host, int64_t bytes);
  void downloadPart(cudaStream_t stream, Completions& completions, char* host, const char* device, int64_t bytes);
  Pinned takeForDownload(int64_t bytes);
  void giveBack(Pinned buffer);

  Pinned uploads_[2];
  int turn_ = 0;
  std::mutex mutex_;  // of what follows: downloads end on another thread
  std::condition_variable given_;
  std::vector<Pinned> free_;
  int64_t pinned_ = 0;  // bytes of all buffers for downloads
};

}  // namespace lxmert::cuda
