#pragma once

#include "engine/ops/dropout.h"

namespace lxmert {

// out = dropout(LN(word[id] + position[p] + type[0])), where p is the row's place in its sample (from rowIds). stats
// [R, 2]: mean and 1 / standard deviation.
struct TokenEmbeddingShape {
  Rows rows;
  int64_t width, vocabSize, positions;
  Dropout dropout;
  Ints ids, rowIds;
  Floats word, position, type, gamma;

  static TokenEmbeddingShape read(ArgReader& r) {
    TokenEmbeddingShape a{};
    a.rows = r.rows();
    a.width = r.dim("width");
    a.vocabSize = r.dim("vocabSize");
    a.positions = r.dim("positions");
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
  Floats beta;
  Values out;
  Floats stats;

  static TokenEmbeddingForward read(ArgReader& r) {
    TokenEmbeddingForward a{};
    a.shape = TokenEmbeddingShape::read(r);
    a.epsilon = r.number("epsilon");
    a.beta = r.tensor<float>("beta", a.shape.width);
    a.out = r.values("out", a.shape.rows.capacity * a.shape.width);
    a.stats = r.tensor<float>("stats", a.shape.rows.capacity * 2);
    return a;
  }
};

// Adds to dWord and dPosition, but never to their row 0, the original's padding index. scratch [R, H].
struct TokenEmbeddingBackward {
  TokenEmbeddingShape shape;
  bool accumulateParameters;
  Floats stats;
  Values dOut;
  Floats scratch, dWord, dPosition, dGamma, dBeta;

  static TokenEmbeddingBackward read(ArgReader& r) {
    TokenEmbeddingBackward a{};
    a.shape = TokenEmbeddingShape::read(r);
    a.accumulateParameters = r.flag("accumulateParameters");
    const auto& s = a.shape;
    a.stats = r.tensor<float>("stats", s.rows.capacity * 2);
    a.dOut = r.values("dOut", s.rows.capacity * s.width);
    a.scratch = r.tensor<float>("scratch", s.rows.capacity * s.width);
    a.dWord = r.tensor<float>("dWord", s.vocabSize * s.width);
    a.dPosition = r.tensor<float>("dPosition", s.positions * s.width);
    a.dGamma = r.tensor<float>("dGamma", s.width);
    a.dBeta = r.tensor<float>("dBeta", s.width);
    return a;
  }
};

}  // namespace lxmert
