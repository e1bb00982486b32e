// C = op(A) op(B) + beta C (+ bias) by cuBLASLt, which expects column-major matrices. Read as column-major, the memory
// of a row-major matrix is its transpose, so this file computes C^T = op(B)^T op(A)^T, with the operands exchanged.
//
// For each kind of product (`Key`), the algorithm is taken from cuBLASLt's heuristic once and stored. If an algorithm
// splits a sum, the partial sums are added in float32, in a fixed order.
#include <array>
#include <map>

#include "cuda/check.h"
#include "cuda/cublaslt.h"
#include "cuda/gemm.h"

namespace lxmert::cuda {

namespace {

using namespace cublaslt;

constexpr size_t kWorkspaceBytes = size_t{32} << 20;
// Kernels load at most 16 bytes at a time. With a larger limit, the choice of the kernel would depend on the address of
// a tensor. Two runs with their tensors at different addresses would then have results with different bits.
constexpr uint32_t kBestAlignment = 16;

void demand(Status status, const char* what) {
  if (status != 0)
    throw Error(ErrorCode::Internal,
                std::string("cuBLASLt: ") + what + " failed with status " + std::to_string(status));
}

Type typeOf(DType dtype) { return dtype == DType::BF16 ? kBFloat16 : kFloat32; }

// The largest power of two, at most kBestAlignment, that divides an address.
uint32_t alignmentOf(const void* place) {
  const auto address = reinterpret_cast<uintptr_t>(place) | kBestAlignment;
  return static_cast<uint32_t>(address & (~address + 1));
}

// Everything on which the choice of a kernel depends.
using Key = std::array<int64_t, 12>;

Key keyOf(const Gemm& g) {
  return {g.m,
          g.n,
          g.k,
          g.transposeA,
          g.transposeB,
          static_cast<int64_t>(g.input),
          static_cast<int64_t>(g.output),
          (g.bias ? 1 : 0) + (g.beta != 0 ? 2 : 0),
          alignmentOf(g.a),
          alignmentOf(g.b),
          alignmentOf(g.c),
          alignmentOf(g.bias)};
}

class CublasLtGemms final : public Gemms {
 public:
  explicit CublasLtGemms(int multiprocessors) : multiprocessors_(multiprocessors) {
    demand(lt_.Create(&handle_), "cublasLtCreate");
  }

  ~CublasLtGemms() override {
    for (const auto& [key, plan] : plans_) {
      lt_.MatmulDescDestroy(plan.matmul);
      for (const Layout layout : {plan.first, plan.second, plan.result}) lt_.MatrixLayoutDestroy(layout);
    }
    lt_.Destroy(handle_);
  }

  int64_t workspaceBytes() const override { return kWorkspaceBytes; }

  void run(cudaStream_t stream, void* workspace, const Gemm& g) override {
    const Key key = keyOf(g);
    auto at = plans_.find(key);
    if (at == plans_.end()) at = plans_.emplace(key, plan(g)).first;
    const Plan& p = at->second;
    if (g.bias) demand(lt_.MatmulDescSetAttribute(p.matmul, kBiasPointer, &g.bias, sizeof(g.bias)), "setting the bias");
    const float alpha = 1;
    demand(lt_.Matmul(handle_, p.matmul, &alpha, g.b, p.first, g.a, p.second, &g.beta, g.c, p.result, g.c, p.result,
                      &p.algorithm, workspace, kWorkspaceBytes, stream),
           "a matrix product");
  }

  std::string name() const override {
    const size_t version = lt_.GetVersion();
    return "cuBLASLt " + std::to_string(version / 10000) + '.' + std::to_string(version % 10000 / 100) + " (" +
           lt_.file + ')';
  }

 private:
  struct Plan {
    Matmul matmul = nullptr;
    Layout first = nullptr, second = nullptr, result = nullptr;  // of B, A and C
    Algorithm algorithm{};
  };

  template <class T>
  void set(Matmul matmul, MatmulAttribute attribute, T value) const {
    demand(lt_.MatmulDescSetAttribute(matmul, attribute, &value, sizeof(value)), "describing a product");
  }

  template <class T>
  void set(Preference preference, PreferenceAttribute attribute, T value) const {
    demand(lt_.MatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)), "stating a preference");
  }

  // Describes a row-major matrix [rows, columns] as its transpose, a column-major matrix in the same memory.
  Layout layoutOf(DType dtype, int64_t rows, int64_t columns) const {
    Layout layout;
    demand(lt_.MatrixLayoutCreate(&layout, typeOf(dtype), columns, rows, columns), "describing a matrix");
    return layout;
  }

  Plan plan(const Gemm& g) const {
    Plan p;
    demand(lt_.MatmulDescCreate(&p.matmul, kComputeFloat32, kFloat32), "describing a product");
    set(p.matmul, kTransposeA, g.transposeB ? kTransposed : kNormal);
    set(p.matmul, kTransposeB, g.transposeA ? kTransposed : kNormal);
    set(p.matmul, kEpilogue, g.bias ? kBias : kDefault);
    if (g.bias) set(p.matmul, kBiasPointer, g.bias);
    if (multiprocessors_ > 0) set(p.matmul, kMultiprocessors, static_cast<int32_t>(multiprocessors_));
    p.first = g.transposeB ? layoutOf(g.input, g.n, g.k) : layoutOf(g.input, g.k, g.n);
    p.second = g.transposeA ? layoutOf(g.input, g.k, g.m) : layoutOf(g.input, g.m, g.k);
    p.result = layoutOf(g.output, g.m, g.n);
    p.algorithm = bestFor(g, p);
    return p;
  }

  Algorithm bestFor(const Gemm& g, const Plan& p) const {
    Preference preference;
    demand(lt_.MatmulPreferenceCreate(&preference), "stating a preference");
    set(preference, kMaxWorkspaceBytes, kWorkspaceBytes);
    set(preference, kReductionSchemeMask, kReduceInComputeType);
    set(preference, kMinAlignmentA, alignmentOf(g.b));
    set(preference, kMinAlignmentB, alignmentOf(g.a));
    set(preference, kMinAlignmentC, alignmentOf(g.c));
    set(preference, kMinAlignmentD, alignmentOf(g.c));
    Heuristic best{};
    int found = 0;
    const Status status = lt_.MatmulAlgoGetHeuristic(handle_, p.matmul, p.first, p.second, p.result, p.result,
                                                     preference, 1, &best, &found);
    lt_.MatmulPreferenceDestroy(preference);
    if (status != 0 || found == 0 || best.state != 0)
      throw Error(ErrorCode::Unsupported, "cuBLASLt has no product of [" + std::to_string(g.m) + ", " +
                                              std::to_string(g.k) + "] and [" + std::to_string(g.k) + ", " +
                                              std::to_string(g.n) + "] (status " + std::to_string(status) + ')');
    return best.algorithm;
  }

  const Library& lt_ = cublaslt::open();
  const int multiprocessors_;
  Handle handle_ = nullptr;
  std::map<Key, Plan> plans_;
};

}  // namespace

void requireGemms() { cublaslt::open(); }
std::unique_ptr<Gemms> openGemms(int multiprocessors) { return std::make_unique<CublasLtGemms>(multiprocessors); }

}  // namespace lxmert::cuda
