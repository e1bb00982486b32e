// A CUDA device. The engine uses it as a Device. Kernels use its stream, its scratch space, and the bf16 copy of the
// parameters.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "cuda/completions.h"
#include "cuda/gemm.h"
#include "cuda/lanes.h"
#include "cuda/platform.h"
#include "cuda/staging.h"
#include "cuda/streams.h"
#include "engine/device.h"

namespace lxmert::cuda {

// Properties of the GPU.
struct Limits {
  int multiprocessors;
  int64_t sharedBytes;  // shared memory that one block may request
};

class CudaDevice final : public Device {
 public:
  // Throws NoDevice. freeMultiprocessors: DeviceOptions.
  CudaDevice(int ordinal, Precision precision, int freeMultiprocessors = 0);
  ~CudaDevice() override;

  void claim(const ArenaSizes& sizes) override;
  char* allocate(ArenaId arena, int64_t bytes) override;
  void release(char* memory, int64_t bytes) override;
  void begin() override;
  void enterLane(int lane) override { lanes_.enter(lane); }
  std::shared_ptr<char> hostMemory(int64_t bytes) override;
  void copyIn(char* device, const HostBytes& host) override;
  void copyInAhead(char* device, const HostBytes& host) override;
  void copyOut(char* host, const char* device, int64_t bytes) override;
  void after(Done done) override;
  void wait() override;
  std::unique_ptr<Captured> capture(const std::function<void()>& work) override;
  void addFloats(float* target, const float* a, const float* b, int64_t size) override;
  void copyFloats(float* target, const float* source, int64_t size) override;
  void finishNorm(Span<const float> squares, Span<const float> sums, float* norm) override;
  std::shared_ptr<RankSums> rankSums(const RankGroup& group) override;
  const OpColumn& ops() const override { return column_; }
  Precision precision() const override { return precision_; }
  DType activations() const override { return precision_ == Precision::BFloat16 ? DType::BF16 : DType::F32; }
  std::string name() const override { return "cuda"; }

  // The following members are for kernels, on the engine's thread.
  cudaStream_t stream() const { return lanes_.stream(); }
  bool mark(cudaEvent_t main, cudaEvent_t side) const { return lanes_.mark(main, side); }
  int freeMultiprocessors() const { return freeMultiprocessors_; }
  const Limits& limits() const { return limits_; }
  // Enqueues a matrix product on the stream above.
  void multiply(const Gemm& gemm) { gemms_->run(stream(), scratch<char>(gemms_->workspaceBytes()), gemm); }
  // Device memory, aligned to 256 bytes, that an op may use until its kernels have run. An op may call this several
  // times.
  template <class T>
  T* scratch(int64_t elements) {
    return reinterpret_cast<T*>(lanes_.scratch().take(stream(), elements * static_cast<int64_t>(sizeof(T))));
  }
  // The place in the bf16 copy that belongs to a place in the parameter arena. Null in float32 precision, and for any
  // other place. Every kernel that writes parameters must write this copy, too.
  bf16* shadow(const float* master) const;
  // The place of a parameter for products with elements of type T: the place itself for float, its bf16 copy for bf16.
  template <class T>
  const T* weights(const float* master) const {
    if constexpr (sizeof(T) == sizeof(float))
      return master;
    else
      return shadow(master);
  }
  // Frees the scratch space of an op for the next one.
  void endOp() { lanes_.scratch().reset(); }

 private:
  struct Block {
    char* base;
    int64_t bytes;
  };
  void use() const;
  void updateShadow(const char* device, int64_t bytes);
  int64_t bytesFor(ArenaId arena, int64_t bytes) const;

  const int ordinal_;
  const Precision precision_;
  Limits limits_{};
  const int freeMultiprocessors_;
  OpColumn column_;
  const Stream stream_, captured_, ahead_;
  const Event fence_;   // recorded at each copy ahead, after all work that was enqueued before it
  const Event copied_;  // recorded after the last copy ahead
  const std::unique_ptr<Gemms> gemms_;
  Lanes lanes_{stream_};
  Staging staging_;
  mutable std::mutex mutex_;  // guards the members below
  bool zeroing_ = false;      // whether filling an arena with zeros was enqueued after the last copy ahead
  std::vector<Block> allocated_;
  std::vector<Block> parameters_;  // arenas that are followed by a bf16 copy; `bytes` does not include the copy
  int64_t held_ = 0;
  std::unique_ptr<Completions> completions_;  // must be the last member, because its thread uses the members above
};

inline CudaDevice& cudaOf(Device& device) { return static_cast<CudaDevice&>(device); }

// Calls body(float{}) or body(bf16{}): kernels are templates over the type of activations.
template <class Body>
void withType(DType dtype, Body&& body) {
  if (dtype == DType::BF16)
    body(bf16{});
  else
    body(float{});
}

}  // namespace lxmert::cuda
