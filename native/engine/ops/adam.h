#pragma once

#include "engine/arg_reader.h"

namespace lxmert {

// Chunks [n, 2] (begin, length; in elements) of the gradient arena: norm[0] = their norm, and norm[1] = 1 when it is
// not finite.
struct GradNorm {
  int64_t chunkCount;
  Ints chunks;
  Floats gradients, partial, norm;

  static GradNorm read(ArgReader& r) {
    GradNorm a{};
    a.chunkCount = r.dim("chunkCount");
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
    AdamUpdate a{};
    a.chunkCount = r.dim("chunkCount");
    a.beta1 = r.real("beta1");
    a.beta2 = r.real("beta2");
    a.epsilon = r.number("epsilon");
    a.weightDecay = r.number("weightDecay");
    a.maxNorm = r.number("maxNorm");
    a.record = r.record();
    a.chunks = r.tensor<int32_t>("chunks", a.chunkCount * 2);
    a.parameters = r.tensor<float>("parameters", 0);
    a.gradients = r.tensor<float>("gradients", a.parameters.size);
    a.firstMoment = r.tensor<float>("firstMoment", a.parameters.size);
    a.secondMoment = r.tensor<float>("secondMoment", a.parameters.size);
    a.norm = r.tensor<float>("norm", 2);
    return a;
  }
};

}  // namespace lxmert
