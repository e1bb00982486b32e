// C = op(A) op(B) + beta C (+ bias), by blocked loops: the layouts, types and roundings of gemm.h. Operands are
// converted to float32 (exact for bfloat16), sums are float32 in the order of k, and the result is rounded once.
#include "cuda/gemm.h"

#include <algorithm>
#include <vector>

#include "cuda/emulator/streams.h"
#include "cuda/emulator/trace.h"
#include "cuda/emulator/uses.h"

namespace lxmert::emulator {

namespace {

using cuda::bf16;
using cuda::fromFloat;
using cuda::Gemm;
using cuda::toFloat;

constexpr int64_t kRows = 4, kColumns = 64;  // of a block of C, which fits into registers and the first-level cache
constexpr int64_t kWorkspaceBytes =
    kRacecheck ? 256 : 0;            // not 0, so that two products that use the same workspace are found as a race
constexpr int64_t kSmall = 1 << 15;  // multiplications that take less time than waking another thread

// op(X) [rows, columns] as float32, with rows padded with zeros to whole vectors of `stride`.
template <class T>
std::vector<float> asFloats(const void* data, int64_t rows, int64_t columns, bool transposed, int64_t stride) {
  const T* x = static_cast<const T*>(data);
  std::vector<float> result(rows * stride, 0.0f);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      result[i * stride + j] = toFloat(transposed ? x[j * rows + i] : x[i * columns + j]);
  return result;
}

std::vector<float> asFloats(DType type, const void* data, int64_t rows, int64_t columns, bool transposed,
                            int64_t stride) {
  return type == DType::BF16 ? asFloats<bf16>(data, rows, columns, transposed, stride)
                             : asFloats<float>(data, rows, columns, transposed, stride);
}

// sum [kRows, kColumns] = rows of a (of stride k) times columns of b (of the given stride).
void multiplyBlock(const float* a, const float* b, int64_t k, int64_t stride, int64_t rows,
                   float (&sum)[kRows][kColumns]) {
  for (auto& row : sum) std::fill(std::begin(row), std::end(row), 0.0f);
  for (int64_t p = 0; p < k; ++p)
    for (int64_t i = 0; i < rows; ++i) {
      const float factor = a[i * k + p];
#pragma omp simd
      for (int64_t j = 0; j < kColumns; ++j) sum[i][j] += factor * b[p * stride + j];
    }
}

template <class T>
void finish(const Gemm& g, const float* sum, int64_t row, int64_t column, int64_t columns) {
  T* c = static_cast<T*>(g.c) + row * g.n + column;
  const T* bias = g.bias ? static_cast<const T*>(g.bias) + column : nullptr;
  for (int64_t j = 0; j < columns; ++j) {
    float value = sum[j];
    if (g.beta != 0) value += g.beta * toFloat(c[j]);
    if (bias) value += toFloat(bias[j]);
    c[j] = fromFloat<T>(value);
  }
}

void multiply(const Gemm& g) {
  const int64_t stride = (g.n + kColumns - 1) / kColumns * kColumns;
  const std::vector<float> a = asFloats(g.input, g.a, g.m, g.k, g.transposeA, g.k);
  const std::vector<float> b = asFloats(g.input, g.b, g.k, g.n, g.transposeB, stride);
  const int64_t rowBlocks = (g.m + kRows - 1) / kRows, columnBlocks = stride / kColumns;
#pragma omp parallel for if (g.m * g.n * g.k > kSmall)
  for (int64_t block = 0; block < rowBlocks * columnBlocks; ++block) {
    const int64_t row = block % rowBlocks * kRows, column = block / rowBlocks * kColumns;
    const int64_t rows = std::min(kRows, g.m - row), columns = std::min(kColumns, g.n - column);
    float sum[kRows][kColumns];
    multiplyBlock(a.data() + row * g.k, b.data() + column, g.k, stride, rows, sum);
    for (int64_t i = 0; i < rows; ++i) {
      if (g.output == DType::BF16)
        finish<bf16>(g, sum[i], row + i, column, columns);
      else
        finish<float>(g, sum[i], row + i, column, columns);
    }
  }
}

void noteUses(const Gemm& g, void* workspace) {
  const auto bytes = [](int64_t elements, DType type) { return elements * (type == DType::BF16 ? 2 : 4); };
  const auto use = [](Use how, const void* data, size_t size) { noteWhole("a product", how, data, size); };
  use(Use::Read, g.a, bytes(g.m * g.k, g.input));
  use(Use::Read, g.b, bytes(g.k * g.n, g.input));
  if (g.bias) use(Use::Read, g.bias, bytes(g.n, g.output));
  use(Use::Write, g.c, bytes(g.m * g.n, g.output));
  use(Use::Write, workspace, kWorkspaceBytes);
}

class EmulatedGemms final : public cuda::Gemms {
 public:
  int64_t workspaceBytes() const override { return kWorkspaceBytes; }
  void run(cudaStream_t stream, void* workspace, const Gemm& gemm) override {
    if (reinterpret_cast<uintptr_t>(gemm.bias) % cuda::kBiasAlignment != 0)
      throw Error(ErrorCode::Internal, "a matrix product: its bias is not aligned as cuBLASLt may ask for");
    trace("product");
    submit(stream, [workspace, gemm] {
      noteUses(gemm, workspace);
      multiply(gemm);
    });
  }
  std::string name() const override { return "loops on the CPU"; }
};

}  // namespace

}  // namespace lxmert::emulator

namespace lxmert::cuda {

void requireGemms() {}
std::unique_ptr<Gemms> openGemms(int) { return std::make_unique<emulator::EmulatedGemms>(); }

}  // namespace lxmert::cuda
