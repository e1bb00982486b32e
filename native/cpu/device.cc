#include "cpu/device.h"

#include <omp.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <mutex>
#include <numeric>
#include <sstream>
#include <string>

#include "cpu/kernels.h"
#include "cpu/packed_weights.h"
#include "cpu/product.h"

namespace lxmert::cpu {

namespace {

int64_t machineMemory() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  int64_t kilobytes;
  return file >> name >> kilobytes && name == "MemTotal:" ? kilobytes * 1024 : INT64_MAX;
}

// The smallest memory limit of this process's control groups and of their parents (cgroups(7)). A missing file and the
// word `max` mean no limit. In a container the path in /proc may not exist under /sys/fs/cgroup, so every parent path
// is tried, up to the root.
int64_t groupMemory() {
  int64_t limit = INT64_MAX;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // hierarchy:controllers:path
    const size_t controllers = line.find(':') + 1, colon = line.find(':', controllers);
    if (controllers == 0 || colon == std::string::npos) continue;
    const std::string names = line.substr(controllers, colon - controllers);
    if (!names.empty() && (',' + names + ',').find(",memory,") == std::string::npos) continue;
    const std::string root = names.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const std::string file = names.empty() ? "/memory.max" : "/memory.limit_in_bytes";
    for (std::string path = line.substr(colon + 1);; path.resize(path.rfind('/'))) {
      int64_t bytes;
      if (std::ifstream(root + path + file) >> bytes) limit = std::min(limit, bytes);
      if (path.empty() || path.find('/') == std::string::npos) break;
    }
  }
  return limit;
}

std::string gibibytes(int64_t bytes) {
  std::ostringstream text;
  text.precision(3);
  text << static_cast<double>(bytes) / (int64_t{1} << 30) << " GiB";
  return text.str();
}

// Counts the arena bytes of all engines of this process. The system reserves memory for a page only when the process
// first touches the page. So it would allow arenas that are larger than the machine's memory, and would kill the
// process later, in the middle of a step.
class ArenaBudget {
 public:
  void change(int64_t from, int64_t to) {
    const std::lock_guard lock(mutex_);
    const int64_t others = taken_ - from;
    if (to > from) {
      const int64_t machine = machineMemory(), group = groupMemory(), limit = std::min(machine, group);
      if (to > limit - others)
        throw Error(
            ErrorCode::OutOfMemory,
            "arenas of " + gibibytes(to) +
                " do not fit: " + (group < machine ? "this process's control group may use " : "this machine has ") +
                gibibytes(limit) + " of memory" + (others > 0 ? ", and other engines hold " + gibibytes(others) : "") +
                "; take a smaller batch or a smaller model");
    }
    taken_ = others + to;
  }

 private:
  std::mutex mutex_;
  int64_t taken_ = 0;
};

ArenaBudget& budget() {
  static ArenaBudget all;
  return all;
}

class CpuDevice final : public Device {
 public:
  CpuDevice(int threads, Precision precision)
      : threads_(threads > 0 ? threads : omp_get_num_procs()), precision_(precision) {
#define OP(name, Args) column_.name = cpu::name;
    LXMERT_OPS(OP)
#undef OP
  }

  ~CpuDevice() override { claim({}); }

  void claim(const ArenaSizes& sizes) override {
    const int64_t bytes = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
    budget().change(claimed_, bytes);
    claimed_ = bytes;
  }

  // The pages hold zeros. The system reserves memory for a page only when the process first touches the page.
  char* allocate(ArenaId, int64_t bytes) override {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      throw Error(ErrorCode::OutOfMemory, "the system refuses an arena of " + gibibytes(bytes) +
                                              "; is there a limit on address space (ulimit -v)?");
    madvise(memory, bytes, MADV_HUGEPAGE);
    return static_cast<char*>(memory);
  }
  void release(char* memory, int64_t bytes) override {
    forgetPacked(memory, bytes);
    munmap(memory, bytes);
  }

  void begin() override { omp_set_num_threads(threads_); }
  void copyIn(char* device, const HostBytes& host) override {
    unpackTouched(device, host.size);
    std::memcpy(device, host.data, host.size);
  }
  void copyOut(char* host, const char* device, int64_t bytes) override {
    unpackTouched(device, bytes);
    std::memcpy(host, device, bytes);
  }

  void addFloats(float* target, const float* a, const float* b, int64_t size) override {
#pragma omp parallel for simd
    for (int64_t i = 0; i < size; ++i) target[i] = a[i] + b[i];
  }
  void copyFloats(float* target, const float* source, int64_t size) override {
    std::memcpy(target, source, size * sizeof(float));
  }
  void finishNorm(Span<const float> squares, Span<const float> sums, float* norm) override {
    gradNormOf(squares, sums, norm);
  }

  const OpColumn& ops() const override { return column_; }
  std::string name() const override { return "cpu"; }
  Precision precision() const override { return precision_; }

 private:
  const int threads_;
  const Precision precision_;
  int64_t claimed_ = 0;
  OpColumn column_;
};

}  // namespace

std::unique_ptr<Device> createDevice(int threads, Precision precision) {
  if (precision == Precision::BFloat16 && !multipliesBFloat16())
    throw Error(
        ErrorCode::Unsupported,
        "precision bfloat16: this processor has no instructions that multiply bfloat16 (AVX-512 BF16 or AMX); use "
        "float32");
  return std::make_unique<CpuDevice>(threads, precision);
}

}  // namespace lxmert::cpu
