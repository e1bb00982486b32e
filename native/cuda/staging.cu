#include "cuda/staging.h"

#include <cstring>

namespace lxmert::cuda {

namespace {

constexpr int64_t kMebibyte = int64_t{1} << 20;
// The most bytes of one copy. A larger upload or download is done in parts.
constexpr int64_t kPart = 128 * kMebibyte;
// The maximum number of bytes of all downloads that are not finished. If a download would exceed it, it waits until
// others are finished.
constexpr int64_t kMostPinned = 512 * kMebibyte;

// A power of two, so that the buffer is large enough for most later copies, too.
int64_t sizeFor(int64_t bytes) {
  int64_t size = kMebibyte;
  while (size < bytes) size *= 2;
  return size;
}

}  // namespace

std::shared_ptr<char> pinned(int64_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMallocHost(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw Error(ErrorCode::OutOfMemory,
                "the machine, not the GPU, has no " + std::to_string(bytes / kMebibyte) +
                    " MiB left that can be pinned for copies; free memory, or take a smaller batch");
  }
  check(status, "pinning memory for copies");
  std::memset(memory, 0, bytes);
  return {static_cast<char*>(memory), [](char* base) { cudaFreeHost(base); }};
}

Staging::~Staging() {
  for (const Pinned& buffer : uploads_)
    if (buffer.copied) cudaEventDestroy(buffer.copied);
}

void Staging::upload(cudaStream_t stream, char* device, const HostBytes& host) {
  if (host.stays)
    return check(cudaMemcpyAsync(device, host.data, host.size, cudaMemcpyHostToDevice, stream), "an upload");
  for (int64_t at = 0; at < host.size; at += kPart)
    uploadPart(stream, device + at, host.data + at, std::min(kPart, host.size - at));
}

void Staging::uploadPart(cudaStream_t stream, char* device, const char* host, int64_t bytes) {
  Pinned& buffer = uploads_[turn_];
  turn_ = 1 - turn_;
  if (buffer.copied) check(cudaEventSynchronize(buffer.copied), "waiting for an upload");
  // The second flag makes the waiting thread sleep. Without it, waiting for a step keeps a core busy.
  constexpr unsigned kFlags = cudaEventDisableTiming | cudaEventBlockingSync;
  if (!buffer.copied) check(cudaEventCreateWithFlags(&buffer.copied, kFlags), "an event for uploads");
  if (buffer.bytes < bytes) {
    buffer.memory.reset();
    buffer.bytes = 0;
    buffer.memory = pinned(sizeFor(bytes));
    buffer.bytes = sizeFor(bytes);
  }
  std::memcpy(buffer.memory.get(), host, bytes);
  check(cudaMemcpyAsync(device, buffer.memory.get(), bytes, cudaMemcpyHostToDevice, stream), "an upload");
  check(cudaEventRecord(buffer.copied, stream), "an upload");
}

void Staging::download(cudaStream_t stream, Completions& completions, char* host, const char* device, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += kPart)
    downloadPart(stream, completions, host + at, device + at, std::min(kPart, bytes - at));
}

void Staging::downloadPart(cudaStream_t stream, Completions& completions, char* host, const char* device,
                           int64_t bytes) {
  const Pinned buffer = takeForDownload(bytes);
  const cudaError_t status = cudaMemcpyAsync(buffer.memory.get(), device, bytes, cudaMemcpyDeviceToHost, stream);
  if (status != cudaSuccess) giveBack(buffer);
  check(status, "a read");
  completions.add(stream, [this, buffer, host, bytes](const Error* error) {
    if (!error) std::memcpy(host, buffer.memory.get(), bytes);
    giveBack(buffer);
  });
}

Staging::Pinned Staging::takeForDownload(int64_t bytes) {
  const int64_t size = sizeFor(bytes);
  std::unique_lock lock(mutex_);
  for (;;) {
    for (Pinned& buffer : free_) {
      if (buffer.bytes < size) continue;
      std::swap(buffer, free_.back());
      const Pinned found = free_.back();
      free_.pop_back();
      return found;
    }
    if (pinned_ == 0 || pinned_ + size <= kMostPinned) break;
    if (free_.empty()) {
      given_.wait(lock);  // waits until a download ends
      continue;
    }
    pinned_ -= free_.back().bytes;  // this buffer is too small
    free_.pop_back();
  }
  Pinned fresh;
  fresh.memory = pinned(size);
  fresh.bytes = size;
  pinned_ += size;
  return fresh;
}

void Staging::giveBack(Pinned buffer) {
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(buffer);
  }
  given_.notify_one();
}

}  // namespace lxmert::cuda
