#pragma once

#include "engine/arg_reader.h"

namespace lxmert {

// y = x W^T + b. x [R, in], weight [out, in], bias [out], y [R, out]. All other ops write zeros to inactive rows, but
// this op may write the bias to the inactive rows of y. Only products read these rows, and they multiply them with the
// zeros of a gradient.
struct LinearForward {
  Rows rows;
  int64_t in, out;
  Values x;  // may be F32 even if y is not: the input features
  Floats weight, bias;
  Values y;

  static LinearForward read(ArgReader& r) {
    LinearForward a{};
    a.rows = r.rows();
    a.in = r.dim("in");
    a.out = r.dim("out");
    a.x = r.inputValues("x", a.rows.capacity * a.in);
    a.weight = r.tensor<float>("weight", a.out * a.in);
    a.bias = r.optional<float>("bias", a.out);
    a.y = r.values("y", a.rows.capacity * a.out);
    return a;
  }
};

// dx = dy W, or dx += dy W.
struct LinearBackwardInput {
  Rows rows;
  int64_t in, out;
  bool accumulate;
  Values dy;
  Floats weight;
  Values dx;

  static LinearBackwardInput read(ArgReader& r) {
    LinearBackwardInput a{};
    a.rows = r.rows();
    a.in = r.dim("in");
    a.out = r.dim("out");
    a.accumulate = r.flag("accumulate");
    a.dy = r.values("dy", a.rows.capacity * a.out);
    a.weight = r.tensor<float>("weight", a.out * a.in);
    a.dx = r.values("dx", a.rows.capacity * a.in);
    return a;
  }
};

// dW = dy^T x and db = column sums of dy; or both are added to the values that dW and db contain.
struct LinearBackwardWeight {
  Rows rows;
  int64_t in, out;
  bool accumulateWeight, accumulateBias;
  Values x, dy;  // x may be F32, as in forward
  Floats dWeight, dBias;

  static LinearBackwardWeight read(ArgReader& r) {
    LinearBackwardWeight a{};
    a.rows = r.rows();
    a.in = r.dim("in");
    a.out = r.dim("out");
    a.accumulateWeight = r.flag("accumulateWeight");
    a.accumulateBias = r.flag("accumulateBias");
    a.x = r.inputValues("x", a.rows.capacity * a.in);
    a.dy = r.values("dy", a.rows.capacity * a.out);
    a.dWeight = r.tensor<float>("dWeight", a.out * a.in);
    a.dBias = r.optional<float>("dBias", a.out);
    return a;
  }
};

// Lays weight [out, in] out for forward products, in place. Its values stay, but are rounded to bfloat16 if products are
// computed in bfloat16. Afterwards only linearForward, linearBackwardInput and copies may use the weight.
struct PackWeight {
  int64_t in, out;
  Floats weight;

  static PackWeight read(ArgReader& r) {
    PackWeight a{};
    a.in = r.dim("in");
    a.out = r.dim("out");
    a.weight = r.tensor<float>("weight", a.out * a.in);
    return a;
  }
};

}  // namespace lxmert
