#pragma once

#include "engine/arg_reader.h"

namespace lxmert {

// An elementwise function of [R, width]. Forward reads x and writes y. Backward reads dy and the tensor that forward
// kept (x or y), and writes dx, which may be the same memory as dy.
struct ElementwiseForward {
  Rows rows;
  int64_t width;
  Values x, y;

  static ElementwiseForward read(ArgReader& r) {
    ElementwiseForward a{};
    a.rows = r.rows();
    a.width = r.dim("width");
    a.x = r.values("x", a.rows.capacity * a.width);
    a.y = r.values("y", a.rows.capacity * a.width);
    return a;
  }
};

struct ElementwiseBackward {
  Rows rows;
  int64_t width;
  Values kept, dy, dx;

  static ElementwiseBackward read(ArgReader& r) {
    ElementwiseBackward a{};
    a.rows = r.rows();
    a.width = r.dim("width");
    a.kept = r.values("kept", a.rows.capacity * a.width);
    a.dy = r.values("dy", a.rows.capacity * a.width);
    a.dx = r.values("dx", a.rows.capacity * a.width);
    return a;
  }
};

}  // namespace lxmert
