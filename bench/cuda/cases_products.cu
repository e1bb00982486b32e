// The cases of linear layers: the forward pass, the gradient of the input and the gradient of the weights.
#include <algorithm>

#include "world.h"

namespace lxmert::bench {

void addProducts(std::vector<Case>& cases, const World& w, const char* name, int64_t in, int64_t out) {
  const double flops = 2.0 * static_cast<double>(w.languageRows() + w.visionRows()) * static_cast<double>(in * out);
  const std::string what = std::string(" ") + name;
  cases.push_back(caseOf<LinearForward>("linearForward" + what, flops, &OpColumn::linearForward, [=](Tensors& t) {
    LinearForward a{w.rows(t, RowSet::Stacked), in, out, {}, {}, {}, {}};
    a.x = t.values(a.rows.capacity * in, Role::In);
    a.weight = t.floats(out * in, Role::Weight, 0.05f);
    a.bias = t.floats(out, Role::Weight);
    a.y = t.values(a.rows.capacity * out, Role::Out);
    return a;
  }));
  // Makes dy with zeros in inactive rows, as in a training step.
  const auto zeroed = [=](Tensors& t, const Rows& rows) {
    const Values dy = t.values(rows.capacity * out, Role::In);
    t.prepare([&](Device&) {
      for (int64_t row = 0; row < rows.capacity; ++row)
        if (!rows.isActive(row)) std::fill(dy.data + row * out, dy.data + (row + 1) * out, 0.0f);
    });
    return dy;
  };
  cases.push_back(
      caseOf<LinearBackwardInput>("linearBackwardInput" + what, flops, &OpColumn::linearBackwardInput, [=](Tensors& t) {
        LinearBackwardInput a{w.rows(t, RowSet::Stacked), in, out, false, {}, {}, {}};
        a.dy = zeroed(t, a.rows);
        a.weight = t.floats(out * in, Role::Weight, 0.05f);
        a.dx = t.values(a.rows.capacity * in, Role::Out);
        return a;
      }));
  cases.push_back(caseOf<LinearBackwardWeight>(
      "linearBackwardWeight" + what, flops, &OpColumn::linearBackwardWeight, [=](Tensors& t) {
        LinearBackwardWeight a{w.rows(t, RowSet::Stacked), in, out, true, true, {}, {}, {}, {}};
        a.x = t.values(a.rows.capacity * in, Role::In);
        a.dy = zeroed(t, a.rows);
        a.dWeight = t.floats(out * in, Role::InOut);
        a.dBias = t.floats(out, Role::InOut);
        return a;
      }));
}

}  // namespace lxmert::bench
