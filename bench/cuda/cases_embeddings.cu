// The cases of the first ops of the encoders: embeddings of tokens and of objects.
#include "world.h"

namespace lxmert::bench {

namespace {

TokenEmbeddingShape tokenShape(Tensors& t, const World& w) {
  TokenEmbeddingShape s{};
  s.rows = w.rows(t, RowSet::Language);
  s.width = w.s.hidden();
  s.vocabSize = w.s.classes;
  s.positions = 512;
  s.dropout = w.dropout(t, s.rows);
  s.rowIds = s.dropout.rowIds;
  s.ids = t.ints(w.random(s.rows.capacity, s.vocabSize));
  s.word = t.floats(s.vocabSize * s.width, Role::Table);
  s.position = t.floats(s.positions * s.width, Role::Table);
  s.type = t.floats(s.width, Role::Weight);
  s.gamma = t.floats(s.width, Role::Weight);
  return s;
}

ObjectEmbeddingShape objectShape(Tensors& t, const World& w) {
  ObjectEmbeddingShape s{};
  s.rows = w.rows(t, RowSet::Vision);
  s.width = w.s.hidden();
  s.dropout = w.dropout(t, s.rows);
  s.x = t.values(s.rows.capacity * s.width, Role::In);
  s.boxes = t.floats(s.rows.capacity * 4, Role::In);
  s.boxWeight = t.floats(s.width * 4, Role::Weight);
  s.boxBias = t.floats(s.width, Role::Weight);
  s.featureGamma = t.floats(s.width, Role::Weight);
  s.boxGamma = t.floats(s.width, Role::Weight);
  return s;
}

// Runs the forward pass on the host, for the statistics that the backward pass reads.
template <class Forward, class Shape>
void prepareStats(Tensors& t, void (*OpColumn::*op)(Device&, const Forward&), const Shape& shape, const Floats& stats,
                  Floats Forward::*first, Floats Forward::*second) {
  t.prepare([&](Device& device) {
    std::vector<float> out(shape.rows.capacity * shape.width), zeros(shape.width, 0.0f);
    Forward forward{};
    forward.shape = shape;
    forward.epsilon = kEpsilon;
    forward.*first = {zeros.data(), shape.width};
    forward.*second = {zeros.data(), shape.width};
    forward.out.data = out.data();
    forward.out.size = static_cast<int64_t>(out.size());
    forward.stats = stats;
    (hostColumn().*op)(device, forward);
  });
}

}  // namespace

void addEmbeddings(std::vector<Case>& cases, const World& w) {
  cases.push_back(
      caseOf<TokenEmbeddingForward>("tokenEmbeddingForward", 0, &OpColumn::tokenEmbeddingForward, [=](Tensors& t) {
        TokenEmbeddingForward a{tokenShape(t, w), kEpsilon, {}, {}, {}};
        const auto& s = a.shape;
        a.beta = t.floats(s.width, Role::Weight);
        a.out = t.values(s.rows.capacity * s.width, Role::Out);
        a.stats = t.floats(s.rows.capacity * 2, Role::Out);
        return a;
      }));
  cases.push_back(
      caseOf<TokenEmbeddingBackward>("tokenEmbeddingBackward", 0, &OpColumn::tokenEmbeddingBackward, [=](Tensors& t) {
        TokenEmbeddingBackward a{tokenShape(t, w), true, {}, {}, {}, {}, {}, {}, {}};
        const auto& s = a.shape;
        a.stats = t.floats(s.rows.capacity * 2, Role::In);
        a.dOut = t.values(s.rows.capacity * s.width, Role::In);
        a.scratch = t.floats(s.rows.capacity * s.width, Role::Scratch);
        a.dWord = t.floats(s.vocabSize * s.width, Role::SparseInOut);
        a.dPosition = t.floats(s.positions * s.width, Role::SparseInOut);
        a.dGamma = t.floats(s.width, Role::InOut);
        a.dBeta = t.floats(s.width, Role::InOut);
        using Forward = TokenEmbeddingForward;
        prepareStats(t, &OpColumn::tokenEmbeddingForward, s, a.stats, &Forward::beta, &Forward::beta);
        return a;
      }));
  cases.push_back(
      caseOf<ObjectEmbeddingForward>("objectEmbeddingForward", 0, &OpColumn::objectEmbeddingForward, [=](Tensors& t) {
        ObjectEmbeddingForward a{objectShape(t, w), kEpsilon, {}, {}, {}, {}};
        const auto& s = a.shape;
        a.featureBeta = t.floats(s.width, Role::Weight);
        a.boxBeta = t.floats(s.width, Role::Weight);
        a.out = t.values(s.rows.capacity * s.width, Role::Out);
        a.stats = t.floats(s.rows.capacity * 4, Role::Out);
        return a;
      }));
  cases.push_back(caseOf<ObjectEmbeddingBackward>(
      "objectEmbeddingBackward", 0, &OpColumn::objectEmbeddingBackward, [=](Tensors& t) {
        ObjectEmbeddingBackward a{objectShape(t, w), true, {}, {}, {}, {}, {}, {}, {}, {}, {}};
        const auto& s = a.shape;
        a.stats = t.floats(s.rows.capacity * 4, Role::In);
        a.dOut = t.values(s.rows.capacity * s.width, Role::In);
        a.dx = t.values(s.rows.capacity * s.width, Role::Out);
        a.dBoxWeight = t.floats(s.width * 4, Role::InOut);
        for (Floats* gradient : {&a.dBoxBias, &a.dFeatureGamma, &a.dFeatureBeta, &a.dBoxGamma, &a.dBoxBeta})
          *gradient = t.floats(s.width, Role::InOut);
        using Forward = ObjectEmbeddingForward;
        prepareStats(t, &OpColumn::objectEmbeddingForward, s, a.stats, &Forward::featureBeta, &Forward::boxBeta);
        return a;
      }));
}

}  // namespace lxmert::bench
