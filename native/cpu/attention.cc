// Scaled dot-product attention among each sample's rows. Each task computes one (direction, sample, head):
//
//   S = Q K^T / √d,  P = softmax(S),  O = (P ∘ M) V,   M the dropout mask
//
// Backward, computed from Q, K and the log-sum-exp L, which forward has kept: P = exp(S - L), and with G = dO V^T ∘ M
//
//   dV = (P ∘ M)^T dO,  dS = P ∘ (G - rowsum(P ∘ G)),  dQ = dS K / √d,  dK = dS^T Q / √d
//
// G is the gradient of the probabilities; attentionMapGradient computes it alone.
//
// In each direction the queries are rows of one stream, and the keys are rows of one stream. Each element of a gradient is
// written by exactly one task.
#include <cmath>

#include "cpu/dropout.h"
#include "cpu/kernels.h"
#include "cpu/math.h"
#include "cpu/parallel.h"
#include "cpu/small_gemm.h"

namespace lxmert::cpu {

namespace {

// One head of one sample in one direction, with its query rows and its key rows in the packed streams.
struct Head {
  int64_t sample, head, direction;
  int64_t query, queries;  // first row and number of rows
  int64_t key, keys;
};

// The number of (direction, sample) pairs.
int64_t pairsOf(const AttentionShape& s) {
  return (s.offsetsB ? 2 : 1) * Rows::clamp(s.rows.record->samples, s.samples);
}

// A sample's rows in one stream, cut to the stream's capacity and to the longest sample that the call allows.
Range rowsOf(const Ints& offsets, int64_t sample, int64_t first, int64_t capacity, int64_t longest) {
  const int64_t begin = Rows::clamp(offsets[sample], capacity);
  const int64_t count = Rows::clamp(offsets[sample + 1] - begin, std::min(capacity - begin, longest));
  return {first + begin, first + begin + count};
}

Head headAt(const AttentionShape& s, int64_t task) {
  const int64_t directions = s.offsetsB ? 2 : 1;
  Head h{};
  h.head = task % s.heads;
  h.direction = task / s.heads % directions;
  h.sample = task / s.heads / directions;
  const int64_t splitA = s.offsetsB ? s.rows.split : s.rows.capacity;
  const Range a = rowsOf(s.offsetsA, h.sample, 0, splitA, s.longestA);
  const Range b = s.offsetsB ? rowsOf(s.offsetsB, h.sample, splitA, s.rows.capacity - splitA, s.longestB) : a;
  const Range q = h.direction == 0 ? a : b, k = h.direction == 0 ? b : a;
  h.query = q.begin, h.queries = q.end - q.begin;
  h.key = k.begin, h.keys = k.end - k.begin;
  return h;
}

// A block of a matrix. Rows begin `stride` elements apart.
struct Block {
  const float* data;
  int64_t stride;
};

// Returns a block in which each row is a whole number of vectors. This is the given block if its rows already have such
// a length, and otherwise a padded copy in `buffer`.
Block padded(const Block& from, int64_t rows, int64_t columns, std::vector<float>& buffer) {
  const int64_t width = padToLanes(columns);
  if (width == columns) return from;
  buffer.resize(std::max<int64_t>(rows, 1) * width);
  for (int64_t i = 0; i < rows; ++i) {
    float* to = buffer.data() + i * width;
    std::copy_n(from.data + i * from.stride, columns, to);
    std::fill(to + columns, to + width, 0.0f);
  }
  return {buffer.data(), width};
}

// Writes the transpose, [columns, padded rows], into `buffer`.
const float* transposed(const Block& from, int64_t rows, int64_t columns, std::vector<float>& buffer) {
  buffer.resize(columns * padToLanes(rows));
  transpose(from.data, from.stride, rows, columns, buffer.data());
  return buffer.data();
}

// The result of C = A B: a block. The length of its rows may be any number of elements.
struct ProductInto {
  float* to;
  int64_t stride, rows, columns;
};

void multiplyInto(const ProductInto& c, int64_t k, const Block& a, bool transposeA, const Block& b,
                  std::vector<float>& buffer) {
  const int64_t width = padToLanes(c.columns), aRow = transposeA ? 1 : a.stride, aColumn = transposeA ? a.stride : 1;
  if (width == c.columns) {
    smallGemm({c.rows, width, k, a.data, aRow, aColumn, b.data, b.stride, c.to, c.stride});
    return;
  }
  buffer.resize(c.rows * width);
  smallGemm({c.rows, width, k, a.data, aRow, aColumn, b.data, b.stride, buffer.data(), width});
  for (int64_t i = 0; i < c.rows; ++i) std::copy_n(buffer.data() + i * width, c.columns, c.to + i * c.stride);
}

// The buffers of one thread. They grow to the largest head that the thread has computed.
struct Scratch {
  std::vector<float> q, k, v, keyT, valueT, scores, mask, dOut, gradient, product;
};

struct Context {
  const AttentionShape& shape;
  int64_t hidden, stride;
  float scale;
  const float* qkv;

  Context(const AttentionShape& s, const float* qkv)
      : shape(s),
        hidden(s.heads * s.headDim),
        stride(3 * hidden),
        scale(1.0f / std::sqrt(static_cast<float>(s.headDim))),
        qkv(qkv) {}

  Block query(const Head& h) const { return {qkv + h.query * stride + h.head * shape.headDim, stride}; }
  Block key(const Head& h) const { return {qkv + h.key * stride + hidden + h.head * shape.headDim, stride}; }
  Block value(const Head& h) const { return {qkv + h.key * stride + 2 * hidden + h.head * shape.headDim, stride}; }
};

// The score of a padded key. Its exponential is nearly 0, and the sum of the exponentials of the other keys is at least
// 1, so a padded key does not change the softmax.
constexpr float kNoKey = -1e30f;

// Scaled scores [queries, keys padded].
void scoresOf(const Context& c, const Head& h, Scratch& t) {
  const int64_t columns = padToLanes(h.keys), dim = c.shape.headDim;
  const float* keyT = transposed(c.key(h), h.keys, dim, t.keyT);
  const Block query = c.query(h);
  t.scores.resize(h.queries * columns);
  smallGemm({h.queries, columns, dim, query.data, query.stride, 1, keyT, columns, t.scores.data(), columns});
  for (int64_t i = 0; i < h.queries; ++i) {
    float* s = t.scores.data() + i * columns;
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) s[j] *= c.scale;
    std::fill(s + h.keys, s + columns, kNoKey);
  }
}

// The dropout mask of a query row, one value for each key. Each head has its own columns of the generator.
void maskRow(const Context& c, const Head& h, int64_t i, std::vector<float>& mask) {
  mask.resize(maskSize(padToLanes(h.keys)));
  dropoutMask(c.shape.dropout, h.query + i, h.head * kMaxAttentionLength, h.keys, mask.data());
}

void forwardHead(const Context& c, const AttentionForward& a, const Head& h, Scratch& t) {
  const int64_t columns = padToLanes(h.keys);
  scoresOf(c, h, t);
  const Floats& map = h.direction == 0 ? a.probabilitiesA : a.probabilitiesB;
  for (int64_t i = 0; i < h.queries; ++i) {
    float* s = t.scores.data() + i * columns;
    float largest = s[0];
#pragma omp simd reduction(max : largest)
    for (int64_t j = 0; j < columns; ++j) largest = s[j] > largest ? s[j] : largest;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < columns; ++j) {
      s[j] = exp(s[j] - largest);
      sum += s[j];
    }
    const float inverse = 1.0f / sum;
    a.logSumExp[(h.query + i) * c.shape.heads + h.head] = largest + std::log(sum);
    if (map && i < a.mapSide) {
      float* m = map.data + ((h.sample * c.shape.heads + h.head) * a.mapSide + i) * a.mapSide;
      for (int64_t j = 0; j < std::min(h.keys, a.mapSide); ++j) m[j] = s[j] * inverse;
    }
    t.mask.assign(columns, 1.0f);
    if (c.shape.dropout.p > 0) maskRow(c, h, i, t.mask);
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) s[j] *= inverse * t.mask[j];
  }
  const int64_t dim = c.shape.headDim;
  multiplyInto({a.context.data + h.query * c.hidden + h.head * dim, c.hidden, h.queries, dim}, h.keys,
               {t.scores.data(), columns}, false, padded(c.value(h), h.keys, dim, t.v), t.product);
}

void backwardHead(const Context& c, const AttentionBackward& a, const Head& h, Scratch& t) {
  const int64_t columns = padToLanes(h.keys), dim = c.shape.headDim;
  const bool dropout = c.shape.dropout.p > 0;
  scoresOf(c, h, t);
  const Block dOut{a.dContext.data + h.query * c.hidden + h.head * dim, c.hidden};
  const float* valueT = transposed(c.value(h), h.keys, dim, t.valueT);
  t.gradient.resize(h.queries * columns);
  smallGemm({h.queries, columns, dim, dOut.data, dOut.stride, 1, valueT, columns, t.gradient.data(), columns});
  for (int64_t i = 0; i < h.queries; ++i) {
    float *p = t.scores.data() + i * columns, *g = t.gradient.data() + i * columns;
    const float logSumExp = a.logSumExp[(h.query + i) * c.shape.heads + h.head];
    t.mask.assign(columns, 1.0f);
    if (dropout) maskRow(c, h, i, t.mask);
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t j = 0; j < columns; ++j) {
      p[j] = exp(p[j] - logSumExp);
      g[j] *= t.mask[j];
      dot += p[j] * g[j];
    }
    // Replaces g by the gradient of the scores, and p by the probabilities after dropout.
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) {
      g[j] = c.scale * p[j] * (g[j] - dot);
      p[j] *= t.mask[j];
    }
  }
  const Block gradient{t.gradient.data(), columns}, probabilities{t.scores.data(), columns};
  float* dQuery = a.dQkv.data + h.query * c.stride + h.head * dim;
  float* dKey = a.dQkv.data + h.key * c.stride + c.hidden + h.head * dim;
  multiplyInto({dQuery, c.stride, h.queries, dim}, h.keys, gradient, false, padded(c.key(h), h.keys, dim, t.k),
               t.product);
  multiplyInto({dKey, c.stride, h.keys, dim}, h.queries, gradient, true, padded(c.query(h), h.queries, dim, t.q),
               t.product);
  multiplyInto({dKey + c.hidden, c.stride, h.keys, dim}, h.queries, probabilities, true,
               padded(dOut, h.queries, dim, t.dOut), t.product);
}

void mapGradientHead(const Context& c, const AttentionMapGradient& a, const Head& h, Scratch& t) {
  const Floats& map = h.direction == 0 ? a.gradientsA : a.gradientsB;
  if (!map) return;
  const int64_t columns = padToLanes(h.keys), dim = c.shape.headDim;
  const Block dOut{a.dContext.data + h.query * c.hidden + h.head * dim, c.hidden};
  const float* valueT = transposed(c.value(h), h.keys, dim, t.valueT);
  t.gradient.resize(h.queries * columns);
  smallGemm({h.queries, columns, dim, dOut.data, dOut.stride, 1, valueT, columns, t.gradient.data(), columns});
  for (int64_t i = 0; i < std::min(h.queries, a.mapSide); ++i) {
    t.mask.assign(columns, 1.0f);
    if (c.shape.dropout.p > 0) maskRow(c, h, i, t.mask);
    const float* g = t.gradient.data() + i * columns;
    float* m = map.data + ((h.sample * c.shape.heads + h.head) * a.mapSide + i) * a.mapSide;
    for (int64_t j = 0; j < std::min(h.keys, a.mapSide); ++j) m[j] = g[j] * t.mask[j];
  }
}

void zeroBlock(float* to, int64_t stride, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) std::memset(to + i * stride, 0, columns * sizeof(float));
}

template <class Body>
void forEachHead(const AttentionShape& s, Body&& body) {
  const int64_t tasks = pairsOf(s) * s.heads;
  RegionFailure failure;
#pragma omp parallel
  {
    Scratch scratch;
#pragma omp for schedule(dynamic, 4)
    for (int64_t task = 0; task < tasks; ++task) failure.guard([&] { body(headAt(s, task), scratch); });
  }
  failure.rethrow();
}

}  // namespace

void attentionForward(Device&, const AttentionForward& a) {
  const Context context(a.shape, a.qkv.data);
  forEachHead(a.shape, [&](const Head& h, Scratch& scratch) {
    if (h.queries > 0 && h.keys > 0) return forwardHead(context, a, h, scratch);
    // Without queries or keys the result is zeros.
    zeroBlock(a.context.data + h.query * context.hidden + h.head * a.shape.headDim, context.hidden, h.queries,
              a.shape.headDim);
    zeroBlock(a.logSumExp.data + h.query * a.shape.heads + h.head, a.shape.heads, h.queries, 1);
  });
  zeroInactive(a.shape.rows, a.context.data, context.hidden);
  zeroInactive(a.shape.rows, a.logSumExp.data, a.shape.heads);
}

void attentionBackward(Device&, const AttentionBackward& a) {
  const Context context(a.shape, a.qkv.data);
  forEachHead(a.shape, [&](const Head& h, Scratch& scratch) {
    if (h.queries > 0 && h.keys > 0) return backwardHead(context, a, h, scratch);
    const int64_t dim = a.shape.headDim;
    zeroBlock(a.dQkv.data + h.query * context.stride + h.head * dim, context.stride, h.queries, dim);
    float* dKey = a.dQkv.data + h.key * context.stride + context.hidden + h.head * dim;
    zeroBlock(dKey, context.stride, h.keys, dim);
    zeroBlock(dKey + context.hidden, context.stride, h.keys, dim);
  });
  zeroInactive(a.shape.rows, a.dQkv.data, context.stride);
}

void attentionMapGradient(Device&, const AttentionMapGradient& a) {
  const Context context(a.shape, a.qkv.data);
  forEachHead(a.shape, [&](const Head& h, Scratch& scratch) {
    if (h.queries > 0 && h.keys > 0) mapGradientHead(context, a, h, scratch);
  });
}

}  // namespace lxmert::cpu
