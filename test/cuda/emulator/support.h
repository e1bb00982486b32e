// Shared by the programs of this folder: checks, random numbers, arrays on the device.
#pragma once

#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cuda/platform.h"

inline int failures = 0;

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                               \
    }                                                                           \
  } while (0)

using Test = std::pair<const char*, void (*)()>;

// Runs the tests whose names begin with the argument.
inline int runTests(const std::vector<Test>& tests, const std::string& only = "") {
  for (const auto& [name, test] : tests) {
    if (std::string(name).rfind(only, 0) != 0) continue;
    const int before = failures;
    try {
      test();
    } catch (const std::exception& error) {
      std::printf("%s\n", error.what());
      ++failures;
    }
    std::printf("%s %s\n", failures == before ? "ok" : "FAILED", name);
  }
  return failures == 0 ? 0 : 1;
}

inline std::mt19937& generator() {
  static std::mt19937 numbers(7);
  return numbers;
}

inline float randomFloat(float limit = 1) { return std::uniform_real_distribution<float>(-limit, limit)(generator()); }

inline int randomBelow(int n) { return std::uniform_int_distribution<int>(0, n - 1)(generator()); }

// An array on the device. Without values it has the contents of new memory.
template <class T>
class Array {
 public:
  explicit Array(size_t size) : size_(size) { CHECK(cudaMalloc(&data_, size * sizeof(T)) == cudaSuccess); }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice);
  }
  ~Array() { CHECK(cudaFree(data_) == cudaSuccess); }
  Array(const Array&) = delete;

  T* data() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> values(size_);
    CHECK(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return values;
  }

 private:
  size_t size_;
  T* data_ = nullptr;
};

struct Stream {
  cudaStream_t handle;
  Stream() { cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking); }
  ~Stream() { cudaStreamDestroy(handle); }
  operator cudaStream_t() const { return handle; }
};

struct Event {
  cudaEvent_t handle;
  Event() { cudaEventCreateWithFlags(&handle, cudaEventDisableTiming); }
  ~Event() { cudaEventDestroy(handle); }
  operator cudaEvent_t() const { return handle; }
};
