#include "cuda/device.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <sstream>
#include <utility>

#include "cuda/convert.h"
#include "cuda/float_sums.h"
#include "cuda/graph.h"
#include "cuda/kernels.h"
#include "cuda/nccl_sums.h"
#include "cuda/probe.h"

namespace lxmert::cuda {

namespace {

constexpr int64_t kAlignment = 256;
constexpr std::array<const char*, kArenas> kArenaNames = {"parameters", "gradients", "state",
                                                          "inputs",     "workspace", "features"};

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

std::string gibibytes(int64_t bytes) {
  std::ostringstream text;
  text.precision(3);
  text << static_cast<double>(bytes) / (int64_t{1} << 30) << " GiB";
  return text.str();
}

}  // namespace

CudaDevice::CudaDevice(int ordinal, Precision precision, int freeMultiprocessors)
    : ordinal_(ordinal),
      precision_(precision),
      limits_(findGpu(ordinal).limits),
      freeMultiprocessors_(std::clamp(freeMultiprocessors, 0, limits_.multiprocessors - 1)),
      gemms_(openGemms(freeMultiprocessors_ > 0 ? limits_.multiprocessors - freeMultiprocessors_ : 0)) {
#define OP(name, Args)                               \
  column_.name = [](Device& device, const Args& a) { \
    cuda::name(device, a);                           \
    cudaOf(device).endOp();                          \
  };
  LXMERT_OPS(OP)
#undef OP
  completions_ = std::make_unique<Completions>(ordinal);
}

// Errors of a failed device are ignored: nothing can be done about them here.
CudaDevice::~CudaDevice() {
  cudaSetDevice(ordinal_);
  // The callbacks of the completions own memory from which the device may still be copying.
  cudaStreamSynchronize(stream_);
  cudaStreamSynchronize(ahead_);
  completions_.reset();
}

void CudaDevice::use() const { check(cudaSetDevice(ordinal_), "choosing the GPU"); }

// The bf16 copy of the parameters begins where the parameters end.
int64_t CudaDevice::bytesFor(ArenaId arena, int64_t bytes) const {
  const bool copied = arena == ArenaId::Parameters && precision_ == Precision::BFloat16;
  return copied ? aligned(bytes) + bytes / 2 : bytes;
}

void CudaDevice::claim(const ArenaSizes& sizes) {
  int64_t wanted = 0;
  std::string each;
  for (int i = 0; i < kArenas; ++i) {
    const int64_t bytes = bytesFor(static_cast<ArenaId>(i), sizes[i]);
    wanted += bytes;
    if (bytes > 0) each += std::string(each.empty() ? "" : ", ") + kArenaNames[i] + ' ' + gibibytes(bytes);
  }
  if (wanted == 0) return;  // the query below fails on a device that has failed
  use();
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "asking how much memory is free");
  const std::lock_guard lock(mutex_);
  const int64_t available = static_cast<int64_t>(free) + held_;
  if (wanted > std::max(available, held_))
    throw Error(ErrorCode::OutOfMemory,
                "arenas of " + gibibytes(wanted) + " do not fit (" + each + "): of the GPU's " +
                    gibibytes(static_cast<int64_t>(total)) + ", " + gibibytes(available) +
                    " are free; take a smaller batch or micro-batch, bfloat16, or a smaller model");
}

char* CudaDevice::allocate(ArenaId arena, int64_t bytes) {
  const int64_t all = bytesFor(arena, bytes);
  use();
  char* memory = nullptr;
  check(cudaMalloc(reinterpret_cast<void**>(&memory), all),
        (std::string("the ") + kArenaNames[static_cast<int>(arena)] + " arena of " + gibibytes(all)).c_str());
  if (const cudaError_t status = cudaMemsetAsync(memory, 0, all, stream_); status != cudaSuccess) {
    cudaFree(memory);
    check(status, "zeroing an arena");
  }
  const std::lock_guard lock(mutex_);
  zeroing_ = true;
  held_ += all;
  allocated_.push_back({memory, all});
  if (all > bytes) parameters_.push_back({memory, bytes});
  return memory;
}

// Waits for the work that may use this memory. cudaFree may wait, too, but its documentation does not guarantee this.
void CudaDevice::release(char* memory, int64_t) {
  cudaSetDevice(ordinal_);
  lanes_.settle();
  cudaStreamSynchronize(ahead_);
  cudaFree(memory);
  const std::lock_guard lock(mutex_);
  const auto at = [&](const Block& block) { return block.base == memory; };
  held_ -= std::find_if(allocated_.begin(), allocated_.end(), at)->bytes;
  std::erase_if(allocated_, at);
  std::erase_if(parameters_, at);
}

void CudaDevice::begin() { use(); }

bf16* CudaDevice::shadow(const float* master) const {
  const char* place = reinterpret_cast<const char*>(master);
  const std::lock_guard lock(mutex_);
  for (const Block& block : parameters_)
    if (place >= block.base && place < block.base + block.bytes)
      return reinterpret_cast<bf16*>(block.base + aligned(block.bytes)) + (place - block.base) / sizeof(float);
  return nullptr;
}

std::shared_ptr<char> CudaDevice::hostMemory(int64_t bytes) {
  use();
  return pinned(bytes);
}

void CudaDevice::copyIn(char* device, const HostBytes& host) {
  lanes_.leave();
  staging_.upload(stream_, device, host);
  updateShadow(device, host.size);
}

// The copy waits for work that was enqueued before the previous copy of this kind, and, if an arena is new, until it is
// filled with zeros. All work that is enqueued later waits for the copy.
void CudaDevice::copyInAhead(char* device, const HostBytes& host) {
  lanes_.leave();
  bool zeroing;
  {
    const std::lock_guard lock(mutex_);
    zeroing = std::exchange(zeroing_, false);
  }
  if (zeroing) check(cudaEventRecord(fence_, stream_), "an upload");
  check(cudaStreamWaitEvent(ahead_, fence_, 0), "an upload");
  check(cudaEventRecord(fence_, stream_), "an upload");
  staging_.upload(ahead_, device, host);
  check(cudaEventRecord(copied_, ahead_), "an upload");
  check(cudaStreamWaitEvent(stream_, copied_, 0), "an upload");
  updateShadow(device, host.size);
}

void CudaDevice::updateShadow(const char* device, int64_t bytes) {
  const auto* first = reinterpret_cast<const float*>(device - reinterpret_cast<uintptr_t>(device) % sizeof(float));
  bf16* copy = shadow(first);
  if (!copy) return;
  const int64_t span = device + bytes - reinterpret_cast<const char*>(first);
  convertToBf16(stream_, first, copy,
                (span + static_cast<int64_t>(sizeof(float)) - 1) / static_cast<int64_t>(sizeof(float)));
}

void CudaDevice::copyOut(char* host, const char* device, int64_t bytes) {
  lanes_.leave();
  staging_.download(stream_, *completions_, host, device, bytes);
}

void CudaDevice::after(Done done) {
  lanes_.leave();
  completions_->add(stream_, std::move(done));
}

// Captures on a separate stream, because other threads may enqueue work on the device's stream: they fill arenas with
// zeros.
std::unique_ptr<Captured> CudaDevice::capture(const std::function<void()>& work) {
  lanes_.leave();
  struct Capture {
    Lanes& lanes;
    cudaStream_t before;
    ~Capture() { lanes.endCapture(before); }
  } capture{lanes_, stream_};
  return std::make_unique<Graph>(captured_, stream_, lanes_.beginCapture(captured_), work);
}

void CudaDevice::addFloats(float* target, const float* a, const float* b, int64_t size) {
  cuda::addFloats(stream(), target, a, b, size);
}

void CudaDevice::copyFloats(float* target, const float* source, int64_t size) {
  check(cudaMemcpyAsync(target, source, size * sizeof(float), cudaMemcpyDeviceToDevice, stream()), "copying floats");
}

std::shared_ptr<RankSums> CudaDevice::rankSums(const RankGroup& group) {
  return std::make_shared<NcclSums>(*this, group);
}

void CudaDevice::wait() { lanes_.wait(); }

}  // namespace lxmert::cuda
