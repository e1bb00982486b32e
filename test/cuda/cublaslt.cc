// Compares our declarations of cuBLASLt (native/cuda/cublaslt.h) with NVIDIA's header and library. Needs no GPU.
// scripts/check-nvidia-libraries.mjs builds and runs it if they are installed.
#include <cublasLt.h>

#include <cstddef>
#include <cstdio>
#include <type_traits>

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
static_assert(int{ours::kMultiprocessors} == int{CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET});
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

static_assert(offsetof(ours::Heuristic, algorithm) == offsetof(cublasLtMatmulHeuristicResult_t, algo));
static_assert(int{CUBLAS_STATUS_SUCCESS} == 0);

// Checks that both functions have the same number of parameters with the same sizes. Opaque types may have other names.
template <class R, class S, class... A, class... B>
constexpr bool alike(R (*)(A...), S (*)(B...)) {
  return sizeof(R) == sizeof(S) && ((sizeof(A) == sizeof(B) && std::is_pointer_v<A> == std::is_pointer_v<B>)&&...);
}
#define FUNCTION(name, type) static_assert(alike(&cublasLt##name, ours::Library::name##Function{}));
LXMERT_CUBLASLT(FUNCTION)
#undef FUNCTION

namespace {

int failures = 0;

void expect(const char* what, bool holds) {
  if (!holds) std::printf("%s is not what we take it for\n", what);
  failures += !holds;
}

// Reads a value back with NVIDIA's function.
template <class T>
bool reads(cublasLtMatmulDesc_t of, cublasLtMatmulDescAttributes_t attribute, T value) {
  T got{};
  return cublasLtMatmulDescGetAttribute(of, attribute, &got, sizeof got, nullptr) == 0 && got == value;
}
template <class T>
bool reads(cublasLtMatmulPreference_t of, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  T got{};
  return cublasLtMatmulPreferenceGetAttribute(of, attribute, &got, sizeof got, nullptr) == 0 && got == value;
}
template <class T>
bool reads(cublasLtMatrixLayout_t of, cublasLtMatrixLayoutAttribute_t attribute, T value) {
  T got{};
  return cublasLtMatrixLayoutGetAttribute(of, attribute, &got, sizeof got, nullptr) == 0 && got == value;
}

// The attributes of a product that gemm_cublaslt.cu sets, and the defaults of the others.
void products(const ours::Library& lt) {
  ours::Matmul matmul;
  expect("a product", lt.MatmulDescCreate(&matmul, ours::kComputeFloat32, ours::kFloat32) == 0);
  const auto theirs = reinterpret_cast<cublasLtMatmulDesc_t>(matmul);
  const auto set = [&](ours::MatmulAttribute attribute, auto value) {
    return lt.MatmulDescSetAttribute(matmul, attribute, &value, sizeof value) == 0;
  };
  expect("the compute type", reads(theirs, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, int32_t{CUBLAS_COMPUTE_32F}));
  expect("the scale type", reads(theirs, CUBLASLT_MATMUL_DESC_SCALE_TYPE, int32_t{CUDA_R_32F}));
  expect("alpha and beta", reads(theirs, CUBLASLT_MATMUL_DESC_POINTER_MODE, int32_t{CUBLASLT_POINTER_MODE_HOST}));
  expect("a bias's type", reads(theirs, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t{-1}));  // the type of the result
  expect("a transposed A",
         set(ours::kTransposeA, ours::kTransposed) && reads(theirs, CUBLASLT_MATMUL_DESC_TRANSA, int32_t{CUBLAS_OP_T}));
  expect("B as it is",
         set(ours::kTransposeB, ours::kNormal) && reads(theirs, CUBLASLT_MATMUL_DESC_TRANSB, int32_t{CUBLAS_OP_N}));
  expect("a bias", set(ours::kEpilogue, ours::kBias) &&
                       reads(theirs, CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{CUBLASLT_EPILOGUE_BIAS}));
  const void* const bias = &failures;
  expect("a bias's place", set(ours::kBiasPointer, bias) && reads(theirs, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias));
  lt.MatmulDescDestroy(matmul);
}

void layouts(const ours::Library& lt) {
  ours::Layout layout;
  expect("a matrix", lt.MatrixLayoutCreate(&layout, ours::kBFloat16, 768, 256, 768) == 0);
  const auto theirs = reinterpret_cast<cublasLtMatrixLayout_t>(layout);
  expect("bfloat16", reads(theirs, CUBLASLT_MATRIX_LAYOUT_TYPE, uint32_t{CUDA_R_16BF}));
  expect("an order by columns", reads(theirs, CUBLASLT_MATRIX_LAYOUT_ORDER, int32_t{CUBLASLT_ORDER_COL}));
  expect("rows", reads(theirs, CUBLASLT_MATRIX_LAYOUT_ROWS, uint64_t{768}));
  expect("columns", reads(theirs, CUBLASLT_MATRIX_LAYOUT_COLS, uint64_t{256}));
  expect("a stride", reads(theirs, CUBLASLT_MATRIX_LAYOUT_LD, int64_t{768}));
  lt.MatrixLayoutDestroy(layout);
}

void preferences(const ours::Library& lt) {
  ours::Preference preference;
  expect("a preference", lt.MatmulPreferenceCreate(&preference) == 0);
  const auto theirs = reinterpret_cast<cublasLtMatmulPreference_t>(preference);
  const auto takes = [&](ours::PreferenceAttribute attribute, auto value) {
    return lt.MatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value) == 0 &&
           reads(theirs, static_cast<cublasLtMatmulPreferenceAttributes_t>(attribute), value);
  };
  expect("a workspace's size", takes(ours::kMaxWorkspaceBytes, size_t{32} << 20));
  expect("a reduction", takes(ours::kReductionSchemeMask, ours::kReduceInComputeType));
  for (const auto attribute : {ours::kMinAlignmentA, ours::kMinAlignmentB, ours::kMinAlignmentC, ours::kMinAlignmentD})
    expect("an alignment", takes(attribute, uint32_t{16}));
  lt.MatmulPreferenceDestroy(preference);
}

}  // namespace

int main() {
  try {
    const ours::Library& library = ours::open();
    products(library);
    layouts(library);
    preferences(library);
    std::printf("cuBLASLt %zu in %s\n", library.GetVersion(), library.file.c_str());
    return library.GetVersion() == CUBLAS_VERSION && cublasLtGetVersion() == CUBLAS_VERSION ? failures : 1;
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
}
