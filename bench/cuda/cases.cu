#include "cases.h"

#include "world.h"

namespace lxmert::bench {

std::vector<Case> casesOf(const Shape& shape) {
  const World w(shape);
  std::vector<Case> cases;
  addProducts(cases, w, "qkv", shape.hidden(), 3 * shape.hidden());
  addProducts(cases, w, "feed forward", shape.hidden(), shape.feedForward);
  addAttention(cases, w, false);
  addAttention(cases, w, true);
  addRowOps(cases, w);
  addEmbeddings(cases, w);
  addLosses(cases, w);
  addOptimizer(cases, w);
  return cases;
}

}  // namespace lxmert::bench
