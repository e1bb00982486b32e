// Streams and events, destroyed with their owner. The streams do not synchronize with the default stream; the events
// are for order only, not for timing.
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
