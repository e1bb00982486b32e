// The cases of attention: among objects, and across both streams.
#include "world.h"

namespace lxmert::bench {

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

}  // namespace lxmert::bench
