// Elementary functions without branches or calls, so that the compiler can vectorize the loops that use them.
#pragma once

#include <bit>
#include <cstdint>

namespace lxmert::cpu {

// e^x; relative error below 2e-7. NaN stays NaN; below -87 the result is about 1e-38.
inline __attribute__((always_inline)) float exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float n = x * 1.44269504088896341f + kRound - kRound;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

// log(1 + y) for y in [0, 1]; relative error below 3e-7. With s = y / (2 + y) it is 2 artanh(s), s ≤ 1/3, whose series
// converges fast and does not cancel near 0.
inline __attribute__((always_inline)) float log1p(float y) {
  const float s = y / (2.0f + y), z = s * s;
  float p = 6.66666667e-2f;
  p = p * z + 7.69230769e-2f;
  p = p * z + 9.09090909e-2f;
  p = p * z + 1.11111111e-1f;
  p = p * z + 1.42857143e-1f;
  p = p * z + 2.0e-1f;
  p = p * z + 3.33333333e-1f;
  return 2.0f * s * (1.0f + z * p);
}

struct Normal {
  float cdf, pdf;
};

// Distribution function and density of N(0, 1) at x, with erf by Abramowitz & Stegun 7.1.26 (absolute error 1.5e-7).
// The upper tail is computed without cancellation.
inline __attribute__((always_inline)) Normal normal(float x) {
  const float a = (x < 0 ? -x : x) * 0.70710678118654752f;
  const float e = exp(-a * a);
  const float t = 1.0f / (1.0f + 0.3275911f * a);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float tail = 0.5f * p * t * e;
  return {x < 0 ? tail : 1.0f - tail, 0.39894228040143268f * e};
}

inline __attribute__((always_inline)) float tanh(float x) {
  const float a = x < 0 ? -x : x;
  // The quotient cancels near 0. The odd series is exact to float32 there.
  const float s = x * x;
  const float series = x * (1.0f + s * (-0.333333333f + s * (0.133333333f + s * (-0.0539682540f + s * 0.0218694885f))));
  const float e = exp(-2.0f * a);
  const float q = (1.0f - e) / (1.0f + e);
  return a < 0.25f ? series : (x < 0 ? -q : q);
}

}  // namespace lxmert::cpu
