// Streams that know nothing of the default one, and events for order alone.
#pragma once

#include "cuda/check.h"

namespace lxmert::cuda {

inline cudaStream_t newStream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
  return stream;
}

inline cudaEvent_t newEvent() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event");
  return event;
}

}  // namespace lxmert::cuda
