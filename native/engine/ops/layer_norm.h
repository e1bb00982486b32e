#pragma once

#include "engine/ops/dropout.h"

namespace lxmert {

// z = residual + dropout(z); out = LN(z) gamma + beta. z [R, H] is overwritten and kept for backward; without
// `residual` it does not change. stats [R, 2]: mean and 1 / standard deviation.
struct LayerNormForward {
  Rows rows;
  int64_t width;
  float epsilon;
  Dropout dropout;
  Values z, residual;
  Floats gamma, beta;
  Values out;
  Floats stats;

  static LayerNormForward read(ArgReader& r) {
    LayerNormForward a{};
    a.rows = r.rows();
    a.width = r.dim("width");
    a.epsilon = r.number("epsilon");
    a.dropout = Dropout::read(r, a.rows);
    const int64_t n = a.rows.capacity * a.width;
    a.z = r.values("z", n);
    a.residual = r.optionalValues("residual", n);
    a.gamma = r.tensor<float>("gamma", a.width);
    a.beta = r.tensor<float>("beta", a.width);
    a.out = r.values("out", n);
    a.stats = r.tensor<float>("stats", a.rows.capacity * 2);
    return a;
  }
};

// Writes dz to dResidual, or adds it; writes dropout(dz) to dy. Writes or adds to dGamma and dBeta.
struct LayerNormBackward {
  Rows rows;
  int64_t width;
  Dropout dropout;
  bool accumulateResidual, accumulateParameters;
  Values z;
  Floats stats, gamma;
  Values dOut, dResidual, dy;
  Floats dGamma, dBeta;

  static LayerNormBackward read(ArgReader& r) {
    LayerNormBackward a{};
    a.rows = r.rows();
    a.width = r.dim("width");
    a.dropout = Dropout::read(r, a.rows);
    a.accumulateResidual = r.flag("accumulateResidual");
    a.accumulateParameters = r.flag("accumulateParameters");
    const int64_t n = a.rows.capacity * a.width;
    a.z = r.values("z", n);
    a.stats = r.tensor<float>("stats", a.rows.capacity * 2);
    a.gamma = r.tensor<float>("gamma", a.width);
    a.dOut = r.values("dOut", n);
    a.dResidual = r.optionalValues("dResidual", n);
    a.dy = r.values("dy", n);
    a.dGamma = r.tensor<float>("dGamma", a.width);
    a.dBeta = r.tensor<float>("dBeta", a.width);
    return a;
  }
};

}  // namespace lxmert
