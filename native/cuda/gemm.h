// The interface to the library of matrix products: cuBLASLt (gemm_cublaslt.cu), or the emulator's loops.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cuda/platform.h"
#include "engine/arenas.h"

namespace lxmert::cuda {

// Bytes to which a bias must be aligned. cuBLASLt derives the alignment of a bias from its pointer and has no
// preference for it. Its kernels have faulted on a smaller alignment.
constexpr uintptr_t kBiasAlignment = 16;

// C = op(A) op(B) + beta C, plus the bias in each row. All matrices are dense and row-major: C [m, n], op(A) [m, k],
// op(B) [k, n]. A transposed A lies in memory as [k, m], a transposed B as [n, k]. Sums are float32 for all types, and
// the result is rounded once. m, n and k are at least 1. Pointers are aligned to their elements, the bias to
// kBiasAlignment.
struct Gemm {
  int64_t m, n, k;
  bool transposeA, transposeB;
  DType input;   // of A and B
  DType output;  // of C and the bias; F32 wherever the input is
  const void *a, *b;
  void* c;
  const void* bias = nullptr;  // [n]
  float beta = 0;              // with 0, C is not read
};

// The products of one device. Not thread-safe.
class Gemms {
 public:
  virtual ~Gemms() = default;
  // Bytes of device memory that a product works with. Two products that run at the same time must have different
  // memory.
  virtual int64_t workspaceBytes() const = 0;
  // Enqueues a product. The same call gives the same bits each time. Throws Error.
  virtual void run(cudaStream_t stream, void* workspace, const Gemm& gemm) = 0;
  // Name and version of the library.
  virtual std::string name() const = 0;
};

// Throws NoDevice if openGemms would find no library. It does not use a GPU: as soon as a program uses a GPU, the
// driver reserves hundreds of megabytes of the GPU's memory until the process ends.
void requireGemms();
// For the current device. Kernels are chosen for this number of multiprocessors; 0: all. Another number may give other
// bits. Throws NoDevice with what is missing and how to get it.
std::unique_ptr<Gemms> openGemms(int multiprocessors);

}  // namespace lxmert::cuda
