// The interface to the library of matrix products: cuBLASLt (gemm_cublaslt.cu), or the emulator's loops.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cuda/platform.h"
#include "engine/arenas.h"

namespace lxmert::cuda {

// Bytes to which a bias must be aligned. cuBLASLt has no setting for the alignment of a bias; it derives the alignment
// from the pointer. Its kernels have accessed wrong addresses when the alignment was smaller.
constexpr uintptr_t kBiasAlignment = 16;

// C = op(A) op(B) + beta C, plus the bias in each row. All matrices are dense and row-major: C [m, n], op(A) [m, k],
// op(B) [k, n]. A transposed A is stored as [k, m], and a transposed B as [n, k]. Sums are float32 for all types, and
// the result is rounded once. m, n and k are at least 1. Pointers are aligned to their elements, the bias to
// kBiasAlignment.
struct Gemm {
  int64_t m, n, k;
  bool transposeA, transposeB;
  DType input;   // of A and B
  DType output;  // of C and the bias; F32 if the input is F32
  const void *a, *b;
  void* c;
  const void* bias = nullptr;  // [n]
  float beta = 0;              // with 0, C is not read
};

// Computes the products of one device. Not thread-safe.
class Gemms {
 public:
  virtual ~Gemms() = default;
  // The bytes of device memory that a product uses as workspace. Two products that run at the same time must have
  // different workspaces.
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
