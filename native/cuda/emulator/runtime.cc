#include "cuda/emulator/runtime.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "cuda/emulator/fiber.h"

struct EmulatedGraph {
  std::vector<std::function<void()>> work;
  std::vector<cudaStream_t> streams;  // that are being captured into it
};

struct EmulatedStream {
  EmulatedGraph* capture = nullptr;
};

struct EmulatedEvent {
  EmulatedGraph* capture = nullptr;  // recorded during it
  std::chrono::steady_clock::time_point time;
};

namespace {

constexpr size_t kAlignment = 256;
// Behind each allocation; the address sanitizer has zones of its own.
constexpr size_t kBehind = LXMERT_ASAN ? 0 : 256;
constexpr unsigned char kBehindByte = 0xA5;
constexpr int kCapability[2] = {12, 0};  // the one with the least shared memory
constexpr int kSharedBytes = 99 * 1024;
constexpr int kVersion = 13000;

struct Memory {
  std::mutex mutex;
  std::map<void*, size_t> bytes;
  size_t held = 0;
};

Memory& memory() {
  static Memory all;
  return all;
}

// Of the device: 8 GB, or half of what this machine has.
size_t totalMemory() {
  const size_t physical = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return std::min(size_t{8} << 30, physical / 2);
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
  }
  return "cudaErrorUnknown";
}

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorIllegalAddress     ? "something wrote behind an allocation of the emulated device"
         : error == cudaErrorMemoryAllocation ? "out of memory of the emulated device"
                                              : "refused by the emulated device";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  *properties = {"emulated on the CPU", kCapability[0], kCapability[1], totalMemory(), kSharedBytes, 4};
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  const cudaError_t status = cudaGetDeviceProperties(&properties, device);
  if (status != cudaSuccess) return status;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      return cudaSuccess;
  }
  return cudaErrorInvalidValue;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  *total = totalMemory();
  *free = *total - m.held;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** result, size_t bytes) {
  *result = nullptr;
  if (bytes == 0) return cudaSuccess;
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  if (bytes > totalMemory() - m.held || posix_memalign(result, kAlignment, bytes + kBehind) != 0) {
    *result = nullptr;
    return cudaErrorMemoryAllocation;
  }
  std::memset(*result, 0xFF, bytes);
  std::memset(static_cast<char*>(*result) + bytes, kBehindByte, kBehind);
  m.bytes[*result] = bytes;
  m.held += bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void* address) {
  if (!address) return cudaSuccess;
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  const auto found = m.bytes.find(address);
  if (found == m.bytes.end()) return cudaErrorInvalidValue;
  const auto* behind = static_cast<unsigned char*>(address) + found->second;
  const bool whole = std::all_of(behind, behind + kBehind, [](unsigned char byte) { return byte == kBehindByte; });
  m.held -= found->second;
  m.bytes.erase(found);
  std::free(address);
  return whole ? cudaSuccess : cudaErrorIllegalAddress;
}

cudaError_t cudaMallocHost(void** result, size_t bytes) {
  *result = std::malloc(std::max<size_t>(bytes, 1));
  return *result ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void* address) {
  std::free(address);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  *stream = new EmulatedStream;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return stream && stream->capture ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

// A stream that waits for an event of a capture takes part in it.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  if (event->capture && stream->capture != event->capture) {
    stream->capture = event->capture;
    event->capture->streams.push_back(stream);
  }
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  *event = new EmulatedEvent;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->capture = stream ? stream->capture : nullptr;
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return event->capture ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  lxmert::emulator::submit(stream, [=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* address, int value, size_t bytes, cudaStream_t stream) {
  lxmert::emulator::submit(stream, [=] { std::memset(address, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream || stream->capture) return cudaErrorInvalidValue;
  stream->capture = new EmulatedGraph{{}, {stream}};
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->capture;
  if (!*graph) return cudaErrorInvalidValue;
  for (cudaStream_t captured : (*graph)->streams) captured->capture = nullptr;
  (*graph)->streams.clear();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new EmulatedGraph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const auto& work : executable->work) lxmert::emulator::submit(stream, work);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return cudaGraphDestroy(executable); }

namespace lxmert::emulator {

void submit(cudaStream_t stream, std::function<void()> work) {
  if (stream && stream->capture)
    stream->capture->work.push_back(std::move(work));
  else
    work();
}

}  // namespace lxmert::emulator
