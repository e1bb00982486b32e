// Turns errors of the CUDA runtime into ours.
#pragma once

#include <string>

#include "cuda/platform.h"
#include "engine/error.h"

namespace lxmert::cuda {

// Throws when a call failed. `what` says what was being done. After a kernel has failed every later call fails, too;
// only ending the process helps then.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const std::string reason = std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // clears the error, which does not stop the device
    throw Error(ErrorCode::OutOfMemory, std::string("the GPU has no memory left for ") + what + " (" + reason + ")");
  }
  throw Error(ErrorCode::Internal, std::string("CUDA failed at ") + what + ": " + reason + kDeviceIsLost);
}

}  // namespace lxmert::cuda
