// The cases of losses, and of their backward passes, which write the gradient over the logits.
#include <algorithm>

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
  // As many answers as VQA has, and three scored answers for each question.
  const int64_t answers = std::min<int64_t>(classes, 3129), entriesOfRow = 3;
  const auto targets = [=](Tensors& t, int64_t rows) {
    SoftTargets soft{};
    soft.entries = rows * entriesOfRow;
    std::vector<int32_t> offsets(rows + 1);
    for (int64_t row = 0; row <= rows; ++row) offsets[row] = static_cast<int32_t>(row * entriesOfRow);
    soft.offsets = t.ints(offsets);
    soft.ids = t.ints(w.random(soft.entries, answers));
    soft.scores = t.floats(soft.entries, Role::In);
    return soft;
  };
  cases.push_back(caseOf<SigmoidCrossEntropyForward>("sigmoidCrossEntropyForward", 0,
                                                     &OpColumn::sigmoidCrossEntropyForward, [=](Tensors& t) {
                                                       SigmoidCrossEntropyForward a{};
                                                       a.rows = w.rows(t, RowSet::Samples);
                                                       const int64_t rows = a.rows.capacity;
                                                       a.classes = answers;
                                                       a.width = (answers + 63) / 64 * 64;
                                                       a.logits = t.values(rows * a.width, Role::In, 4);
                                                       a.targets = targets(t, rows);
                                                       a.predictions = t.ints(std::vector<int32_t>(rows), Role::Out);
                                                       a.rowScore = t.floats(rows, Role::Out);
                                                       a.rowLoss = t.floats(rows, Role::Out);
                                                       a.tally = t.floats(4, Role::InOut);
                                                       return a;
                                                     }));
  cases.push_back(caseOf<SigmoidCrossEntropyBackward>("sigmoidCrossEntropyBackward", 0,
                                                      &OpColumn::sigmoidCrossEntropyBackward, [=](Tensors& t) {
                                                        SigmoidCrossEntropyBackward a{};
                                                        a.rows = w.rows(t, RowSet::Samples);
                                                        a.classes = answers;
                                                        a.width = (answers + 63) / 64 * 64;
                                                        a.logits = t.values(a.rows.capacity * a.width, Role::InOut, 4);
                                                        a.targets = targets(t, a.rows.capacity);
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
