#include "cuda/emulator/runtime.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "cuda/emulator/fiber.h"
#include "cuda/emulator/launch.h"
#include "cuda/emulator/streams.h"
#include "cuda/emulator/trace.h"
#include "cuda/emulator/uses.h"

using namespace lxmert::emulator;

namespace {

constexpr size_t kAlignment = 256;
// The number of guard bytes after each allocation, which must not change. The address sanitizer adds its own guard
// bytes, so with it the number is 0.
constexpr size_t kBehind = LXMERT_ASAN ? 0 : 256;
constexpr unsigned char kBehindByte = 0xA5;
constexpr int kCapability[2] = {12, 0};  // the supported capability with the least shared memory
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

// The last error of this thread. The next query returns it, even if other calls have succeeded since.
thread_local cudaError_t lastError = cudaSuccess;

cudaError_t told(cudaError_t status) {
  if (status != cudaSuccess) lastError = status;
  return status;
}

// Memory of the device: 8 GB, or half of this machine's memory if that is less.
size_t totalMemory() {
  const size_t physical = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return std::min(size_t{8} << 30, physical / 2);
}

}  // namespace

cudaError_t cudaGetLastError() { return std::exchange(lastError, cudaSuccess); }

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
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureMerge:
      return "cudaErrorStreamCaptureMerge";
    case cudaErrorStreamCaptureUnmatched:
      return "cudaErrorStreamCaptureUnmatched";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    case cudaErrorStreamCaptureImplicit:
      return "cudaErrorStreamCaptureImplicit";
    case cudaErrorCapturedEvent:
      return "cudaErrorCapturedEvent";
    case cudaErrorStreamCaptureWrongThread:
      return "cudaErrorStreamCaptureWrongThread";
  }
  return "cudaErrorUnknown";
}

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorIllegalAddress     ? "something wrote behind an allocation of the emulated device"
         : error == cudaErrorLaunchFailure    ? lxmert::emulator::failureSeen()
         : error == cudaErrorMemoryAllocation ? "out of memory of the emulated device"
                                              : "refused by the emulated device";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (isLost()) return told(cudaErrorLaunchFailure);
  return told(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  *properties = {"emulated on the CPU", kCapability[0], kCapability[1], totalMemory(), kMostSharedBytes, 4};
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int device) {
  *value = 0;
  return told(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (isLost()) return told(cudaErrorLaunchFailure);
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  *total = totalMemory();
  *free = *total - m.held;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** result, size_t bytes) {
  *result = nullptr;
  if (const cudaError_t refused = refusedInCapture(); refused != cudaSuccess) return refused;
  if (isLost()) return told(cudaErrorLaunchFailure);
  if (bytes == 0) return cudaSuccess;
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  if (bytes > totalMemory() - m.held || posix_memalign(result, kAlignment, bytes + kBehind) != 0) {
    *result = nullptr;
    return told(cudaErrorMemoryAllocation);
  }
  std::memset(*result, 0xFF, bytes);
  std::memset(static_cast<char*>(*result) + bytes, kBehindByte, kBehind);
  if constexpr (kRacecheck) watch(*result, bytes);
  m.bytes[*result] = bytes;
  m.held += bytes;
  return cudaSuccess;
}

// CUDA's documents do not say whether cudaFree waits for running work. This function first fills the memory with NaN,
// so that running work reads NaN, and then waits for that work.
cudaError_t cudaFree(void* address) {
  if (const cudaError_t refused = refusedInCapture(); refused != cudaSuccess) return refused;
  if (!address) return cudaSuccess;
  Memory& m = memory();
  {
    const std::lock_guard lock(m.mutex);
    const auto found = m.bytes.find(address);
    if (found == m.bytes.end()) return told(cudaErrorInvalidValue);
    std::memset(address, 0xFF, found->second);
  }
  drain();
  const std::lock_guard lock(m.mutex);
  const auto found = m.bytes.find(address);
  const auto* behind = static_cast<unsigned char*>(address) + found->second;
  const bool whole = std::all_of(behind, behind + kBehind, [](unsigned char byte) { return byte == kBehindByte; });
  m.held -= found->second;
  m.bytes.erase(found);
  if constexpr (kRacecheck) unwatch(address);
  std::free(address);
  return told(whole ? cudaSuccess : cudaErrorIllegalAddress);
}

cudaError_t cudaMallocHost(void** result, size_t bytes) {
  *result = nullptr;
  if (const cudaError_t refused = refusedInCapture(); refused != cudaSuccess) return refused;
  *result = std::malloc(std::max<size_t>(bytes, 1));
  return told(*result ? cudaSuccess : cudaErrorMemoryAllocation);
}

// CUDA's reference allows null for cudaFree, but not for cudaFreeHost.
cudaError_t cudaFreeHost(void* address) {
  if (const cudaError_t refused = refusedInCapture(); refused != cudaSuccess) return refused;
  if (!address) return told(cudaErrorInvalidValue);
  std::free(address);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  trace("copy");
  return submit(stream, [=] {
    noteWhole("a copy", Use::Read, from, bytes);
    noteWhole("a copy", Use::Write, to, bytes);
    std::memcpy(to, from, bytes);
  });
}

cudaError_t cudaMemsetAsync(void* address, int value, size_t bytes, cudaStream_t stream) {
  trace("fill");
  return submit(stream, [=] {
    noteWhole("a memset", Use::Write, address, bytes);
    std::memset(address, value, bytes);
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t refused = refusedInCapture();
  return refused == cudaSuccess ? cudaMemcpyAsync(to, from, bytes, kind) : refused;
}

cudaError_t cudaMemset(void* address, int value, size_t bytes) {
  const cudaError_t refused = refusedInCapture();
  return refused == cudaSuccess ? cudaMemsetAsync(address, value, bytes) : refused;
}

cudaError_t cudaDeviceSynchronize() {
  const cudaError_t refused = refusedInCapture();
  if (refused == cudaSuccess) drain();
  return refused;
}
