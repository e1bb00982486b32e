// Matrix products by oneDNN, in one of two ways.
//
// `dnnl_sgemm` works for any shape without preparation. In float32 it is faster if each thread of the engine calls it
// for a separate block. If oneDNN divided the product among threads, they would wait for each other. But all rows use
// the same sets of the caches if both operands are read along k (y = x W^T) and the distance of rows is a whole number
// of pages (k is a multiple of 1024 floats).
//
// In this case, and for bfloat16, the matmul primitive is used. oneDNN compiles this primitive for each shape, so
// compiled primitives are kept. Callers round the number of rows up (`productRows`), so that there are few shapes.
#include "cpu/product.h"

#include <dnnl.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <dnnl.hpp>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "cpu/packed_weights.h"
#include "cpu/parallel.h"

namespace lxmert::cpu {

namespace {

using dnnl::memory;

constexpr int64_t kVector = 16;
constexpr int64_t kSmallProduct = 1 << 15;  // multiply-adds that take less time than waking another thread

// Rounds to nearest, ties to even; a NaN stays a NaN.
const uint16_t* toBFloat16(const float* from, int64_t n, std::vector<uint16_t>& buffer) {
  buffer.resize(std::max<size_t>(buffer.size(), n));
  uint16_t* to = buffer.data();
  parallelFor(n, 65536, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      uint32_t bits;
      std::memcpy(&bits, from + i, sizeof(bits));
      const uint32_t rounded = bits + 0x7FFFu + (bits >> 16 & 1);
      to[i] = static_cast<uint16_t>(((bits & 0x7FFFFFFFu) > 0x7F800000u ? bits | 0x400000u : rounded) >> 16);
    }
  });
  return to;
}

using Shape = std::tuple<int64_t, int64_t, int64_t, bool, bool, bool, bool, bool, Precision>;

Shape shapeOf(const Product& p, Precision precision) {
  return {p.m, p.n, p.k, p.transposeA, p.transposeB, p.bias != nullptr, p.accumulate, p.packed != nullptr, precision};
}

memory::data_type typeOf(Precision precision) {
  return precision == Precision::BFloat16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc matrix(int64_t rows, int64_t columns, bool transpose, memory::data_type type) {
  return {{rows, columns}, type, transpose ? memory::dims{1, rows} : memory::dims{columns, 1}};
}

// The layout of packed_weights.h for B [k, n].
memory::desc packedMatrix(int64_t k, int64_t n, Precision precision) {
  using tag = memory::format_tag;
  return {{k, n}, typeOf(precision), precision == Precision::BFloat16 ? tag::BA16a64b2a : tag::BA16a64b};
}

struct Compiled {
  dnnl::matmul::primitive_desc description;
  dnnl::matmul primitive;
};

dnnl::matmul::primitive_desc describe(const memory::desc& a, const memory::desc& b, const memory::desc& bias,
                                      const memory::desc& c, const dnnl::primitive_attr& attributes,
                                      const dnnl::engine& engine) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, b, bias, c, attributes};
#else
  return {bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c), attributes, engine};
#endif
}

Compiled compile(const Product& p, Precision precision, const dnnl::engine& engine) {
  const auto type = typeOf(precision);
  const memory::desc a = matrix(p.m, p.k, p.transposeA, type);
  const memory::desc b = p.packed ? packedMatrix(p.k, p.n, precision) : matrix(p.k, p.n, p.transposeB, type);
  const memory::desc c = matrix(p.m, p.n, false, memory::data_type::f32);
  const memory::desc bias = p.bias ? matrix(1, p.n, false, memory::data_type::f32) : memory::desc();
  dnnl::primitive_attr attributes;
  if (p.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  const auto description = describe(a, b, bias, c, attributes, engine);
  return {description, dnnl::matmul(description)};
}

// The primitives that one engine's thread has compiled, and its rounded operands.
class Matmul {
 public:
  void run(const Product& p, Precision precision) {
    const Shape shape = shapeOf(p, precision);
    auto found = compiled_.find(shape);
    if (found == compiled_.end()) {
      if (compiled_.size() >= kMostCompiled) compiled_.clear();
      found = compiled_.emplace(shape, compile(p, precision, engine_)).first;
    }
    const auto& description = found->second.description;
    const bool rounded = precision == Precision::BFloat16;
    const void* a = rounded ? static_cast<const void*>(toBFloat16(p.a, p.m * p.k, a_)) : p.a;
    const void* b = p.packed ? p.packed : rounded ? static_cast<const void*>(toBFloat16(p.b, p.k * p.n, b_)) : p.b;
    std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, of(description.src_desc(), a)},
                                              {DNNL_ARG_WEIGHTS, of(description.weights_desc(), b)},
                                              {DNNL_ARG_DST, of(description.dst_desc(), p.c)}};
    if (p.bias) arguments.emplace(DNNL_ARG_BIAS, of(description.bias_desc(), p.bias));
    found->second.primitive.execute(stream_, arguments);
    stream_.wait();
  }

 private:
  static constexpr size_t kMostCompiled = 2048;

  memory of(const memory::desc& description, const void* data) const {
    return memory(description, engine_, const_cast<void*>(data));
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::map<Shape, Compiled> compiled_;
  std::vector<uint16_t> a_, b_;
};

// How threads divide C: into a grid of blocks that are as square as possible, so that each thread reads only a small
// part of A and B.
struct Grid {
  int rows, columns;
};

Grid gridOf(const Product& p, int threads) {
  Grid best{1, threads};
  const auto copied = [&](const Grid& g) { return p.m * g.columns + p.n * g.rows; };
  for (int rows = 1; rows <= threads; ++rows) {
    const Grid grid{rows, threads / rows};
    if (threads % rows == 0 && copied(grid) < copied(best)) best = grid;
  }
  return best;
}

// Part `i` of `parts` of [0, n), in whole vectors.
Range vectorsOf(int64_t n, int i, int parts) {
  const Range share = shareOf((n + kVector - 1) / kVector, i, parts);
  return {std::min(share.begin * kVector, n), std::min(share.end * kVector, n)};
}

// One thread's block of C.
dnnl_status_t sgemmBlock(const Product& p, const Range& rows, const Range& columns) {
  const int64_t m = rows.end - rows.begin, n = columns.end - columns.begin;
  if (m == 0 || n == 0) return dnnl_success;
  const float* a = p.a + rows.begin * (p.transposeA ? 1 : p.k);
  const float* b = p.b + columns.begin * (p.transposeB ? p.k : 1);
  float* c = p.c + rows.begin * p.n + columns.begin;
  const dnnl_status_t status =
      dnnl_sgemm(p.transposeA ? 'T' : 'N', p.transposeB ? 'T' : 'N', m, n, p.k, 1.0f, a, p.transposeA ? p.m : p.k, b,
                 p.transposeB ? p.k : p.n, p.accumulate ? 1.0f : 0.0f, c, p.n);
  if (!p.bias) return status;
  const float* bias = p.bias + columns.begin;
  for (int64_t row = 0; row < m; ++row, c += p.n)
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) c[i] += bias[i];
  return status;
}

// Inside a parallel region, oneDNN uses only the thread that calls it.
void sgemm(const Product& p) {
  const int threads = p.m * p.n * p.k < kSmallProduct ? 1 : omp_get_max_threads();
  const Grid grid = gridOf(p, threads);
  std::atomic<dnnl_status_t> failed{dnnl_success};
#pragma omp parallel num_threads(threads)
  for (int part = omp_get_thread_num(); part < threads; part += omp_get_num_threads()) {
    const Range rows = vectorsOf(p.m, part / grid.columns, grid.rows);
    const Range columns = vectorsOf(p.n, part % grid.columns, grid.columns);
    const dnnl_status_t status = sgemmBlock(p, rows, columns);
    if (status != dnnl_success) failed = status;
  }
  if (failed != dnnl_success)
    throw Error(failed == dnnl_out_of_memory ? ErrorCode::OutOfMemory : ErrorCode::Internal,
                "oneDNN matrix product failed with status " + std::to_string(failed));
}

// Copies a matrix to another layout.
void reorder(const memory::desc& from, const void* source, const memory::desc& to, void* target) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  memory input(from, engine, const_cast<void*>(source)), output(to, engine, target);
  dnnl::reorder(input, output).execute(stream, input, output);
  stream.wait();
}

}  // namespace

int64_t productRows(int64_t rows, int64_t capacity) { return std::min((rows + 15) / 16 * 16, capacity); }

bool multipliesBFloat16() {
  // oneDNN's number of an instruction set contains the bits of all sets that it includes.
  const auto has = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto wanted = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
  return (has & wanted) == wanted;
}

bool canPack(int64_t k, int64_t n, Precision precision) {
  if (n % kPackedRows != 0 || k % (precision == Precision::BFloat16 ? 32 : 16) != 0) return false;
  // oneDNN is asked which layout it prefers. It prefers this one with AVX-512.
  const auto type = typeOf(precision);
  const memory::desc any({k, n}, type, memory::format_tag::any);
  try {
    return describe(matrix(kPackedRows, k, false, type), any, {}, matrix(kPackedRows, n, false, memory::data_type::f32),
                    {}, {dnnl::engine::kind::cpu, 0})
               .weights_desc() == packedMatrix(k, n, precision);
  } catch (const dnnl::error&) {
    return false;
  }
}

void pack(const float* weight, int64_t n, int64_t k, Precision precision, void* packed) {
  std::vector<uint16_t> rounded;
  const bool rounds = precision == Precision::BFloat16;
  const void* plain = rounds ? static_cast<const void*>(toBFloat16(weight, n * k, rounded)) : weight;
  reorder(matrix(k, n, true, typeOf(precision)), plain, packedMatrix(k, n, precision), packed);
}

void unpackTo(const PackedWeight& weight, int64_t n, int64_t k, float* plain) {
  reorder(packedMatrix(k, n, weight.precision), weight.data, matrix(k, n, true, memory::data_type::f32), plain);
}

void multiply(const Product& p, Precision precision) {
  if (p.m == 0 || p.n == 0) return;
  if (p.k == 0) {
    for (int64_t row = 0; row < p.m && !p.accumulate; ++row)
      for (int64_t i = 0; i < p.n; ++i) p.c[row * p.n + i] = p.bias ? p.bias[i] : 0.0f;
    return;
  }
  const bool wholePages = p.transposeB && !p.transposeA && p.k % 1024 == 0;
  if (precision == Precision::Float32 && !wholePages && !p.packed) return sgemm(p);
  try {
    thread_local Matmul matmul;
    matmul.run(p, precision);
  } catch (const dnnl::error& error) {
    throw Error(error.status == dnnl_out_of_memory ? ErrorCode::OutOfMemory : ErrorCode::Internal,
                std::string("oneDNN matrix product: ") + error.what());
  }
}

}  // namespace lxmert::cpu
