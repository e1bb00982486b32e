#include "cuda/probe.h"

#include <sstream>

#include "cuda/gemm.h"

namespace lxmert::cuda {

namespace {

constexpr int kAnswer = 42;
constexpr int kLeastMajor = 8;  // the first compute capability with bf16 tensor cores and cp.async

__global__ void answer(int* out) { *out = kAnswer; }

[[noreturn]] void missing(const std::string& what) { throw Error(ErrorCode::NoDevice, what); }

std::string reasonOf(cudaError_t status) {
  return std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status);
}

std::string version(int number) { return std::to_string(number / 1000) + '.' + std::to_string(number % 1000 / 10); }

// Runs a very small kernel. Returns "", or the reason why the kernel does not run.
std::string tryKernel() {
  int* device = nullptr;
  int host = 0;
  cudaError_t status = cudaMalloc(reinterpret_cast<void**>(&device), sizeof(int));
  if (status != cudaSuccess) return reasonOf(status);
  std::string problem;
  try {
    LXMERT_LAUNCH(answer, dim3(1), dim3(1), 0, nullptr, device);
    status = cudaMemcpyAsync(&host, device, sizeof(int), cudaMemcpyDeviceToHost, nullptr);
    if (status == cudaSuccess) status = cudaStreamSynchronize(nullptr);
    if (status != cudaSuccess) problem = reasonOf(status);
  } catch (const Error& error) {
    problem = error.what();
  }
  cudaFree(device);
  if (problem.empty() && host != kAnswer) problem = "it computes wrong numbers";
  return problem;
}

}  // namespace

Gpu findGpu(int ordinal) {
  Gpu gpu{};
  cudaDriverGetVersion(&gpu.driver);
  cudaRuntimeGetVersion(&gpu.runtime);
  if (gpu.driver == 0)
    missing(
        "there is no NVIDIA driver (libcuda.so.1 is not found); a machine with an NVIDIA GPU gets it from its system's "
        "packages, a container by `docker run --gpus all`");
  int count = 0;
  const cudaError_t listed = cudaGetDeviceCount(&count);
  if (listed == cudaErrorInsufficientDriver)
    missing("the NVIDIA driver is too old: it supports CUDA " + version(gpu.driver) + ", this build needs " +
            version(gpu.runtime) + "; install a newer driver, or build with an older CUDA toolkit");
  if (listed == cudaErrorNoDevice || (listed == cudaSuccess && count == 0))
    missing("the NVIDIA driver sees no GPU; is CUDA_VISIBLE_DEVICES set to something that is not there?");
  if (listed != cudaSuccess) missing("the NVIDIA driver does not start: " + reasonOf(listed));
  if (ordinal >= count)
    missing("there is no GPU number " + std::to_string(ordinal) + ", only " + std::to_string(count) + " from 0 on");

  // This is checked before the GPU is used. If the check fails, `auto` uses the CPU, and in this case no memory of the
  // GPU should be reserved.
  requireGemms();

  cudaDeviceProp properties;
  cudaError_t status = cudaGetDeviceProperties(&properties, ordinal);
  if (status == cudaSuccess) status = cudaSetDevice(ordinal);
  if (status != cudaSuccess) missing("GPU " + std::to_string(ordinal) + " does not start: " + reasonOf(status));
  gpu.name = properties.name;
  gpu.major = properties.major;
  gpu.minor = properties.minor;
  gpu.memory = static_cast<int64_t>(properties.totalGlobalMem);
  gpu.limits = {properties.multiProcessorCount, static_cast<int64_t>(properties.sharedMemPerBlockOptin)};
  if (gpu.major < kLeastMajor)
    missing(gpu.name + " has compute capability " + std::to_string(gpu.major) + '.' + std::to_string(gpu.minor) +
            ", and 8.0 (Ampere) is the least that the kernels run on");
  const std::string problem = tryKernel();
  if (!problem.empty())
    missing(gpu.name + " is there, but does not run a kernel (" + problem +
            "); is the GPU newer than this build, or does another process use it exclusively?");
  return gpu;
}

std::string describe(const Gpu& gpu) {
  std::ostringstream text;
  text.precision(3);
  text << gpu.name << ", " << static_cast<double>(gpu.memory) / (int64_t{1} << 30) << " GiB, compute capability "
       << gpu.major << '.' << gpu.minor << ", driver for CUDA " << version(gpu.driver) << ", built with "
       << version(gpu.runtime);
  return text.str();
}

}  // namespace lxmert::cuda
