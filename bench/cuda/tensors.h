// The tensors of one op's call, twice: in float32 on the host, and in the device's types on the device. A case requests
// them in order. The first time they are made and filled. The second time the case gets the device's copies.
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
  Weight,   // read; it is in the parameter arena
  Updated,  // a weight that is also written, together with its bfloat16 copy
  Table,    // a weight of which a call reads only some rows; its bytes are not counted
  Sparse,   // activations of which a call reads only some rows
  Out,      // filled with NaN before the call
  InOut,
  SparseInOut,  // a call adds to some of its rows; its bytes are not counted
  Scratch,      // written, but not compared
};

class Tensors {
 public:
  // On the host, values that the device has in bfloat16 are rounded to it. On the device each tensor begins at a
  // multiple of 256 bytes. If `displaced` is true, it begins one element later, which is the smallest alignment that an
  // op may require.
  Tensors(Device& device, DType dtype, bool displaced = false)
      : device_(device), dtype_(dtype), displaced_(displaced) {}

  // Activations with values in [-limit, limit].
  Values values(int64_t n, Role role, float limit = 1);
  Floats floats(int64_t n, Role role, float limit = 1);
  Ints ints(const std::vector<int32_t>& values, Role role = Role::In);
  // The bits of float16 numbers.
  Halves halves(int64_t n, Role role);

  // Computes on the host the results of the forward pass that a backward pass needs, before the device gets its copy.
  template <class Work>
  void prepare(Work&& work) {
    if (!onDevice_) work(device_);
  }

  // After this, the same calls return the device's tensors.
  void moveToDevice();
  ~Tensors();
  Tensors(const Tensors&) = delete;

  // The largest ‖device - host‖ / ‖host‖ over the tensors that the op writes, and that tensor's number in the order of
  // calls.
  struct Difference {
    double error = 0;
    int tensor = -1;
  };
  Difference compare();

  // The smallest number of bytes that the op must read and write.
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
  // A linear congruential generator, because hundreds of millions of numbers are needed.
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
