// A launch: a kernel for each thread of each block of a grid. Blocks run on OpenMP's threads, in a random order.
#pragma once

#include <functional>
#include <memory>
#include <tuple>

#include "cuda/emulator/block.h"
#include "cuda/emulator/runtime.h"

namespace lxmert::emulator {

// The largest shared memory of a block on compute capability 12.0. All other supported devices have more.
constexpr size_t kMostSharedBytes = 99 * 1024;

// The value of LXMERT_EMULATOR_SEED.
uint64_t seedOfProcess();
// Whether the device has failed (LXMERT_EMULATOR_BREAKS_AT). After that it refuses all later calls, as a GPU does.
bool isLost();

// Enqueues the launch, or records it if its stream is being captured. Throws Error for a launch that a device would
// refuse. If a block has an error, the stream fails.
void enqueue(cudaStream_t stream, const Launch& launch, std::shared_ptr<void> arguments);

template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t sharedBytes,
            cudaStream_t stream, Arguments&&... arguments) {
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  };
  auto call = std::make_shared<Call>(
      Call{kernel, std::tuple<Parameters...>(static_cast<Parameters>(std::forward<Arguments>(arguments))...)});
  const auto run = [](const void* memory) {
    const Call& c = *static_cast<const Call*>(memory);
    std::apply(c.kernel, c.arguments);
  };
  enqueue(stream, {name, run, call.get(), grid, block, sharedBytes}, call);
}

}  // namespace lxmert::emulator
