// Turns errors of the CUDA runtime into errors of the engine.
#pragma once

#include <string>

#include "cuda/platform.h"
#include "engine/error.h"

namespace lxmert::cuda {

// Throws if a call failed. `what` names the operation for the message. After a kernel has failed, every later call of
// this process fails, so the process must end.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const std::string reason = std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // clears the error, because the device can still be used after it
    throw Error(ErrorCode::OutOfMemory, std::string("the GPU has no memory left for ") + what + " (" + reason + ")");
  }
  throw Error(ErrorCode::Internal, std::string("CUDA failed at ") + what + ": " + reason + kDeviceIsLost);
}

}  // namespace lxmert::cuda
