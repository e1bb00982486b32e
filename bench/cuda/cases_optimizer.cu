// The cases of ops that work on all parameters: gradient norm, BertAdam, fill.
#include <algorithm>

#include "world.h"

namespace lxmert::bench {

namespace {

constexpr int64_t kChunk = 16384;  // elements of the optimizer's chunks

}  // namespace

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
    a.sumCount = 24;  // tallies of six losses
    a.sums = t.floats(a.sumCount, Role::In);
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
    a.parameters = t.floats(n, Role::Updated);
    a.gradients = t.floats(n, Role::In);
    a.firstMoment = t.floats(n, Role::InOut);
    a.secondMoment = t.floats(n, Role::InOut);
    a.norm = t.floats(2, Role::In);
    t.prepare([&](Device&) {
      for (int64_t i = 0; i < n; ++i) a.secondMoment[i] *= a.secondMoment[i];  // a second moment is never negative
      a.norm[0] = 3;
      a.norm[1] = 0;
    });
    return a;
  }));
  cases.push_back(caseOf<Fill>("fill", 0, &OpColumn::fill, [=](Tensors& t) {
    return Fill{0.5f, t.values(n, Role::Out)};
  }));
}

}  // namespace lxmert::bench
