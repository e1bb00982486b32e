// Errors of the CUDA runtime as ours.
#pragma once

#include <string>

#include "cuda/platform.h"
#include "engine/error.h"

namespace lxmert::cuda {

// Throws when a call failed. `what` says what was being done. A failed kernel makes every later call fail, too: nothing
// can be done on the device then but to end the process.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const std::string reason = std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not a sticky one
    throw Error(ErrorCode::OutOfMemory, std::string("the GPU has no memory left for ") + what + " (" + reason + ")");
  }
  throw Error(ErrorCode::Internal, std::string("CUDA failed at ") + what + ": " + reason + kDeviceIsLost);
}

}  // namespace lxmert::cuda
