// The part of cuBLASLt that this program calls. It is declared here, so a build needs neither NVIDIA's headers nor the
// library. The library is opened at run time. If it is missing, the error says how to get it. test/cuda/cublaslt.cc
// compares these declarations with NVIDIA's own header.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/nvidia_library.h"
#include "cuda/platform.h"

namespace lxmert::cuda::cublaslt {

// Values of cuBLASLt's enumerations.
enum Type : int { kFloat32 = 0, kBFloat16 = 14 };  // cudaDataType_t
enum Compute : int { kComputeFloat32 = 68 };
enum Operation : int32_t { kNormal = 0, kTransposed = 1 };
enum Epilogue : uint32_t { kDefault = 1, kBias = 4 };
enum ReductionScheme : uint32_t { kReduceInComputeType = 2 };
enum MatmulAttribute : int {
  kTransposeA = 3,
  kTransposeB = 4,
  kEpilogue = 7,
  kBiasPointer = 8,
  kMultiprocessors = 15,
};
enum PreferenceAttribute : int {
  kMaxWorkspaceBytes = 1,
  kReductionSchemeMask = 3,
  kMinAlignmentA = 5,
  kMinAlignmentB = 6,
  kMinAlignmentC = 7,
  kMinAlignmentD = 8,
};

using Handle = struct HandleOpaque*;
using Matmul = struct MatmulOpaque*;
using Layout = struct LayoutOpaque*;
using Preference = struct PreferenceOpaque*;
using Status = int;

struct Algorithm {
  uint64_t data[8];
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspaceBytes;
  Status state;
  float waves;
  int reserved[4];
};

// The name and the type of each function. All return a Status, except GetVersion.
#define LXMERT_CUBLASLT(FUNCTION)                                                                                 \
  FUNCTION(Create, Status (*)(Handle*))                                                                           \
  FUNCTION(Destroy, Status (*)(Handle))                                                                           \
  FUNCTION(GetVersion, size_t (*)())                                                                              \
  FUNCTION(MatmulDescCreate, Status (*)(Matmul*, Compute, Type))                                                  \
  FUNCTION(MatmulDescDestroy, Status (*)(Matmul))                                                                 \
  FUNCTION(MatmulDescSetAttribute, Status (*)(Matmul, MatmulAttribute, const void*, size_t))                      \
  FUNCTION(MatrixLayoutCreate, Status (*)(Layout*, Type, uint64_t rows, uint64_t columns, int64_t stride))        \
  FUNCTION(MatrixLayoutDestroy, Status (*)(Layout))                                                               \
  FUNCTION(MatmulPreferenceCreate, Status (*)(Preference*))                                                       \
  FUNCTION(MatmulPreferenceDestroy, Status (*)(Preference))                                                       \
  FUNCTION(MatmulPreferenceSetAttribute, Status (*)(Preference, PreferenceAttribute, const void*, size_t))        \
  FUNCTION(MatmulAlgoGetHeuristic, Status (*)(Handle, Matmul, Layout a, Layout b, Layout c, Layout d, Preference, \
                                              int wanted, Heuristic* results, int* found))                        \
  FUNCTION(Matmul, Status (*)(Handle, Matmul, const void* alpha, const void* a, Layout, const void* b, Layout,    \
                              const void* beta, const void* c, Layout, void* d, Layout, const Algorithm*,         \
                              void* workspace, size_t workspaceBytes, cudaStream_t))

LXMERT_NVIDIA_LIBRARY(LXMERT_CUBLASLT)

// Opens the library. OpenedLibrary (nvidia_library.h) lists the places where it is searched; the variable that names
// its file is LXMERT_CUBLASLT. Throws NoDevice.
const Library& open();

}  // namespace lxmert::cuda::cublaslt
