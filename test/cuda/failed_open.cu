// Tests a device whose library of products cannot be opened: the constructor throws, and destroys all its streams and
// events. device.test.ts builds this file with the emulator, in the place of native/cuda/emulator/gemm.cc.
#include <cstdio>

#include "cuda/device.h"
#include "cuda/emulator/streams.h"
#include "cuda/gemm.h"

namespace lxmert::cuda {

void requireGemms() {}
std::unique_ptr<Gemms> openGemms(int) { throw Error(ErrorCode::NoDevice, "cuBLASLt is not found"); }

}  // namespace lxmert::cuda

int main() {
  const int before = lxmert::emulator::alive();
  std::string code = "none";
  try {
    lxmert::cuda::CudaDevice device(0, lxmert::Precision::Float32);
  } catch (const lxmert::Error& error) {
    code = lxmert::codeName(error.code);
  }
  std::printf("%s, %d left\n", code.c_str(), lxmert::emulator::alive() - before);
}
