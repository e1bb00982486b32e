#pragma once

#include "engine/ops/dropout.h"

namespace lxmert {

// out = dropout((LN(x) + LN(W_b box + b_b)) / 2), where x are the projected RoI features. stats [R, 4]: mean and 1 /
// standard deviation of x, then of the projected box.
struct ObjectEmbeddingShape {
  Rows rows;
  int64_t width;
  Dropout dropout;
  Values x;
  Floats boxes, boxWeight, boxBias, featureGamma, boxGamma;

  static ObjectEmbeddingShape read(ArgReader& r) {
    ObjectEmbeddingShape a{};
    a.rows = r.rows();
    a.width = r.dim("width");
    a.dropout = Dropout::read(r, a.rows);
    a.x = r.values("x", a.rows.capacity * a.width);
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
  Floats featureBeta, boxBeta;
  Values out;
  Floats stats;

  static ObjectEmbeddingForward read(ArgReader& r) {
    ObjectEmbeddingForward a{};
    a.shape = ObjectEmbeddingShape::read(r);
    a.epsilon = r.number("epsilon");
    const auto& s = a.shape;
    a.featureBeta = r.tensor<float>("featureBeta", s.width);
    a.boxBeta = r.tensor<float>("boxBeta", s.width);
    a.out = r.values("out", s.rows.capacity * s.width);
    a.stats = r.tensor<float>("stats", s.rows.capacity * 4);
    return a;
  }
};

struct ObjectEmbeddingBackward {
  ObjectEmbeddingShape shape;
  bool accumulateParameters;
  Floats stats;
  Values dOut, dx;
  Floats dBoxWeight, dBoxBias, dFeatureGamma, dFeatureBeta, dBoxGamma, dBoxBeta;

  static ObjectEmbeddingBackward read(ArgReader& r) {
    ObjectEmbeddingBackward a{};
    a.shape = ObjectEmbeddingShape::read(r);
    a.accumulateParameters = r.flag("accumulateParameters");
    const auto& s = a.shape;
    a.stats = r.tensor<float>("stats", s.rows.capacity * 4);
    a.dOut = r.values("dOut", s.rows.capacity * s.width);
    a.dx = r.values("dx", s.rows.capacity * s.width);
    a.dBoxWeight = r.tensor<float>("dBoxWeight", s.width * 4);
    a.dBoxBias = r.tensor<float>("dBoxBias", s.width);
    a.dFeatureGamma = r.tensor<float>("dFeatureGamma", s.width);
    a.dFeatureBeta = r.tensor<float>("dFeatureBeta", s.width);
    a.dBoxGamma = r.tensor<float>("dBoxGamma", s.width);
    a.dBoxBeta = r.tensor<float>("dBoxBeta", s.width);
    return a;
  }
};

}  // namespace lxmert
