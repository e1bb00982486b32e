// Layer norm of one row. It is used by the op layerNorm and by the two embedding ops, which end with a layer norm.
#pragma once

#include <cmath>
#include <cstdint>

namespace lxmert::cpu {

struct Moments {
  float mean, inverseDeviation;
};

inline Moments momentsOf(const float* x, int64_t width, float epsilon) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < width; ++c) sum += x[c];
  const float mean = sum / static_cast<float>(width);
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < width; ++c) squares += (x[c] - mean) * (x[c] - mean);
  return {mean, 1.0f / std::sqrt(squares / static_cast<float>(width) + epsilon)};
}

struct NormedRow {
  const float* x;
  float mean, inverseDeviation;
  const float* dOut;
  const float* gamma;
  int64_t width;
};

// Writes dx [width]; adds to dGamma and dBeta [width].
inline void layerNormGradient(const NormedRow& r, float* dx, float* dGamma, float* dBeta) {
  float sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
  for (int64_t c = 0; c < r.width; ++c) {
    const float normed = (r.x[c] - r.mean) * r.inverseDeviation;
    const float g = r.dOut[c] * r.gamma[c];
    dGamma[c] += r.dOut[c] * normed;
    dBeta[c] += r.dOut[c];
    sum += g;
    dot += g * normed;
  }
  const float meanG = sum / static_cast<float>(r.width), meanDot = dot / static_cast<float>(r.width);
#pragma omp simd
  for (int64_t c = 0; c < r.width; ++c) {
    const float normed = (r.x[c] - r.mean) * r.inverseDeviation;
    dx[c] = r.inverseDeviation * (r.dOut[c] * r.gamma[c] - meanG - normed * meanDot);
  }
}

}  // namespace lxmert::cpu
