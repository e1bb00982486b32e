// The library's one C function. engine/plugin.h describes what it returns.
#include "engine/plugin.h"

#include "comm/nccl.h"
#include "cuda/device.h"
#include "cuda/probe.h"

namespace {

using namespace lxmert;

const Plugin kPlugin = {
    kPluginAbi,
    [](int ordinal) {
      const std::string gpu = cuda::describe(cuda::findGpu(ordinal));
      return gpu + ", " + cuda::openGemms(0)->name();
    },
    &nccl::describe,
    &nccl::makeId,
    [](const DeviceOptions& options) -> std::unique_ptr<Device> {
      // A launcher may show each rank only its own GPU, as number 0.
      int count = 0;
      const bool counted = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
      const int ordinal = counted ? options.ordinal % count : options.ordinal;
      return std::make_unique<cuda::CudaDevice>(ordinal, options.precision, options.freeMultiprocessors);
    },
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const Plugin* lxmertPlugin() { return &kPlugin; }
