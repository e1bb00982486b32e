// Compares the CUDA kernels with the CPU's kernels, then measures their times and the device's own rates. Does not need
// Node.
//   kernels [--check] [--displaced] [--only NAME] [--bench] [--json FILE] [--once]
// Without --check, --displaced, --bench and --once the program does --check and --bench. The exit code is 1 when a
// kernel is wrong.
//   --check      compares the kernels
//   --displaced  compares with tensors that begin one element after an aligned address
//   --only       restricts --check and --once to the ops whose names begin with NAME
//   --bench      measures
//   --json       also writes the measurements to FILE
//   --once       calls each op of a small step once, for a program that observes it (scripts/check-traffic.mjs, a profiler)
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "cases.h"
#include "cuda/device.h"
#include "cuda/probe.h"

namespace lxmert::bench {

namespace {

using cuda::CudaDevice;

// The largest allowed ‖device - host‖ / ‖host‖.
constexpr double kTolerance[] = {1e-5, 1e-2};
constexpr double kSecondsOfACase = 0.02;
constexpr Precision kPrecisions[] = {Precision::Float32, Precision::BFloat16};

const char* nameOf(Precision precision) { return precision == Precision::BFloat16 ? "bfloat16" : "float32"; }

// Small shapes with unusual cases: some samples have no tokens or no objects, and some rows belong to no sample.
constexpr Shape kChecked[] = {
    {5, 20, 36, 3, 64, 200, 100, 1003, 40'000, true},
    {4, 12, 36, 2, 32, 128, 64, 500, 16'384, true},
    {3, 128, 128, 1, 128, 96, 33, 97, 5'000, true},
};

// The base model with batches of pre-training.
Shape baseShape(int64_t batch, int64_t tokens) {
  return {batch, tokens, 36, 12, 64, 3072, 2048, 30'522, 64 << 20, false};
}

// The base model with two samples, and with the smallest numbers of classes and parameters for which the kernels take
// the same paths as for the base model.
constexpr Shape kWatched{2, 12, 36, 12, 64, 3072, 2048, 4098, 1 << 19, false};

int check(bool displaced, const std::string& only) {
  int wrong = 0, right = 0;
  for (const Precision precision : kPrecisions) {
    CudaDevice device(0, precision);
    device.begin();
    for (const Shape& shape : kChecked)
      for (const Case& c : casesOf(shape)) {
        if (c.name.rfind(only, 0) != 0) continue;
        Tensors tensors(device, device.activations(), displaced);
        std::string problem;
        try {
          const auto onHost = c.bind(tensors, device, hostColumn());
          tensors.moveToDevice();
          c.bind(tensors, device, device.ops())();
          device.wait();
          onHost();
          const auto [error, tensor] = tensors.compare();
          if (!(error <= kTolerance[precision == Precision::BFloat16]))
            problem = "differs by " + std::to_string(error) + " in tensor " + std::to_string(tensor);
        } catch (const Error& error) {
          problem = error.what();
        }
        ++(problem.empty() ? right : wrong);
        if (!problem.empty())
          std::printf("WRONG %s %s, %ld tokens, head dimension %ld: %s\n", c.name.c_str(), nameOf(precision),
                      static_cast<long>(shape.tokens), static_cast<long>(shape.headDim), problem.c_str());
      }
  }
  std::printf("%d kernels right, %d wrong\n", right, wrong);
  return wrong;
}

// Calls each op once. Prints a line of JSON before each call, with the bytes that the op must move, and a line after
// it.
void once(const std::string& only) {
  for (const Precision precision : kPrecisions) {
    CudaDevice device(0, precision);
    device.begin();
    for (const Case& c : casesOf(kWatched)) {
      if (c.name.rfind(only, 0) != 0) continue;
      Tensors tensors(device, device.activations());
      c.bind(tensors, device, OpColumn{});
      tensors.moveToDevice();
      std::printf("{\"op\": \"%s\", \"precision\": \"%s\", \"bytes\": %ld}\n", c.name.c_str(), nameOf(precision),
                  static_cast<long>(tensors.bytes()));
      std::fflush(stdout);
      c.bind(tensors, device, device.ops())();
      device.wait();
      std::printf("{\"op\": null}\n");
    }
  }
}

// The shortest time of a call in three runs, in seconds. The work and both events are in one stream.
template <class Work>
double secondsOf(cudaStream_t stream, Work&& work) {
  cudaEvent_t begin, end;
  cuda::check(cudaEventCreate(&begin), "an event");
  cuda::check(cudaEventCreate(&end), "an event");
  const auto time = [&](int calls) {
    cuda::check(cudaEventRecord(begin, stream), "timing");
    for (int i = 0; i < calls; ++i) work();
    cuda::check(cudaEventRecord(end, stream), "timing");
    cuda::check(cudaEventSynchronize(end), "timing");
    float milliseconds = 0;
    cuda::check(cudaEventElapsedTime(&milliseconds, begin, end), "timing");
    return milliseconds * 1e-3 / calls;
  };
  time(2);
  const int calls = std::clamp(static_cast<int>(kSecondsOfACase / std::max(time(2), 1e-7)), 1, 2000);
  double least = time(calls);
  for (int i = 0; i < 2; ++i) least = std::min(least, time(calls));
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return least;
}

// The rate of the device's own copy, in bytes per second. Bytes read and bytes written both count.
double copyRate(CudaDevice& device) {
  constexpr int64_t kBytes = int64_t{1} << 29;
  char* memory = device.allocate(ArenaId::Workspace, 2 * kBytes);
  const double seconds = secondsOf(device.stream(), [&] {
    cuda::check(cudaMemcpyAsync(memory + kBytes, memory, kBytes, cudaMemcpyDeviceToDevice, device.stream()), "a copy");
  });
  device.release(memory, 2 * kBytes);
  return 2 * kBytes / seconds;
}

// The rate of cuBLASLt's product of two large square matrices, in floating-point operations per second.
double productRate(CudaDevice& device) {
  constexpr int64_t n = 8192;
  constexpr int64_t elements = n * n, bytes = elements * sizeof(float);
  const DType type = device.activations();
  char* operands = device.allocate(ArenaId::Parameters, 2 * bytes);
  char* result = device.allocate(ArenaId::Workspace, bytes);
  // Equal values need less power, and would make a GPU look faster than it is.
  auto* masters = reinterpret_cast<float*>(operands);
  device.ops().fillNormal(device, {1, 0, 0, {masters, 2 * elements}});
  const auto operand = [&](const float* master) -> const void* {
    return type == DType::BF16 ? static_cast<const void*>(device.shadow(master)) : master;
  };
  const double seconds = secondsOf(device.stream(), [&] {
    device.multiply({n, n, n, false, true, type, type, operand(masters), operand(masters + elements), result});
    device.endOp();
  });
  device.release(operands, 2 * bytes);
  device.release(result, bytes);
  return 2.0 * n * n * n / seconds;
}

struct Line {
  std::string name, precision;
  int64_t batch, tokens;
  double seconds, bytes, flops, copyShare, productShare;
  bool cached;  // whether all operands fit into the device's cache, so that repeated calls read them from there
};

int64_t cacheBytes() {
  int bytes = 0;
  cuda::check(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, 0), "asking for the size of the cache");
  return bytes;
}

void writeJson(const char* path, const std::string& rates, const std::vector<Line>& lines) {
  std::ofstream file(path);
  file << "{\"device\": \"" << cuda::describe(cuda::findGpu(0)) << "\", \"rates\": {" << rates << "}, \"kernels\": [";
  for (const Line& l : lines)
    file << (&l == lines.data() ? "\n" : ",\n") << "{\"kernel\": \"" << l.name << "\", \"precision\": \"" << l.precision
         << "\", \"batch\": " << l.batch << ", \"tokens\": " << l.tokens << ", \"seconds\": " << l.seconds
         << ", \"bytes\": " << l.bytes << ", \"flops\": " << l.flops << ", \"copyShare\": " << l.copyShare
         << ", \"productShare\": " << l.productShare << ", \"cached\": " << (l.cached ? "true" : "false") << "}";
  file << "\n]}\n";
}

// Writes the whole file again after each batch size. So if a run is stopped early, the file has the results of the
// finished batch sizes.
void bench(const char* json) {
  std::vector<Line> lines;
  std::string rates;
  for (const Precision precision : {Precision::BFloat16, Precision::Float32}) {
    CudaDevice device(0, precision);
    device.begin();
    const double copies = copyRate(device), products = productRate(device);
    char text[200];
    std::snprintf(text, sizeof text, "%s\"%s\": {\"copyBytesPerSecond\": %.4g, \"productFlopsPerSecond\": %.4g}",
                  rates.empty() ? "" : ", ", nameOf(precision), copies, products);
    rates += text;
    std::printf("\n* all operands fit into the cache, which may be faster than copies in memory");
    std::printf("\n%s: copies %.0f GB/s, products %.1f TFLOP/s\n", nameOf(precision), copies * 1e-9, products * 1e-12);
    std::printf("%-40s %6s %6s %10s %10s %10s %7s %8s\n", "kernel", "batch", "tokens", "us", "MB", "GFLOP", "of copy",
                "of prod.");
    const bool all = precision == Precision::BFloat16;  // float32 is only for parity, so its speed is not measured
    for (const int64_t batch : all ? std::vector<int64_t>{32, 128, 256, 512, 1024} : std::vector<int64_t>{256}) {
      for (const int64_t tokens : {12, 20})
        for (const Case& c : casesOf(baseShape(batch, tokens))) {
          Tensors tensors(device, device.activations());
          c.bind(tensors, device, OpColumn{});
          tensors.moveToDevice();
          const double seconds = secondsOf(device.stream(), c.bind(tensors, device, device.ops()));
          const auto bytes = static_cast<double>(tensors.bytes());
          lines.push_back({c.name, nameOf(precision), batch, tokens, seconds, bytes, c.flops, bytes / seconds / copies,
                           c.flops / seconds / products, bytes <= static_cast<double>(cacheBytes())});
          const Line& l = lines.back();
          std::printf("%-40s %6ld %6ld %10.1f %10.2f %10.2f %6.0f%%%s %6.0f%%\n", l.name.c_str(),
                      static_cast<long>(batch), static_cast<long>(tokens), seconds * 1e6, bytes * 1e-6, c.flops * 1e-9,
                      100 * l.copyShare, l.cached ? "*" : " ", 100 * l.productShare);
        }
      std::fflush(stdout);
      if (json) writeJson(json, rates, lines);
    }
  }
}

int run(int count, char** words) {
  bool checks = false, benches = false, displaced = false, watched = false;
  const char *json = nullptr, *only = "";
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(words[i], "--check") == 0) {
      checks = true;
    } else if (std::strcmp(words[i], "--displaced") == 0) {
      checks = displaced = true;
    } else if (std::strcmp(words[i], "--only") == 0 && i + 1 < count) {
      only = words[++i];
    } else if (std::strcmp(words[i], "--bench") == 0) {
      benches = true;
    } else if (std::strcmp(words[i], "--once") == 0) {
      watched = true;
    } else if (std::strcmp(words[i], "--json") == 0 && i + 1 < count) {
      json = words[++i];
    } else {
      std::fprintf(stderr, "usage: kernels [--check] [--displaced] [--only NAME] [--bench] [--json FILE] [--once]\n");
      return 2;
    }
  }
  std::printf("%s\n", cuda::describe(cuda::findGpu(0)).c_str());
  if (watched) once(only);
  if (!checks && !benches && !watched) checks = benches = true;
  if (checks && check(displaced, only) > 0) return 1;
  if (benches) bench(json);
  return 0;
}

}  // namespace

}  // namespace lxmert::bench

int main(int count, char** words) {
  try {
    return lxmert::bench::run(count, words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kernels: %s\n", error.what());
    return 1;
  }
}
