// Scaled dot-product attention of each sample's rows, one (direction, sample, head) at a time:
//
//   S = Q K^T / √d,  P = softmax(S),  O = (P ∘ M) V,   M the dropout mask
//
// Backward, from Q, K and the kept log-sum-exp L: P = exp(S - L), and with G = dO V^T ∘ M
//
//   dV = (P ∘ M)^T dO,  dS = P ∘ (G - rowsum(P ∘ G)),  dQ = dS K / √d,  dK = dS^T Q / √d
//
// A direction reads queries of one stream and keys of one; every gradient row belongs to exactly one of them.
#include <cmath>

#include "cpu/dropout.h"
#include "cpu/kernels.h"
#include "cpu/math.h"
#include "cpu/parallel.h"
#include "cpu/small_gemm.h"

namespace lxmert::cpu {

namespace {

// One head of one sample in one direction: rows of the packed streams.
struct Head {
  int64_t sample, head, direction;
  int64_t query, queries;  // first row and number of rows
  int64_t key, keys;
};

// The number of (direction, sample) pairs.
int64_t pairsOf(const AttentionShape& s) {
  return (s.offsetsB ? 2 : 1) * Rows::clamp(s.rows.record->samples, s.samples);
}

// A sample's rows in one stream, cut to the stream's capacity and to the longest that is supported.
Range rowsOf(const Ints& offsets, int64_t sample, int64_t first, int64_t capacity) {
  const int64_t begin = Rows::clamp(offsets[sample], capacity);
  const int64_t count = Rows::clamp(offsets[sample + 1] - begin, std::min(capacity - begin, kMaxAttentionLength));
  return {first + begin, first + begin + count};
}

Head headAt(const AttentionShape& s, int64_t task) {
  const int64_t directions = s.offsetsB ? 2 : 1;
  Head h{};
  h.head = task % s.heads;
  h.direction = task / s.heads % directions;
  h.sample = task / s.heads / directions;
  const int64_t splitA = s.offsetsB ? s.rows.split : s.rows.capacity;
  const Range a = rowsOf(s.offsetsA, h.sample, 0, splitA);
  const Range b = s.offsetsB ? rowsOf(s.offsetsB, h.sample, splitA, s.rows.capacity - splitA) : a;
  const Range q = h.direction == 0 ? a : b, k = h.direction == 0 ? b : a;
  h.query = q.begin, h.queries = q.end - q.begin;
  h.key = k.begin, h.keys = k.end - k.begin;
  return h;
}

// A block of a packed matrix as a padded local one: [rows, columns] of rows `stride` apart.
void pack(const float* from, int64_t stride, int64_t rows, int64_t columns, float factor, std::vector<float>& to) {
  const int64_t padded = padToLanes(columns);
  to.resize(std::max<int64_t>(rows, 1) * padded);
  for (int64_t i = 0; i < rows; ++i) {
    float* t = to.data() + i * padded;
    const float* f = from + i * stride;
    for (int64_t c = 0; c < columns; ++c) t[c] = f[c] * factor;
    for (int64_t c = columns; c < padded; ++c) t[c] = 0.0f;
  }
}

void packTransposed(const float* from, int64_t stride, int64_t rows, int64_t columns, std::vector<float>& to) {
  to.resize(columns * padToLanes(rows));
  transpose(from, stride, rows, columns, to.data());
}

void unpack(const std::vector<float>& from, int64_t rows, int64_t columns, float factor, float* to, int64_t stride) {
  const int64_t padded = padToLanes(columns);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t c = 0; c < columns; ++c) to[i * stride + c] = from[i * padded + c] * factor;
}

// One thread's blocks; they grow to the largest head seen.
struct Scratch {
  std::vector<float> q, keyT, v, valueT, k, scores, mask, out, dOut, gradient, dQ, dK, dV;
};

struct Context {
  const AttentionShape& shape;
  int64_t hidden, stride, padded;
  float scale;
  const float* qkv;

  Context(const AttentionShape& s, const float* qkv)
      : shape(s),
        hidden(s.heads * s.headDim),
        stride(3 * hidden),
        padded(padToLanes(s.headDim)),
        scale(1.0f / std::sqrt(static_cast<float>(s.headDim))),
        qkv(qkv) {}

  const float* query(const Head& h) const { return qkv + h.query * stride + h.head * shape.headDim; }
  const float* key(const Head& h) const { return qkv + h.key * stride + hidden + h.head * shape.headDim; }
  const float* value(const Head& h) const { return qkv + h.key * stride + 2 * hidden + h.head * shape.headDim; }
};

// The score of a key that is not there: its probability is lost beside the sum of the others, which is at least 1.
constexpr float kNoKey = -1e30f;

// Scores [queries, keys padded], scaled.
void scoresOf(const Context& c, const Head& h, Scratch& t) {
  const int64_t columns = padToLanes(h.keys);
  pack(c.query(h), c.stride, h.queries, c.shape.headDim, c.scale, t.q);
  packTransposed(c.key(h), c.stride, h.keys, c.shape.headDim, t.keyT);
  t.scores.resize(h.queries * columns);
  smallGemm(
      {h.queries, columns, c.shape.headDim, t.q.data(), c.padded, 1, t.keyT.data(), columns, t.scores.data(), columns});
  for (int64_t i = 0; i < h.queries; ++i)
    std::fill(t.scores.data() + i * columns + h.keys, t.scores.data() + (i + 1) * columns, kNoKey);
}

// The mask of a query row over its keys; heads take different columns of the generator.
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
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) s[j] *= inverse;
    a.logSumExp[(h.query + i) * c.shape.heads + h.head] = largest + std::log(sum);
    if (map && i < a.longest)
      std::memcpy(map.data + ((h.sample * c.shape.heads + h.head) * a.longest + i) * a.longest, s,
                  std::min(h.keys, a.longest) * sizeof(float));
    if (c.shape.dropout.p > 0) {
      maskRow(c, h, i, t.mask);
#pragma omp simd
      for (int64_t j = 0; j < columns; ++j) s[j] *= t.mask[j];
    }
  }
  pack(c.value(h), c.stride, h.keys, c.shape.headDim, 1.0f, t.v);
  t.out.resize(h.queries * c.padded);
  smallGemm({h.queries, c.padded, h.keys, t.scores.data(), columns, 1, t.v.data(), c.padded, t.out.data(), c.padded});
  unpack(t.out, h.queries, c.shape.headDim, 1.0f, a.context.data + h.query * c.hidden + h.head * c.shape.headDim,
         c.hidden);
}

void backwardHead(const Context& c, const AttentionBackward& a, const Head& h, Scratch& t) {
  const int64_t columns = padToLanes(h.keys), dim = c.shape.headDim;
  const bool dropout = c.shape.dropout.p > 0;
  scoresOf(c, h, t);
  pack(a.dContext.data + h.query * c.hidden + h.head * dim, c.hidden, h.queries, dim, 1.0f, t.dOut);
  packTransposed(c.value(h), c.stride, h.keys, dim, t.valueT);
  t.gradient.resize(h.queries * columns);
  smallGemm(
      {h.queries, columns, dim, t.dOut.data(), c.padded, 1, t.valueT.data(), columns, t.gradient.data(), columns});
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
    // The gradient of the scores takes the place of g; the dropped probabilities that of p.
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) {
      g[j] = p[j] * (g[j] - dot);
      p[j] *= t.mask[j];
    }
  }
  pack(c.key(h), c.stride, h.keys, dim, 1.0f, t.k);
  t.dQ.resize(h.queries * c.padded);
  t.dK.resize(h.keys * c.padded);
  t.dV.resize(h.keys * c.padded);
  smallGemm({h.queries, c.padded, h.keys, t.gradient.data(), columns, 1, t.k.data(), c.padded, t.dQ.data(), c.padded});
  smallGemm({h.keys, c.padded, h.queries, t.gradient.data(), 1, columns, t.q.data(), c.padded, t.dK.data(), c.padded});
  smallGemm({h.keys, c.padded, h.queries, t.scores.data(), 1, columns, t.dOut.data(), c.padded, t.dV.data(), c.padded});
  float* dQuery = a.dQkv.data + h.query * c.stride + h.head * dim;
  float* dKey = a.dQkv.data + h.key * c.stride + c.hidden + h.head * dim;
  unpack(t.dQ, h.queries, dim, c.scale, dQuery, c.stride);
  unpack(t.dK, h.keys, dim, 1.0f, dKey, c.stride);  // the query already carries the scale
  unpack(t.dV, h.keys, dim, 1.0f, dKey + c.hidden, c.stride);
}

void zeroBlock(float* to, int64_t stride, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) std::memset(to + i * stride, 0, columns * sizeof(float));
}

template <class Body>
void forEachHead(const AttentionShape& s, Body&& body) {
  const int64_t tasks = pairsOf(s) * s.heads;
#pragma omp parallel
  {
    Scratch scratch;
#pragma omp for schedule(dynamic, 4)
    for (int64_t task = 0; task < tasks; ++task) body(headAt(s, task), scratch);
  }
}

}  // namespace

void attentionForward(Device&, const AttentionForward& a) {
  const Context context(a.shape, a.qkv.data);
  forEachHead(a.shape, [&](const Head& h, Scratch& scratch) {
    if (h.queries > 0 && h.keys > 0) return forwardHead(context, a, h, scratch);
    // Nothing to attend to: nothing comes out.
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

}  // namespace lxmert::cpu
