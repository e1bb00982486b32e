// What each op takes: one struct an op, read from the call's arguments in the order of its fields. The mathematics is
// in the kernel files of the back ends (cpu/*.cc); src/engine/ops/*.ts makes the calls.
//
// Shapes: R = row capacity, H = hidden size, C = classes. Rows beyond the active ones are written as zeros.
#pragma once

#include "engine/arg_reader.h"

namespace lxmert {

using Floats = Span<float>;
using Ints = Span<int32_t>;

// Dropout of one op instance: row ids say (global sample, row in the sample) of each row, so the mask of an element
// depends on nothing else.
struct Dropout {
  float p;
  uint32_t instance;
  Ints rowIds;  // [R, 2]
  const StepRecord* record;

  static Dropout read(ArgReader& r, const Rows& rows) {
    Dropout d{};
    d.p = r.probability("dropout");
    d.instance = r.word("instance");
    d.rowIds = r.optional<int32_t>("rowIds", rows.capacity * 2);
    d.record = rows.record;
    if (d.p > 0 && (!d.rowIds || !d.record)) r.fail("rowIds", "and a step record are needed for dropout");
    return d;
  }
};

// y = x W^T + b. x [R, in], weight [out, in], bias [out], y [R, out].
struct LinearForward {
  Rows rows;
  int64_t in, out;
  Floats x, weight, bias, y;

  static LinearForward read(ArgReader& r) {
    LinearForward a{r.rows(), r.dim("in"), r.dim("out"), {}, {}, {}, {}};
    a.x = r.tensor<float>("x", a.rows.capacity * a.in);
    a.weight = r.tensor<float>("weight", a.out * a.in);
    a.bias = r.optional<float>("bias", a.out);
    a.y = r.tensor<float>("y", a.rows.capacity * a.out);
    return a;
  }
};

// dx (+)= dy W.
struct LinearBackwardInput {
  Rows rows;
  int64_t in, out;
  bool accumulate;
  Floats dy, weight, dx;

  static LinearBackwardInput read(ArgReader& r) {
    LinearBackwardInput a{r.rows(), r.dim("in"), r.dim("out"), r.flag("accumulate"), {}, {}, {}};
    a.dy = r.tensor<float>("dy", a.rows.capacity * a.out);
    a.weight = r.tensor<float>("weight", a.out * a.in);
    a.dx = r.tensor<float>("dx", a.rows.capacity * a.in);
    return a;
  }
};

// dW (+)= dy^T x, db (+)= column sums of dy.
struct LinearBackwardWeight {
  Rows rows;
  int64_t in, out;
  bool accumulateWeight, accumulateBias;
  Floats x, dy, dWeight, dBias;

  static LinearBackwardWeight read(ArgReader& r) {
    LinearBackwardWeight a{r.rows(), r.dim("in"), r.dim("out"), r.flag("accumulateWeight"), r.flag("accumulateBias"),
                           {},       {},          {},           {}};
    a.x = r.tensor<float>("x", a.rows.capacity * a.in);
    a.dy = r.tensor<float>("dy", a.rows.capacity * a.out);
    a.dWeight = r.tensor<float>("dWeight", a.out * a.in);
    a.dBias = r.optional<float>("dBias", a.out);
    return a;
  }
};

// An elementwise function of [R, width]: forward reads x and writes y; backward reads what forward kept and dy, and
// writes dx (which may be dy).
struct ElementwiseForward {
  Rows rows;
  int64_t width;
  Floats x, y;

  static ElementwiseForward read(ArgReader& r) {
    ElementwiseForward a{r.rows(), r.dim("width"), {}, {}};
    a.x = r.tensor<float>("x", a.rows.capacity * a.width);
    a.y = r.tensor<float>("y", a.rows.capacity * a.width);
    return a;
  }
};

struct ElementwiseBackward {
  Rows rows;
  int64_t width;
  Floats kept, dy, dx;

  static ElementwiseBackward read(ArgReader& r) {
    ElementwiseBackward a{r.rows(), r.dim("width"), {}, {}, {}};
    a.kept = r.tensor<float>("kept", a.rows.capacity * a.width);
    a.dy = r.tensor<float>("dy", a.rows.capacity * a.width);
    a.dx = r.tensor<float>("dx", a.rows.capacity * a.width);
    return a;
  }
};

constexpr int64_t kMaxAttentionLength = 512;
constexpr int64_t kMaxHeadDim = 256;

// Attention within each sample over packed rows. Without `offsetsB` the rows attend to themselves; with it the rows are
// two streams stacked at rows.split, and each attends to the other.
struct AttentionShape {
  Rows rows;
  int64_t samples;  // capacity of the batch: offsets have one more
  int64_t heads, headDim;
  Ints offsetsA, offsetsB;  // [samples + 1] row offsets of each sample, within its stream
  Dropout dropout;

  static AttentionShape read(ArgReader& r) {
    AttentionShape a{r.rows(), r.dim("samples"), r.integer("heads", 1, 1024), r.integer("headDim", 1, kMaxHeadDim),
                     {},       {},               {}};
    a.offsetsA = r.tensor<int32_t>("offsetsA", a.samples + 1);
    a.offsetsB = r.optional<int32_t>("offsetsB", a.samples + 1);
    a.dropout = Dropout::read(r, a.rows);
    return a;
  }
};

// qkv [R, 3H] (query, key, value side by side), context [R, H], logSumExp [R, heads], and, when asked for,
// probabilities [samples, heads, longest, longest] of each direction.
struct AttentionForward {
  AttentionShape shape;
  int64_t longest;
  Floats qkv, context, logSumExp, probabilitiesA, probabilitiesB;

  static AttentionForward read(ArgReader& r) {
    AttentionForward a{AttentionShape::read(r), r.integer("longest", 0, kMaxAttentionLength), {}, {}, {}, {}, {}};
    const auto& s = a.shape;
    const int64_t hidden = s.heads * s.headDim, map = s.samples * s.heads * a.longest * a.longest;
    a.qkv = r.tensor<float>("qkv", s.rows.capacity * 3 * hidden);
    a.context = r.tensor<float>("context", s.rows.capacity * hidden);
    a.logSumExp = r.tensor<float>("logSumExp", s.rows.capacity * s.heads);
    a.probabilitiesA = r.optional<float>("probabilitiesA", map);
    a.probabilitiesB = r.optional<float>("probabilitiesB", map);
    return a;
  }
};

struct AttentionBackward {
  AttentionShape shape;
  Floats qkv, logSumExp, dContext, dQkv;

  static AttentionBackward read(ArgReader& r) {
    AttentionBackward a{AttentionShape::read(r), {}, {}, {}, {}};
    const auto& s = a.shape;
    const int64_t hidden = s.heads * s.headDim;
    a.qkv = r.tensor<float>("qkv", s.rows.capacity * 3 * hidden);
    a.logSumExp = r.tensor<float>("logSumExp", s.rows.capacity * s.heads);
    a.dContext = r.tensor<float>("dContext", s.rows.capacity * hidden);
    a.dQkv = r.tensor<float>("dQkv", s.rows.capacity * 3 * hidden);
    return a;
  }
};

// z = residual + dropout(z); out = LN(z) gamma + beta. z [R, H] is changed in place and kept for backward; without
// `residual` it is left as it is. stats [R, 2]: mean and 1 / standard deviation.
struct LayerNormForward {
  Rows rows;
  int64_t width;
  float epsilon;
  Dropout dropout;
  Floats z, residual, gamma, beta, out, stats;

  static LayerNormForward read(ArgReader& r) {
    LayerNormForward a{r.rows(), r.dim("width"), r.number("epsilon"), {}, {}, {}, {}, {}, {}, {}};
    a.dropout = Dropout::read(r, a.rows);
    const int64_t n = a.rows.capacity * a.width;
    a.z = r.tensor<float>("z", n);
    a.residual = r.optional<float>("residual", n);
    a.gamma = r.tensor<float>("gamma", a.width);
    a.beta = r.tensor<float>("beta", a.width);
    a.out = r.tensor<float>("out", n);
    a.stats = r.tensor<float>("stats", a.rows.capacity * 2);
    return a;
  }
};

// dz goes to dResidual (+)= and, through the dropout, to dy. dGamma and dBeta (+)=.
struct LayerNormBackward {
  Rows rows;
  int64_t width;
  Dropout dropout;
  bool accumulateResidual, accumulateParameters;
  Floats z, stats, gamma, dOut, dResidual, dy, dGamma, dBeta;

  static LayerNormBackward read(ArgReader& r) {
    LayerNormBackward a{r.rows(), r.dim("width"), {}, false, false, {}, {}, {}, {}, {}, {}, {}, {}};
    a.dropout = Dropout::read(r, a.rows);
    a.accumulateResidual = r.flag("accumulateResidual");
    a.accumulateParameters = r.flag("accumulateParameters");
    const int64_t n = a.rows.capacity * a.width;
    a.z = r.tensor<float>("z", n);
    a.stats = r.tensor<float>("stats", a.rows.capacity * 2);
    a.gamma = r.tensor<float>("gamma", a.width);
    a.dOut = r.tensor<float>("dOut", n);
    a.dResidual = r.optional<float>("dResidual", n);
    a.dy = r.tensor<float>("dy", n);
    a.dGamma = r.tensor<float>("dGamma", a.width);
    a.dBeta = r.tensor<float>("dBeta", a.width);
    return a;
  }
};

// out = dropout(LN(word[id] + position[p] + type[0])), p the row's place in its sample (from rowIds). stats [R, 2].
struct TokenEmbeddingShape {
  Rows rows;
  int64_t width, vocabSize, positions;
  Dropout dropout;
  Ints ids, rowIds;
  Floats word, position, type, gamma;

  static TokenEmbeddingShape read(ArgReader& r) {
    TokenEmbeddingShape a{r.rows(), r.dim("width"), r.dim("vocabSize"), r.dim("positions"), {}, {}, {}, {}, {}, {}, {}};
    a.dropout = Dropout::read(r, a.rows);
    a.ids = r.tensor<int32_t>("ids", a.rows.capacity);
    a.rowIds = r.tensor<int32_t>("rowIds", a.rows.capacity * 2);
    a.word = r.tensor<float>("word", a.vocabSize * a.width);
    a.position = r.tensor<float>("position", a.positions * a.width);
    a.type = r.tensor<float>("type", a.width);
    a.gamma = r.tensor<float>("gamma", a.width);
    return a;
  }
};

struct TokenEmbeddingForward {
  TokenEmbeddingShape shape;
  float epsilon;
  Floats beta, out, stats;

  static TokenEmbeddingForward read(ArgReader& r) {
    TokenEmbeddingForward a{TokenEmbeddingShape::read(r), r.number("epsilon"), {}, {}, {}};
    a.beta = r.tensor<float>("beta", a.shape.width);
    a.out = r.tensor<float>("out", a.shape.rows.capacity * a.shape.width);
    a.stats = r.tensor<float>("stats", a.shape.rows.capacity * 2);
    return a;
  }
};

// Adds to dWord and dPosition (never to their row 0: the original's padding index); scratch [R, H].
struct TokenEmbeddingBackward {
  TokenEmbeddingShape shape;
  bool accumulateParameters;
  Floats stats, dOut, scratch, dWord, dPosition, dGamma, dBeta;

  static TokenEmbeddingBackward read(ArgReader& r) {
    TokenEmbeddingBackward a{TokenEmbeddingShape::read(r), r.flag("accumulateParameters"), {}, {}, {}, {}, {}, {}, {}};
    const auto& s = a.shape;
    a.stats = r.tensor<float>("stats", s.rows.capacity * 2);
    a.dOut = r.tensor<float>("dOut", s.rows.capacity * s.width);
    a.scratch = r.tensor<float>("scratch", s.rows.capacity * s.width);
    a.dWord = r.tensor<float>("dWord", s.vocabSize * s.width);
    a.dPosition = r.tensor<float>("dPosition", s.positions * s.width);
    a.dGamma = r.tensor<float>("dGamma", s.width);
    a.dBeta = r.tensor<float>("dBeta", s.width);
    return a;
  }
};

// out = dropout((LN(x) + LN(W_b box + b_b)) / 2), x the projected RoI features. stats [R, 4]: mean and 1 / deviation of
// the features, then of the box.
struct ObjectEmbeddingShape {
  Rows rows;
  int64_t width;
  Dropout dropout;
  Floats x, boxes, boxWeight, boxBias, featureGamma, boxGamma;

  static ObjectEmbeddingShape read(ArgReader& r) {
    ObjectEmbeddingShape a{r.rows(), r.dim("width"), {}, {}, {}, {}, {}, {}, {}};
    a.dropout = Dropout::read(r, a.rows);
    a.x = r.tensor<float>("x", a.rows.capacity * a.width);
    a.boxes = r.tensor<float>("boxes", a.rows.capacity * 4);
    a.boxWeight = r.tensor<float>("boxWeight", a.width * 4);
    a.boxBias = r.tensor<float>("boxBias", a.width);
    a.featureGamma = r.tensor<float>("featureGamma", a.width);
    a.boxGamma = r.tensor<float>("boxGamma", a.width);
    return a;
  }
};

struct ObjectEmbeddingForward {
  ObjectEmbeddingShape shape;
  float epsilon;
  Floats featureBeta, boxBeta, out, stats;

  static ObjectEmbeddingForward read(ArgReader& r) {
    ObjectEmbeddingForward a{ObjectEmbeddingShape::read(r), r.number("epsilon"), {}, {}, {}, {}};
    const auto& s = a.shape;
    a.featureBeta = r.tensor<float>("featureBeta", s.width);
    a.boxBeta = r.tensor<float>("boxBeta", s.width);
    a.out = r.tensor<float>("out", s.rows.capacity * s.width);
    a.stats = r.tensor<float>("stats", s.rows.capacity * 4);
    return a;
  }
};

struct ObjectEmbeddingBackward {
  ObjectEmbeddingShape shape;
  bool accumulateParameters;
  Floats stats, dOut, dx, dBoxWeight, dBoxBias, dFeatureGamma, dFeatureBeta, dBoxGamma, dBoxBeta;

  static ObjectEmbeddingBackward read(ArgReader& r) {
    ObjectEmbeddingBackward a{
        ObjectEmbeddingShape::read(r), r.flag("accumulateParameters"), {}, {}, {}, {}, {}, {}, {}, {}, {}};
    const auto& s = a.shape;
    a.stats = r.tensor<float>("stats", s.rows.capacity * 4);
    a.dOut = r.tensor<float>("dOut", s.rows.capacity * s.width);
    a.dx = r.tensor<float>("dx", s.rows.capacity * s.width);
    a.dBoxWeight = r.tensor<float>("dBoxWeight", s.width * 4);
    a.dBoxBias = r.tensor<float>("dBoxBias", s.width);
    a.dFeatureGamma = r.tensor<float>("dFeatureGamma", s.width);
    a.dFeatureBeta = r.tensor<float>("dFeatureBeta", s.width);
    a.dBoxGamma = r.tensor<float>("dBoxGamma", s.width);
    a.dBoxBeta = r.tensor<float>("dBoxBeta", s.width);
    return a;
  }
};

// Forward: to[i] = from[indices[i]], `rows` being those of `to`. Backward: from[indices[i]] += to[i]. An index outside
// `fromRows` gives a row of zeros, and takes nothing.
struct GatherRows {
  Rows rows;
  int64_t width, fromRows;
  Ints indices;
  Floats from, to;

  static GatherRows read(ArgReader& r) {
    GatherRows a{r.rows(), r.dim("width"), r.dim("fromRows"), {}, {}, {}};
    a.indices = r.tensor<int32_t>("indices", a.rows.capacity);
    a.from = r.tensor<float>("from", a.fromRows * a.width);
    a.to = r.tensor<float>("to", a.rows.capacity * a.width);
    return a;
  }
};

// Cross-entropy of softmax(logits) [R, C] at labels [R] (outside [0, C): ignored), weighted by weights [R] if given.
// Adds Σ weight × loss, right arg-maxes and labels to tally[0..2]; logSumExp [R] is kept, predictions [R] are arg-maxes.
struct SoftmaxCrossEntropyForward {
  Rows rows;
  int64_t classes;
  Floats logits, weights;
  Ints labels;
  Floats logSumExp;
  Ints predictions;
  Floats rowLoss, tally;

  static SoftmaxCrossEntropyForward read(ArgReader& r) {
    SoftmaxCrossEntropyForward a{r.rows(), r.dim("classes"), {}, {}, {}, {}, {}, {}, {}};
    a.logits = r.tensor<float>("logits", a.rows.capacity * a.classes);
    a.weights = r.optional<float>("weights", a.rows.capacity);
    a.labels = r.tensor<int32_t>("labels", a.rows.capacity);
    a.logSumExp = r.tensor<float>("logSumExp", a.rows.capacity);
    a.predictions = r.tensor<int32_t>("predictions", a.rows.capacity);
    a.rowLoss = r.tensor<float>("rowLoss", a.rows.capacity);
    a.tally = r.tensor<float>("tally", 4);
    return a;
  }
};

// logits become their gradient: lossScale[slot] × weight × (softmax - onehot).
struct SoftmaxCrossEntropyBackward {
  Rows rows;
  int64_t classes;
  int64_t slot;
  Floats logits, weights;
  Ints labels;
  Floats logSumExp;

  static SoftmaxCrossEntropyBackward read(ArgReader& r) {
    SoftmaxCrossEntropyBackward a{r.rows(), r.dim("classes"), r.integer("slot", 0, kLossSlots - 1), {}, {}, {}, {}};
    if (!a.rows.record) r.fail("record", "is missing");
    a.logits = r.tensor<float>("logits", a.rows.capacity * a.classes);
    a.weights = r.optional<float>("weights", a.rows.capacity);
    a.labels = r.tensor<int32_t>("labels", a.rows.capacity);
    a.logSumExp = r.tensor<float>("logSumExp", a.rows.capacity);
    return a;
  }
};

// Smooth L1 (beta 1) of prediction - target, mean over the width, summed over rows into tally[0]. Backward turns the
// prediction into its gradient.
struct SmoothL1Forward {
  Rows rows;
  int64_t width;
  Floats prediction, target, rowLoss, tally;

  static SmoothL1Forward read(ArgReader& r) {
    SmoothL1Forward a{r.rows(), r.dim("width"), {}, {}, {}, {}};
    a.prediction = r.tensor<float>("prediction", a.rows.capacity * a.width);
    a.target = r.tensor<float>("target", a.rows.capacity * a.width);
    a.rowLoss = r.tensor<float>("rowLoss", a.rows.capacity);
    a.tally = r.tensor<float>("tally", 4);
    return a;
  }
};

struct SmoothL1Backward {
  Rows rows;
  int64_t width;
  int64_t slot;
  Floats prediction, target;

  static SmoothL1Backward read(ArgReader& r) {
    SmoothL1Backward a{r.rows(), r.dim("width"), r.integer("slot", 0, kLossSlots - 1), {}, {}};
    if (!a.rows.record) r.fail("record", "is missing");
    a.prediction = r.tensor<float>("prediction", a.rows.capacity * a.width);
    a.target = r.tensor<float>("target", a.rows.capacity * a.width);
    return a;
  }
};

// Chunks [n, 2] (begin, length; in elements) of the gradient arena: norm[0] = their norm, and norm[1] = 1 when it is
// not finite.
struct GradNorm {
  int64_t chunkCount;
  Ints chunks;
  Floats gradients, partial, norm;

  static GradNorm read(ArgReader& r) {
    GradNorm a{r.dim("chunkCount"), {}, {}, {}, {}};
    a.chunks = r.tensor<int32_t>("chunks", a.chunkCount * 2);
    a.gradients = r.tensor<float>("gradients", 0);
    a.partial = r.tensor<float>("partial", a.chunkCount);
    a.norm = r.tensor<float>("norm", 2);
    return a;
  }
};

// One BertAdam step over the chunks; nothing is written when norm[1] is set. maxNorm 0: no clipping.
struct AdamUpdate {
  int64_t chunkCount;
  double beta1, beta2;  // 1 - 0.999 is not exact enough in float32
  float epsilon, weightDecay, maxNorm;
  const StepRecord* record;
  Ints chunks;
  Floats parameters, gradients, firstMoment, secondMoment, norm;

  static AdamUpdate read(ArgReader& r) {
    AdamUpdate a{r.dim("chunkCount"),
                 r.real("beta1"),
                 r.real("beta2"),
                 r.number("epsilon"),
                 r.number("weightDecay"),
                 r.number("maxNorm"),
                 r.record(),
                 {},
                 {},
                 {},
                 {},
                 {},
                 {}};
    a.chunks = r.tensor<int32_t>("chunks", a.chunkCount * 2);
    a.parameters = r.tensor<float>("parameters", 0);
    a.gradients = r.tensor<float>("gradients", a.parameters.size);
    a.firstMoment = r.tensor<float>("firstMoment", a.parameters.size);
    a.secondMoment = r.tensor<float>("secondMoment", a.parameters.size);
    a.norm = r.tensor<float>("norm", 2);
    return a;
  }
};

struct Fill {
  float value;
  Floats x;

  static Fill read(ArgReader& r) {
    Fill a{r.number("value"), {}};
    a.x = r.tensor<float>("x", 0);
    return a;
  }
};

// x ~ N(0, deviation²), from Philox keyed by (seed, stream).
struct FillNormal {
  float deviation;
  uint32_t seed, stream;
  Floats x;

  static FillNormal read(ArgReader& r) {
    FillNormal a{r.number("deviation"), r.word("seed"), r.word("stream"), {}};
    a.x = r.tensor<float>("x", 0);
    return a;
  }
};

}  // namespace lxmert
