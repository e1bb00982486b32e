// The boundary to the library of matrix products: cuBLASLt (gemm_cublaslt.cu), or its twin on the emulator.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cuda/platform.h"
#include "engine/arenas.h"

namespace lxmert::cuda {

// Bytes. cuBLASLt judges a bias by its pointer, no preference says more; kernels were seen to fault on less.
constexpr uintptr_t kBiasAlignment = 16;

// C = op(A) op(B) + beta C, and the bias added to each row. All matrices are dense and row-major: C [m, n], op(A) [m, k],
// op(B) [k, n]; a transposed A lies in memory as [k, m], a transposed B as [n, k]. Sums are float32, whatever the types;
// the result is rounded once. m, n and k are at least 1, pointers aligned to their elements only, but the bias'.
struct Gemm {
  int64_t m, n, k;
  bool transposeA, transposeB;
  DType input;   // of A and B
  DType output;  // of C and the bias; F32 wherever the input is
  const void *a, *b;
  void* c;
  const void* bias = nullptr;  // [n]
  float beta = 0;              // 0: what C held is not read
};

// The products of one device. Not thread-safe.
class Gemms {
 public:
  virtual ~Gemms() = default;
  // Device memory that a product works with; two at a time must not have the same.
  virtual int64_t workspaceBytes() const = 0;
  // Enqueues; the same call gives the same bits each time. Throws Error.
  virtual void run(cudaStream_t stream, void* workspace, const Gemm& gemm) = 0;
  // In words: which library, which version.
  virtual std::string name() const = 0;
};

// For the device that is current. Throws NoDevice, saying what is missing and how to get it.
std::unique_ptr<Gemms> openGemms();

}  // namespace lxmert::cuda
