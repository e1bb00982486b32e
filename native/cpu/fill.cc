// x = value, and x ~ N(0, deviation²) by the Box–Muller method.
#include <cmath>

#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace lxmert::cpu {

void fill(Device&, const Fill& a) {
  parallelFor(a.x.size, 65536,
              [&](int64_t begin, int64_t end) { std::fill(a.x.data + begin, a.x.data + end, a.value); });
}

// With u = (word 0 + 1/2) / 2³² and v = word 1 / 2³² of Philox block b: √(-2 ln u) cos 2πv is element 2b, and the same
// with sin element 2b + 1.
void fillNormal(Device&, const FillNormal& a) {
  constexpr double kScale = 1.0 / 4294967296.0, kTwoPi = 6.283185307179586;
  parallelFor((a.x.size + 1) / 2, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const Philox4 r =
          philox(static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, a.stream, a.seed, 0x6E6F726Du);
      const double radius = std::sqrt(-2.0 * std::log((r.v[0] + 0.5) * kScale));
      const double angle = kTwoPi * (r.v[1] * kScale);
      a.x[2 * block] = static_cast<float>(a.deviation * radius * std::cos(angle));
      if (2 * block + 1 < a.x.size) a.x[2 * block + 1] = static_cast<float>(a.deviation * radius * std::sin(angle));
    }
  });
}

}  // namespace lxmert::cpu
