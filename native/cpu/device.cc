#include "cpu/device.h"

#include <omp.h>
#include <sys/mman.h>

#include <cstring>

#include "cpu/kernels.h"

namespace lxmert::cpu {

namespace {

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(int threads) : threads_(threads > 0 ? threads : omp_get_num_procs()) {
#define OP(name, Args) column_.name = cpu::name;
    LXMERT_OPS(OP)
#undef OP
  }

  // Fresh pages: zero, and taken from memory only as they are touched.
  char* allocate(int64_t bytes) override {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      throw Error(ErrorCode::OutOfMemory, "cannot allocate " + std::to_string(bytes >> 20) + " MiB");
    madvise(memory, bytes, MADV_HUGEPAGE);
    return static_cast<char*>(memory);
  }
  void release(char* memory, int64_t bytes) override { munmap(memory, bytes); }

  void begin() override { omp_set_num_threads(threads_); }
  void copyIn(char* device, const char* host, int64_t bytes) override { std::memcpy(device, host, bytes); }
  void copyOut(char* host, const char* device, int64_t bytes) override { std::memcpy(host, device, bytes); }

  const OpColumn& ops() const override { return column_; }
  std::string name() const override { return "cpu"; }

 private:
  int threads_;
  OpColumn column_;
};

}  // namespace

std::unique_ptr<Device> createDevice(int threads) { return std::make_unique<CpuDevice>(threads); }

}  // namespace lxmert::cpu
