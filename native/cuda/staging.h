// Copies between host and device through pinned memory, which the device reads and writes without the CPU. Copies do
// not block the engine's thread if the pinned memory has enough bytes for them.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda/completions.h"
#include "engine/device.h"

namespace lxmert::cuda {

// Pinned memory that is filled with zeros.
std::shared_ptr<char> pinned(int64_t bytes);

class Staging {
 public:
  Staging() = default;
  Staging(const Staging&) = delete;
  ~Staging();

  // Memory that `stays` is copied directly. All other memory is first copied into one of two buffers, in turn: one
  // buffer is filled while the device copies from the other.
  void upload(cudaStream_t stream, char* device, const HostBytes& host);
  // The values are at `host` before the next callback that is added to `completions` is called.
  void download(cudaStream_t stream, Completions& completions, char* host, const char* device, int64_t bytes);

 private:
  struct Pinned {
    std::shared_ptr<char> memory;
    int64_t bytes = 0;
    cudaEvent_t copied = nullptr;  // for uploads: when it may be filled again
  };
  void uploadPart(cudaStream_t stream, char* device, const char* host, int64_t bytes);
  void downloadPart(cudaStream_t stream, Completions& completions, char* host, const char* device, int64_t bytes);
  Pinned takeForDownload(int64_t bytes);
  void giveBack(Pinned buffer);

  Pinned uploads_[2];
  int turn_ = 0;
  std::mutex mutex_;  // guards the members below: downloads end on another thread
  std::condition_variable given_;
  std::vector<Pinned> free_;
  int64_t pinned_ = 0;  // bytes of all buffers for downloads
};

}  // namespace lxmert::cuda
