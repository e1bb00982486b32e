// Losses, and the gradients that take the place of what they are of.
#include "world.h"

namespace lxmert::bench {

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
  cases.push_back(caseOf<SmoothL1Backward>("smoothL1Backward", 0, &OpColumn::smoothL1Backward, [=](Tensors& t) {
    SmoothL1Backward a{};
    a.rows = w.rows(t, RowSet::MaskedTokens);
    a.width = width;
    a.prediction = t.values(a.rows.capacity * width, Role::InOut, 2);
    a.target = t.floats(a.rows.capacity * width, Role::In, 2);
    return a;
  }));
}

}  // namespace lxmert::bench
