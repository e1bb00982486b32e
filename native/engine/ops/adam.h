#pragma once

#include <algorithm>
#include <cmath>

#include "engine/arg_reader.h"

namespace lxmert {

// norm[0] = the norm of the gradient arena's chunks [n, 2] (begin, length; in elements). norm[1] = 1 if this norm or
// one of the `sums` [sumCount] is not finite, else 0. These are the sums of the losses. A loss can be infinite while
// its gradient is finite (smooth L1 far from its target). Such a step, too, must not change the weights.
struct GradNorm {
  int64_t chunkCount, sumCount;
  Ints chunks;
  Floats gradients, sums, partial, norm;

  static GradNorm read(ArgReader& r) {
    GradNorm a{};
    a.chunkCount = r.dim("chunkCount");
    a.chunks = r.tensor<int32_t>("chunks", a.chunkCount * 2);
    a.gradients = r.tensor<float>("gradients", 0);
    a.sumCount = r.dim("sumCount", 0);
    a.sums = r.tensor<float>("sums", a.sumCount);
    a.partial = r.tensor<float>("partial", a.chunkCount);
    a.norm = r.tensor<float>("norm", 2);
    return a;
  }
};

// The last part of GradNorm on the CPU: computes norm[0] and norm[1] from the sum of squares of each chunk. The sums
// are added in the order of the chunks.
inline void gradNormOf(Span<const float> squares, Span<const float> sums, float* norm) {
  double sum = 0;
  for (int64_t i = 0; i < squares.size; ++i) sum += squares[i];
  norm[0] = static_cast<float>(std::sqrt(sum));
  const bool finite =
      std::isfinite(norm[0]) && std::all_of(sums.data, sums.data + sums.size, [](float x) { return std::isfinite(x); });
  norm[1] = finite ? 0.0f : 1.0f;
}

// One BertAdam step over the chunks. It writes nothing if norm[1] is not 0. With maxNorm 0 it does not clip.
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
    if (!(a.beta1 >= 0 && a.beta1 < 1)) r.fail("beta1", "must be in [0, 1)");
    if (!(a.beta2 >= 0 && a.beta2 < 1)) r.fail("beta2", "must be in [0, 1)");
    a.epsilon = r.number("epsilon");
    // With epsilon 0, a parameter whose gradient is 0 would become 0 / 0. The same happens with an epsilon that float32
    // rounds to 0.
    if (!(a.epsilon > 0)) r.fail("epsilon", "must be greater than 0 in float32");
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
