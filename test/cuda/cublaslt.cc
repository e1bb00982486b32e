// Our declarations of cuBLASLt (native/cuda/cublaslt.h) against NVIDIA's own header and library; needs no GPU.
// scripts/check-cublaslt.mjs builds and runs it where they are installed.
#include <cublasLt.h>

#include <cstdio>

#include "cuda/cublaslt.h"

namespace ours = lxmert::cuda::cublaslt;

static_assert(int{ours::kFloat32} == int{CUDA_R_32F} && int{ours::kBFloat16} == int{CUDA_R_16BF});
static_assert(int{ours::kComputeFloat32} == int{CUBLAS_COMPUTE_32F});
static_assert(int{ours::kNormal} == int{CUBLAS_OP_N} && int{ours::kTransposed} == int{CUBLAS_OP_T});
static_assert(unsigned{ours::kDefault} == unsigned{CUBLASLT_EPILOGUE_DEFAULT});
static_assert(unsigned{ours::kBias} == unsigned{CUBLASLT_EPILOGUE_BIAS});
static_assert(unsigned{ours::kReduceInComputeType} == unsigned{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
static_assert(int{ours::kTransposeA} == int{CUBLASLT_MATMUL_DESC_TRANSA});
static_assert(int{ours::kTransposeB} == int{CUBLASLT_MATMUL_DESC_TRANSB});
static_assert(int{ours::kEpilogue} == int{CUBLASLT_MATMUL_DESC_EPILOGUE});
static_assert(int{ours::kBiasPointer} == int{CUBLASLT_MATMUL_DESC_BIAS_POINTER});
static_assert(int{ours::kMaxWorkspaceBytes} == int{CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES});
static_assert(int{ours::kReductionSchemeMask} == int{CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK});
static_assert(int{ours::kMinAlignmentA} == int{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES});
static_assert(int{ours::kMinAlignmentB} == int{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES});
static_assert(int{ours::kMinAlignmentC} == int{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES});
static_assert(int{ours::kMinAlignmentD} == int{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES});
static_assert(sizeof(ours::Algorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(ours::Heuristic) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(ours::Heuristic, workspaceBytes) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(ours::Heuristic, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));

// As many parameters, of the same sizes: pointers to what is opaque are pointers to either.
template <class... A, class... B>
constexpr bool alike(cublasStatus_t (*)(A...), ours::Status (*)(B...)) {
  return ((sizeof(A) == sizeof(B) && std::is_pointer_v<A> == std::is_pointer_v<B>)&&...);
}
static_assert(alike(&cublasLtCreate, ours::Library::CreateFunction{}));
static_assert(alike(&cublasLtDestroy, ours::Library::DestroyFunction{}));
static_assert(alike(&cublasLtMatmulDescCreate, ours::Library::MatmulDescCreateFunction{}));
static_assert(alike(&cublasLtMatmulDescDestroy, ours::Library::MatmulDescDestroyFunction{}));
static_assert(alike(&cublasLtMatmulDescSetAttribute, ours::Library::MatmulDescSetAttributeFunction{}));
static_assert(alike(&cublasLtMatrixLayoutCreate, ours::Library::MatrixLayoutCreateFunction{}));
static_assert(alike(&cublasLtMatrixLayoutDestroy, ours::Library::MatrixLayoutDestroyFunction{}));
static_assert(alike(&cublasLtMatmulPreferenceCreate, ours::Library::MatmulPreferenceCreateFunction{}));
static_assert(alike(&cublasLtMatmulPreferenceDestroy, ours::Library::MatmulPreferenceDestroyFunction{}));
static_assert(alike(&cublasLtMatmulPreferenceSetAttribute, ours::Library::MatmulPreferenceSetAttributeFunction{}));
static_assert(alike(&cublasLtMatmulAlgoGetHeuristic, ours::Library::MatmulAlgoGetHeuristicFunction{}));
static_assert(alike(&cublasLtMatmul, ours::Library::MatmulFunction{}));

int main() {
  try {
    const ours::Library& library = ours::open();
    std::printf("cuBLASLt %zu in %s\n", library.GetVersion(), library.file.c_str());
    return library.GetVersion() == CUBLAS_VERSION ? 0 : 1;
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
}
