#include "cases.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace lxmert::bench {

namespace {

constexpr float kDropout = 0.1f, kEpsilon = 1e-12f;
constexpr int32_t kFirstVisionRow = 65536;  // of a row's place in its sample
constexpr int64_t kChunk = 16384;           // elements of the optimizer's chunks

template <class Args>
using Make = std::function<Args(Tensors&)>;

template <class Args>
Case caseOf(std::string name, double flops, void (*OpColumn::*op)(Device&, const Args&), Make<Args> make) {
  return {std::move(name), flops, [op, make](Tensors& t, Device& device, const OpColumn& column) {
            const Args args = make(t);
            return [=, &device] { (column.*op)(device, args); };
          }};
}

// A batch: how long its samples are, and how its rows lie.
struct World {
  explicit World(const Shape& shape) : s(shape) {
    std::mt19937 numbers(3);
    const auto lengths = [&](int64_t longest, std::vector<int32_t>& offsets) {
      offsets = {0};
      for (int64_t i = 0; i < s.batch; ++i) {
        const auto most = static_cast<int32_t>(longest);
        const int32_t n = s.ragged ? std::uniform_int_distribution<int32_t>(0, most)(numbers) : most;
        offsets.push_back(offsets.back() + n);
      }
    };
    lengths(s.tokens, language);
    lengths(s.objects, vision);
    spare = s.ragged ? 5 : 0;
  }

  int64_t languageRows() const { return language.back(); }
  int64_t visionRows() const { return vision.back(); }
  int64_t maskedRows() const { return std::max<int64_t>(1, languageRows() * 15 / 100); }

  // Products of queries and keys.
  double pairs(bool cross) const {
    double sum = 0;
    for (int64_t i = 0; i < s.batch; ++i) {
      const double a = language[i + 1] - language[i], b = vision[i + 1] - vision[i];
      sum += cross ? 2 * a * b : b * b;
    }
    return sum;
  }

  Rows rows(Tensors& t, RowSet set) const {
    StepRecord record{7, 1, 1e-4f, static_cast<int32_t>(s.batch), 0, 0, 0, 0, {}};
    record.languageRows = static_cast<int32_t>(languageRows());
    record.visionRows = static_cast<int32_t>(visionRows());
    record.maskedTokens = record.maskedObjects = static_cast<int32_t>(maskedRows());
    std::fill(std::begin(record.lossScale), std::end(record.lossScale), 0.01f);
    std::vector<int32_t> words(sizeof record / sizeof(int32_t));
    std::memcpy(words.data(), &record, sizeof record);
    const auto* data = reinterpret_cast<const StepRecord*>(t.ints(words).data);
    const int64_t a = languageRows() + spare, b = visionRows() + spare;
    switch (set) {
      case RowSet::Language:
        return {data, set, a, 0};
      case RowSet::Vision:
        return {data, set, b, 0};
      case RowSet::MaskedTokens:
        return {data, set, maskedRows() + spare, 0};
      default:
        return {data, RowSet::Stacked, a + b, a};
    }
  }

  Dropout dropout(Tensors& t, const Rows& rows) const {
    std::vector<int32_t> ids(2 * rows.capacity, 0);
    const auto put = [&](const std::vector<int32_t>& offsets, int64_t first, int32_t place) {
      for (size_t sample = 0; sample + 1 < offsets.size(); ++sample)
        for (int32_t row = offsets[sample]; row < offsets[sample + 1]; ++row) {
          ids[2 * (first + row)] = static_cast<int32_t>(sample);
          ids[2 * (first + row) + 1] = place + row - offsets[sample];
        }
    };
    if (rows.set != RowSet::Vision) put(language, 0, 0);
    if (rows.set != RowSet::Language) put(vision, rows.split, kFirstVisionRow);
    return {kDropout, 21, t.ints(ids), rows.record};
  }

  std::vector<int32_t> random(int64_t n, int64_t limit) const {
    std::mt19937 numbers(5);
    std::vector<int32_t> result(n);
    for (int32_t& v : result) v = std::uniform_int_distribution<int32_t>(0, static_cast<int32_t>(limit - 1))(numbers);
    return result;
  }

  Shape s;
  std::vector<int32_t> language, vision;  // offsets of the samples
  int64_t spare;
};

void addProducts(std::vector<Case>& cases, const World& w, const char* name, int64_t in, int64_t out) {
  const double flops = 2.0 * static_cast<double>(w.languageRows() + w.visionRows()) * static_cast<double>(in * out);
  const std::string what = std::string(" ") + name;
  cases.push_back(caseOf<LinearForward>("linearForward" + what, flops, &OpColumn::linearForward, [=](Tensors& t) {
    LinearForward a{w.rows(t, RowSet::Stacked), in, out, {}, {}, {}, {}};
    a.x = t.values(a.rows.capacity * in, Role::In);
    a.weight = t.floats(out * in, Role::Weight, 0.05f);
    a.bias = t.floats(out, Role::Weight);
    a.y = t.values(a.rows.capacity * out, Role::Out);
    return a;
  }));
  // The gradient of an inactive row is zero.
  const auto zeroed = [=](Tensors& t, const Rows& rows) {
    const Values dy = t.values(rows.capacity * out, Role::In);
    t.prepare([&](Device&) {
      for (int64_t row = 0; row < rows.capacity; ++row)
        if (!rows.isActive(row)) std::fill(dy.data + row * out, dy.data + (row + 1) * out, 0.0f);
    });
    return dy;
  };
  cases.push_back(
      caseOf<LinearBackwardInput>("linearBackwardInput" + what, flops, &OpColumn::linearBackwardInput, [=](Tensors& t) {
        LinearBackwardInput a{w.rows(t, RowSet::Stacked), in, out, false, {}, {}, {}};
        a.dy = zeroed(t, a.rows);
        a.weight = t.floats(out * in, Role::Weight, 0.05f);
        a.dx = t.values(a.rows.capacity * in, Role::Out);
        return a;
      }));
  cases.push_back(caseOf<LinearBackwardWeight>(
      "linearBackwardWeight" + what, flops, &OpColumn::linearBackwardWeight, [=](Tensors& t) {
        LinearBackwardWeight a{w.rows(t, RowSet::Stacked), in, out, true, true, {}, {}, {}, {}};
        a.x = t.values(a.rows.capacity * in, Role::In);
        a.dy = zeroed(t, a.rows);
        a.dWeight = t.floats(out * in, Role::InOut);
        a.dBias = t.floats(out, Role::InOut);
        return a;
      }));
}

void addAttention(std::vector<Case>& cases, const World& w, bool cross) {
  const int64_t hidden = w.s.hidden();
  const auto shapeOf = [=](Tensors& t) {
    AttentionShape a{};
    a.rows = w.rows(t, cross ? RowSet::Stacked : RowSet::Vision);
    a.samples = w.s.batch;
    a.heads = w.s.heads;
    a.headDim = w.s.headDim;
    a.offsetsA = t.ints(cross ? w.language : w.vision);
    if (cross) a.offsetsB = t.ints(w.vision);
    a.longestA = cross ? w.s.tokens : w.s.objects;
    a.longestB = cross ? w.s.objects : 0;
    a.dropout = w.dropout(t, a.rows);
    return a;
  };
  const std::string what = cross ? " cross" : " objects";
  const double flops = 4 * w.pairs(cross) * static_cast<double>(hidden);
  cases.push_back(
      caseOf<AttentionForward>("attentionForward" + what, flops, &OpColumn::attentionForward, [=](Tensors& t) {
        AttentionForward a{shapeOf(t), 0, {}, {}, {}, {}, {}};
        a.qkv = t.values(a.shape.rows.capacity * 3 * hidden, Role::In);
        a.context = t.values(a.shape.rows.capacity * hidden, Role::Out);
        a.logSumExp = t.floats(a.shape.rows.capacity * a.shape.heads, Role::Out);
        return a;
      }));
  cases.push_back(
      caseOf<AttentionBackward>("attentionBackward" + what, 2.5 * flops, &OpColumn::attentionBackward, [=](Tensors& t) {
        AttentionBackward a{shapeOf(t), {}, {}, {}, {}};
        const int64_t rows = a.shape.rows.capacity;
        a.qkv = t.values(rows * 3 * hidden, Role::In);
        a.logSumExp = t.floats(rows * a.shape.heads, Role::In);
        a.dContext = t.values(rows * hidden, Role::In);
        a.dQkv = t.values(rows * 3 * hidden, Role::Out);
        t.prepare([&](Device& device) {
          std::vector<float> context(rows * hidden);
          AttentionForward f{a.shape, 0, a.qkv, {}, a.logSumExp, {}, {}};
          f.context.data = context.data();
          f.context.size = rows * hidden;
          hostColumn().attentionForward(device, f);
        });
        return a;
      }));
}

void addLayerNorm(std::vector<Case>& cases, const World& w) {
  const int64_t width = w.s.hidden();
  const auto forward = [=](Tensors& t, Role outRole) {
    LayerNormForward a{};
    a.rows = w.rows(t, RowSet::Stacked);
    a.width = width;
    a.epsilon = kEpsilon;
    a.dropout = w.dropout(t, a.rows);
    const int64_t n = a.rows.capacity * width;
    a.z = t.values(n, Role::InOut);
    a.residual = t.values(n, Role::In);
    a.gamma = t.floats(width, Role::Weight);
    a.beta = t.floats(width, Role::Weight);
    a.out = t.values(n, outRole);
    a.stats = t.floats(a.rows.capacity * 2, outRole);
    return a;
  };
  cases.push_back(caseOf<LayerNormForward>("layerNormForward", 0, &OpColumn::layerNormForward,
                                           [=](Tensors& t) { return forward(t, Role::Out); }));
  cases.push_back(caseOf<LayerNormBackward>("layerNormBackward", 0, &OpColumn::layerNormBackward, [=](Tensors& t) {
    LayerNormBackward a{};
    a.rows = w.rows(t, RowSet::Stacked);
    a.width = width;
    a.dropout = w.dropout(t, a.rows);
    a.accumulateParameters = true;
    const int64_t n = a.rows.capacity * width;
    a.z = t.values(n, Role::In);
    a.stats = t.floats(a.rows.capacity * 2, Role::In);
    a.gamma = t.floats(width, Role::Weight);
    a.dOut = t.values(n, Role::In);
    a.dResidual = t.values(n, Role::Out);
    a.dy = t.values(n, Role::Out);
    a.dGamma = t.floats(width, Role::InOut);
    a.dBeta = t.floats(width, Role::InOut);
    t.prepare([&](Device& device) {
      std::vector<float> out(n), zeros(width, 0.0f);
      LayerNormForward f{a.rows, width, kEpsilon, {}, a.z, {}, a.gamma, {zeros.data(), width}, {}, a.stats};
      f.out.data = out.data();
      f.out.size = n;
      hostColumn().layerNormForward(device, f);
    });
    return a;
  }));
}

void addElementwise(std::vector<Case>& cases, const World& w) {
  const int64_t width = w.s.feedForward;
  cases.push_back(caseOf<ElementwiseForward>("geluForward", 0, &OpColumn::geluForward, [=](Tensors& t) {
    ElementwiseForward a{w.rows(t, RowSet::Stacked), width, {}, {}};
    a.x = t.values(a.rows.capacity * width, Role::In, 3);
    a.y = t.values(a.rows.capacity * width, Role::Out);
    return a;
  }));
  cases.push_back(caseOf<ElementwiseBackward>("geluBackward", 0, &OpColumn::geluBackward, [=](Tensors& t) {
    ElementwiseBackward a{w.rows(t, RowSet::Stacked), width, {}, {}, {}};
    a.kept = t.values(a.rows.capacity * width, Role::In, 3);
    a.dy = t.values(a.rows.capacity * width, Role::In);
    a.dx = t.values(a.rows.capacity * width, Role::Out);
    return a;
  }));
}

void addEmbeddings(std::vector<Case>& cases, const World& w) {
  const int64_t width = w.s.hidden();
  cases.push_back(
      caseOf<TokenEmbeddingForward>("tokenEmbeddingForward", 0, &OpColumn::tokenEmbeddingForward, [=](Tensors& t) {
        TokenEmbeddingForward a{};
        auto& s = a.shape;
        s.rows = w.rows(t, RowSet::Language);
        s.width = width;
        s.vocabSize = w.s.classes;
        s.positions = 512;
        s.dropout = w.dropout(t, s.rows);
        s.rowIds = s.dropout.rowIds;
        s.ids = t.ints(w.random(s.rows.capacity, s.vocabSize));
        s.word = t.floats(s.vocabSize * width, Role::Table);
        s.position = t.floats(s.positions * width, Role::Table);
        s.type = t.floats(width, Role::Weight);
        s.gamma = t.floats(width, Role::Weight);
        a.epsilon = kEpsilon;
        a.beta = t.floats(width, Role::Weight);
        a.out = t.values(s.rows.capacity * width, Role::Out);
        a.stats = t.floats(s.rows.capacity * 2, Role::Out);
        return a;
      }));
  cases.push_back(
      caseOf<ObjectEmbeddingForward>("objectEmbeddingForward", 0, &OpColumn::objectEmbeddingForward, [=](Tensors& t) {
        ObjectEmbeddingForward a{};
        auto& s = a.shape;
        s.rows = w.rows(t, RowSet::Vision);
        s.width = width;
        s.dropout = w.dropout(t, s.rows);
        s.x = t.values(s.rows.capacity * width, Role::In);
        s.boxes = t.floats(s.rows.capacity * 4, Role::In);
        s.boxWeight = t.floats(width * 4, Role::Weight);
        s.boxBias = t.floats(width, Role::Weight);
        s.featureGamma = t.floats(width, Role::Weight);
        s.boxGamma = t.floats(width, Role::Weight);
        a.epsilon = kEpsilon;
        a.featureBeta = t.floats(width, Role::Weight);
        a.boxBeta = t.floats(width, Role::Weight);
        a.out = t.values(s.rows.capacity * width, Role::Out);
        a.stats = t.floats(s.rows.capacity * 4, Role::Out);
        return a;
      }));
}

void addLosses(std::vector<Case>& cases, const World& w) {
  const int64_t classes = w.s.classes, logits = (classes + 63) / 64 * 64, width = w.s.features;
  cases.push_back(caseOf<SoftmaxCrossEntropyForward>("softmaxCrossEntropyForward", 0,
                                                     &OpColumn::softmaxCrossEntropyForward, [=](Tensors& t) {
                                                       SoftmaxCrossEntropyForward a{};
                                                       a.rows = w.rows(t, RowSet::MaskedTokens);
                                                       const int64_t rows = a.rows.capacity;
                                                       a.classes = classes;
 a.width = logits;
                                                       a.logits = t.values(rows * logits, Role::In, 4);
                                                       a.labels = t.ints(w.random(rows, classes));
                                                       a.logSumExp = t.floats(rows, Role::Out);
                                                       a.predictions = t.ints(std::vector<int32_t>(rows), Role::Out);
                                                       a.rowLoss = t.floats(rows, Role::Scratch);
                                                       a.tally = t.floats(4, Role::InOut);
                                                       return a;
                                                     }));
  cases.push_back(caseOf<SoftmaxCrossEntropyBackward>(
      "softmaxCrossEntropyBackward", 0, &OpColumn::softmaxCrossEntropyBackward, [=](Tensors& t) {
        SoftmaxCrossEntropyBackward a{};
        a.rows = w.rows(t, RowSet::MaskedTokens);
        const int64_t rows = a.rows.capacity;
        a.classes = classes;
 a.width = logits;
        a.logits = t.values(rows * logits, Role::InOut, 4);
        a.labels = t.ints(w.random(rows, classes));
        a.logSumExp = t.floats(rows, Role::In);
        t.prepare([&](Device& device) {
          std::vector<float> loss(rows), tally(4, 0.0f);
          std::vector<int32_t> predictions(rows);
          hostColumn().softmaxCrossEntropyForward(device, {a.rows,
                                                           classes,
 logits,
                                                           a.logits,
                                                           {},
                                                           a.labels,
                                                           a.logSumExp,
                                                           {predictions.data(), rows},
                                                           {loss.data(), rows},
                                                           {tally.data(), 4}});
        });
        return a;
      }));
  cases.push_back(caseOf<SmoothL1Forward>("smoothL1Forward", 0, &OpColumn::smoothL1Forward, [=](Tensors& t) {
    SmoothL1Forward a{};
    a.rows = w.rows(t, RowSet::MaskedTokens);
    a.width = width;
    a.prediction = t.values(a.rows.capacity * width, Role::In, 2);
    a.target = t.floats(a.rows.capacity * width, Role::In, 2);
    a.rowLoss = t.floats(a.rows.capacity, Role::Scratch);
    a.tally = t.floats(4, Role::InOut);
    return a;
  }));
}

void addOptimizer(std::vector<Case>& cases, const World& w) {
  const int64_t n = w.s.parameters;
  std::vector<int32_t> chunks;
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    chunks.push_back(static_cast<int32_t>(begin));
    chunks.push_back(static_cast<int32_t>(std::min(kChunk, n - begin)));
  }
  const auto count = static_cast<int64_t>(chunks.size() / 2);
  cases.push_back(caseOf<GradNorm>("gradNorm", 0, &OpColumn::gradNorm, [=](Tensors& t) {
    GradNorm a{};
    a.chunkCount = count;
    a.chunks = t.ints(chunks);
    a.gradients = t.floats(n, Role::In);
    a.partial = t.floats(count, Role::Scratch);
    a.norm = t.floats(2, Role::Out);
    return a;
  }));
  cases.push_back(caseOf<AdamUpdate>("adamUpdate", 0, &OpColumn::adamUpdate, [=](Tensors& t) {
    AdamUpdate a{};
    a.chunkCount = count;
    a.beta1 = 0.9;
    a.beta2 = 0.999;
    a.epsilon = 1e-6f;
    a.weightDecay = 0.01f;
    a.maxNorm = 1;
    a.record = w.rows(t, RowSet::Language).record;
    a.chunks = t.ints(chunks);
    a.parameters = t.floats(n, Role::Weight);
    a.gradients = t.floats(n, Role::In);
    a.firstMoment = t.floats(n, Role::InOut);
    a.secondMoment = t.floats(n, Role::InOut);
    a.norm = t.floats(2, Role::In);
    t.prepare([&](Device&) {
      for (int64_t i = 0; i < n; ++i) a.secondMoment[i] *= a.secondMoment[i];  // never negative
      a.norm[0] = 3;
      a.norm[1] = 0;
    });
    return a;
  }));
}

}  // namespace

std::vector<Case> casesOf(const Shape& shape) {
  const World w(shape);
  std::vector<Case> cases;
  addProducts(cases, w, "qkv", shape.hidden(), 3 * shape.hidden());
  addProducts(cases, w, "feed forward", shape.hidden(), shape.feedForward);
  addAttention(cases, w, false);
  addAttention(cases, w, true);
  addLayerNorm(cases, w);
  addElementwise(cases, w);
  addEmbeddings(cases, w);
  addLosses(cases, w);
  addOptimizer(cases, w);
  return cases;
}

}  // namespace lxmert::bench
