// The tensors of one op's call, twice: in float32 on the host, and as the device has them. A case asks for them in order;
// the first time they are made and filled, the second time the same ones are copied to the device.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/arg_reader.h"
#include "engine/device.h"

namespace lxmert::bench {

enum class Role {
  In,
  Weight,   // read, in the arena of parameters
  Updated,  // the same, and written, with its bfloat16 copy
  Table,    // a weight of which a call touches some rows: not counted in its bytes
  Sparse,   // the same of activations
  Out,      // begins as NaN
  InOut,
  SparseInOut,  // added to in some rows: not counted
  Scratch,      // written, of no interest
};

class Tensors {
 public:
  // On the host; values that the device has in bfloat16 are rounded to it. There each lies at a multiple of 256 bytes, or,
  // `displaced`, one element behind it: the least that an op may ask for.
  Tensors(Device& device, DType dtype, bool displaced = false)
      : device_(device), dtype_(dtype), displaced_(displaced) {}

  // Of activations, in [-limit, limit].
  Values values(int64_t n, Role role, float limit = 1);
  Floats floats(int64_t n, Role role, float limit = 1);
  Ints ints(const std::vector<int32_t>& values, Role role = Role::In);
  // Bits of float16 numbers, on either device.
  Halves halves(int64_t n, Role role);

  // What a backward needs of its forward: done on the host, before the device gets its copy.
  template <class Work>
  void prepare(Work&& work) {
    if (!onDevice_) work(device_);
  }

  // From here on the same calls give the device's tensors.
  void moveToDevice();
  ~Tensors();
  Tensors(const Tensors&) = delete;

  // Largest ‖device - host‖ / ‖host‖ over what was written, and of which tensor (by its number in the order of calls).
  struct Difference {
    double error = 0;
    int tensor = -1;
  };
  Difference compare();

  // What the op must read and write at least.
  int64_t bytes() const;

 private:
  struct Tensor {
    std::unique_ptr<char[]> host;
    int64_t elements;
    DType dtype;  // on the device
    bool integer;
    Role role;
    char* device;
  };
  static int64_t deviceBytes(const Tensor& tensor);
  int64_t placeFor(const Tensor& tensor) const;
  char* take(int64_t n, DType dtype, bool integer, Role role, const std::function<void(char*)>& fill);
  // A linear congruential generator: there are hundreds of millions to draw.
  float random(float limit) {
    numbers_ = numbers_ * 6364136223846793005ull + 1442695040888963407ull;
    return (static_cast<float>(numbers_ >> 40) / (1 << 23) - 1) * limit;
  }

  Device& device_;
  const DType dtype_;
  const bool displaced_;
  uint64_t numbers_ = 11;
  std::vector<Tensor> tensors_;
  size_t next_ = 0;
  bool onDevice_ = false;
  char *parameters_ = nullptr, *workspace_ = nullptr;
  int64_t parameterBytes_ = 0, workspaceBytes_ = 0;
};

}  // namespace lxmert::bench
