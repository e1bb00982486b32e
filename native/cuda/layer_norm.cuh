// Layer norm of one row by one warp. It is used by the op layerNorm and by the two embedding ops, which end with a
// layer norm. Forward: out = (z - μ) / σ · γ + β.
// Backward, with x̂ = (z - μ) / σ and g = dOut γ: dz = (g - mean(g) - x̂ mean(g x̂)) / σ.
#pragma once

#include "cuda/column_sums.cuh"
#include "cuda/rows.cuh"

namespace lxmert::cuda {

struct Moments {
  float mean, inverseDeviation;
};

template <int V, int K, class Row>
__device__ __forceinline__ Moments momentsOf(const Columns<V, K>& columns, const Row& row, float epsilon) {
  const auto width = static_cast<float>(columns.width);
  float sum = 0;
  columns.each([&](int k, int c) {
    float x[V];
    row.get(k, c, x);
#pragma unroll
    for (int i = 0; i < V; ++i) sum += x[i];
  });
  const float mean = warpSum(sum) / width;
  float squares = 0;
  columns.each([&](int k, int c) {
    float x[V];
    row.get(k, c, x);
#pragma unroll
    for (int i = 0; i < V; ++i) squares += (x[i] - mean) * (x[i] - mean);
  });
  return {mean, rsqrtf(warpSum(squares) / width + epsilon)};
}

// The means over a row of g = dOut γ and of g x̂.
struct GradientMeans {
  float g, dot;
};

// Calls body(k, c, dOut, x̂) for each of the lane's columns.
template <int V, int K, class X, class DOut, class Body>
__device__ __forceinline__ GradientMeans gradientMeans(const Columns<V, K>& columns, const X& row, const DOut& dRow,
                                                       Moments m, const float* gamma, Body&& body) {
  float sum = 0, dot = 0;
  columns.each([&](int k, int c) {
    float normed[V], dOut[V], scale[V];
    row.get(k, c, normed);
    dRow.get(k, c, dOut);
    load<V>(gamma + c, scale);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      normed[i] = (normed[i] - m.mean) * m.inverseDeviation;
      const float g = dOut[i] * scale[i];
      sum += g;
      dot += g * normed[i];
    }
    body(k, c, dOut, normed);
  });
  const auto width = static_cast<float>(columns.width);
  return {warpSum(sum) / width, warpSum(dot) / width};
}

// Passes the gradient of the row to sink(k, c, dx).
template <int V, int K, class X, class DOut, class Sink>
__device__ __forceinline__ void rowGradient(const Columns<V, K>& columns, const X& row, const DOut& dRow, Moments m,
                                            const float* gamma, GradientMeans means, Sink&& sink) {
  columns.each([&](int k, int c) {
    float x[V], dOut[V], scale[V], dx[V];
    row.get(k, c, x);
    dRow.get(k, c, dOut);
    load<V>(gamma + c, scale);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const float normed = (x[i] - m.mean) * m.inverseDeviation;
      dx[i] = m.inverseDeviation * (dOut[i] * scale[i] - means.g - normed * means.dot);
    }
    sink(k, c, dx);
  });
}

// Both of the above; dγ and dβ become sums 0 and 1 of `sums`.
template <int V, int K, class X, class DOut, class Sink>
__device__ __forceinline__ void layerNormGradient(const Columns<V, K>& columns, const X& row, const DOut& dRow,
                                                  Moments m, const float* gamma, ColumnSums<V, K, 2>& sums,
                                                  Sink&& sink) {
  const auto add = [&](int k, int c, const float(&dOut)[V], const float(&normed)[V]) {
    float dGamma[V];
#pragma unroll
    for (int i = 0; i < V; ++i) dGamma[i] = dOut[i] * normed[i];
    sums.add(0, k, c, dGamma);
    sums.add(1, k, c, dOut);
  };
  const GradientMeans means = gradientMeans(columns, row, dRow, m, gamma, add);
  rowGradient(columns, row, dRow, m, gamma, means, sink);
}

}  // namespace lxmert::cuda
