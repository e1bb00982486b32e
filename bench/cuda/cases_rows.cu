// The cases of ops on rows: layer norm, GELU, tanh, gathering.
#include "world.h"

namespace lxmert::bench {

namespace {

void addLayerNorm(std::vector<Case>& cases, const World& w) {
  const int64_t width = w.s.hidden();
  const auto forward = [=](Tensors& t, Role outRole) {
    LayerNormForward a{};
    a.rows = w.rows(t, RowSet::Stacked);
    a.width = width;
    a.epsilon = kEpsilon;
    a.dropout = w.dropout(t, a.rows);
    const int64_t n = a.rows.capacity * width;
    a.z = t.values(n, Role::InOut);
    a.residual = t.values(n, Role::In);
    a.gamma = t.floats(width, Role::Weight);
    a.beta = t.floats(width, Role::Weight);
    a.out = t.values(n, outRole);
    a.stats = t.floats(a.rows.capacity * 2, outRole);
    return a;
  };
  cases.push_back(caseOf<LayerNormForward>("layerNormForward", 0, &OpColumn::layerNormForward,
                                           [=](Tensors& t) { return forward(t, Role::Out); }));
  cases.push_back(caseOf<LayerNormBackward>("layerNormBackward", 0, &OpColumn::layerNormBackward, [=](Tensors& t) {
    LayerNormBackward a{};
    a.rows = w.rows(t, RowSet::Stacked);
    a.width = width;
    a.dropout = w.dropout(t, a.rows);
    a.accumulateParameters = true;
    const int64_t n = a.rows.capacity * width;
    a.z = t.values(n, Role::In);
    a.stats = t.floats(a.rows.capacity * 2, Role::In);
    a.gamma = t.floats(width, Role::Weight);
    a.dOut = t.values(n, Role::In);
    a.dResidual = t.values(n, Role::Out);
    a.dy = t.values(n, Role::Out);
    a.dGamma = t.floats(width, Role::InOut);
    a.dBeta = t.floats(width, Role::InOut);
    t.prepare([&](Device& device) {
      std::vector<float> out(n), zeros(width, 0.0f);
      LayerNormForward f{a.rows, width, kEpsilon, {}, a.z, {}, a.gamma, {zeros.data(), width}, {}, a.stats};
      f.out.data = out.data();
      f.out.size = n;
      hostColumn().layerNormForward(device, f);
    });
    return a;
  }));
}

template <class Forward, class Backward>
void addElementwise(std::vector<Case>& cases, const World& w, const std::string& name, RowSet set, int64_t width,
                    Forward forward, Backward backward) {
  cases.push_back(caseOf<ElementwiseForward>(name + "Forward", 0, forward, [=](Tensors& t) {
    ElementwiseForward a{w.rows(t, set), width, {}, {}};
    a.x = t.values(a.rows.capacity * width, Role::In, 3);
    a.y = t.values(a.rows.capacity * width, Role::Out);
    return a;
  }));
  cases.push_back(caseOf<ElementwiseBackward>(name + "Backward", 0, backward, [=](Tensors& t) {
    ElementwiseBackward a{w.rows(t, set), width, {}, {}, {}};
    a.kept = t.values(a.rows.capacity * width, Role::In, name == "tanh" ? 1 : 3);
    a.dy = t.values(a.rows.capacity * width, Role::In);
    a.dx = t.values(a.rows.capacity * width, Role::Out);
    return a;
  }));
}

void addGather(std::vector<Case>& cases, const World& w) {
  const int64_t width = w.s.hidden();
  const auto gather = [=](Tensors& t, Role from, Role to) {
    GatherRows a{};
    a.rows = w.rows(t, RowSet::MaskedTokens);
    a.width = width;
    a.fromRows = w.languageRows() + w.spare;
    a.indices = t.ints(w.random(a.rows.capacity, a.fromRows));
    a.from = t.values(a.fromRows * width, from);
    a.to = t.values(a.rows.capacity * width, to);
    return a;
  };
  cases.push_back(caseOf<GatherRows>("gatherRowsForward", 0, &OpColumn::gatherRowsForward,
                                     [=](Tensors& t) { return gather(t, Role::Sparse, Role::Out); }));
  cases.push_back(caseOf<GatherRows>("gatherRowsBackward", 0, &OpColumn::gatherRowsBackward,
                                     [=](Tensors& t) { return gather(t, Role::SparseInOut, Role::In); }));
}

void addGatherFeatures(std::vector<Case>& cases, const World& w) {
  cases.push_back(caseOf<GatherFeatures>("gatherFeatures", 0, &OpColumn::gatherFeatures, [=](Tensors& t) {
    GatherFeatures a{};
    a.rows = w.rows(t, RowSet::Vision);
    a.width = w.s.features;
    a.tableRows = 2 * w.visionRows();
    a.indices = t.ints(w.random(a.rows.capacity, a.tableRows + a.tableRows / 8));  // some are masked
    a.table = t.halves(a.tableRows * a.width, Role::Sparse);
    a.to = t.values(a.rows.capacity * a.width, Role::Out);
    return a;
  }));
}

}  // namespace

void addRowOps(std::vector<Case>& cases, const World& w) {
  addLayerNorm(cases, w);
  addElementwise(cases, w, "gelu", RowSet::Stacked, w.s.feedForward, &OpColumn::geluForward, &OpColumn::geluBackward);
  addElementwise(cases, w, "tanh", RowSet::MaskedTokens, w.s.hidden(), &OpColumn::tanhForward, &OpColumn::tanhBackward);
  addGather(cases, w);
  addGatherFeatures(cases, w);
}

}  // namespace lxmert::bench
