#pragma once

#include "engine/arg_reader.h"

namespace lxmert {

struct Fill {
  float value;
  Values x;

  static Fill read(ArgReader& r) {
    Fill a{};
    a.value = r.number("value");
    a.x = r.values("x", 0);
    return a;
  }
};

// x ~ N(0, deviation²), from Philox keyed by (seed, stream).
struct FillNormal {
  float deviation;
  uint32_t seed, stream;
  Floats x;

  static FillNormal read(ArgReader& r) {
    FillNormal a{};
    a.deviation = r.number("deviation");
    a.seed = r.word("seed");
    a.stream = r.word("stream");
    a.x = r.tensor<float>("x", 0);
    return a;
  }
};

}  // namespace lxmert
