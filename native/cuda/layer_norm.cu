// z = residual + dropout(z); out = (z - μ) / σ · γ + β, with σ² the biased variance plus epsilon.
//
// Backward, with x̂ = (z - μ) / σ and g = dOut γ: dz = (g - mean(g) - x̂ mean(g x̂)) / σ, dγ = Σ dOut x̂, dβ = Σ dOut.
// The residual gets dz, and y gets dz through the same dropout mask.
#include "cuda/layer_norm.cuh"

#include "cuda/device.h"
#include "cuda/dropout.cuh"
#include "cuda/kernels.h"

namespace lxmert::cuda {

namespace {

template <class T, int V, int K>
__global__ void __launch_bounds__(kRowThreads)
    layerNormForwardKernel(const LayerNormForward a, const Columns<V, K> columns) {
  warpRows(a.rows, [&](int64_t row, bool active) {
    T *const z = at<T>(a.z, row * a.width), *const out = at<T>(a.out, row * a.width);
    if (!active) {
      columns.zero(z);
      columns.zero(out);
      if (laneOf() < 2) a.stats.data[2 * row + laneOf()] = 0;
      return;
    }
    const bool hasResidual = a.residual.data != nullptr, changes = hasResidual || a.dropout.p > 0;
    const RowMask mask(a.dropout, row);
    const LoadedRow<T, V, K> before(columns, z);
    const LoadedRow<T, V, K> residual(columns, hasResidual ? at<T>(a.residual, row * a.width) : z);
    // Rounded to T, because the backward pass will read the rounded value.
    const MadeRow sum(columns, [&](int k, int c, float(&x)[V]) {
      before.get(k, c, x);
      mask.apply<V>(c, x);
      if (hasResidual) {
        float r[V];
        residual.get(k, c, r);
#pragma unroll
        for (int i = 0; i < V; ++i) x[i] += r[i];
      }
#pragma unroll
      for (int i = 0; i < V; ++i) x[i] = toFloat(fromFloat<T>(x[i]));
    });
    const Moments m = momentsOf(columns, sum, a.epsilon);
    if (laneOf() == 0) {
      a.stats.data[2 * row] = m.mean;
      a.stats.data[2 * row + 1] = m.inverseDeviation;
    }
    columns.each([&](int k, int c) {
      float x[V], gamma[V], beta[V];
      sum.get(k, c, x);
      if (changes) store<V>(z + c, x);
      load<V>(a.gamma.data + c, gamma);
      load<V>(a.beta.data + c, beta);
#pragma unroll
      for (int i = 0; i < V; ++i) x[i] = (x[i] - m.mean) * m.inverseDeviation * gamma[i] + beta[i];
      store<V>(out + c, x);
    });
  });
}

template <class T, int V, int K>
__global__ void __launch_bounds__(kRowThreads)
    layerNormBackwardKernel(const LayerNormBackward a, const Columns<V, K> columns, float* partial) {
  LXMERT_SHARED(float, shared);
  ColumnSums<V, K, 2> sums(columns, partial);
  const bool hasResidual = a.dResidual.data != nullptr, adds = hasResidual && a.accumulateResidual;
  warpRows(a.rows, [&](int64_t row, bool active) {
    T* const dy = at<T>(a.dy, row * a.width);
    T* const dResidual = hasResidual ? at<T>(a.dResidual, row * a.width) : dy;
    if (!active) {
      columns.zero(dy);
      if (hasResidual && !adds) columns.zero(dResidual);
      return;
    }
    const LoadedRow<T, V, K> z(columns, at<T>(a.z, row * a.width));
    const LoadedRow<T, V, K> dOut(columns, at<T>(a.dOut, row * a.width));
    const LoadedRow<T, V, K> before(columns, adds ? dResidual : at<T>(a.dOut, row * a.width));
    const Moments m{a.stats.data[2 * row], a.stats.data[2 * row + 1]};
    const RowMask mask(a.dropout, row);
    layerNormGradient(columns, z, dOut, m, a.gamma.data, sums, [&](int k, int c, float(&dz)[V]) {
      if (hasResidual) {
        float to[V] = {};
        if (adds) before.get(k, c, to);
#pragma unroll
        for (int i = 0; i < V; ++i) to[i] += dz[i];
        store<V>(dResidual + c, to);
      }
      mask.apply<V>(c, dz);
      store<V>(dy + c, dz);
    });
  });
  sums.finish(shared);
}

}  // namespace

void layerNormForward(Device& device, const LayerNormForward& a) {
  withType(a.z.dtype, [&](auto t) {
    using T = decltype(t);
    const auto launch = [&]<int V, int K>(const Columns<V, K>& columns) {
      LXMERT_LAUNCH((layerNormForwardKernel<T, V, K>), rowBlocks(a.rows.capacity), kRowThreads, 0,
                    cudaOf(device).stream(), a, columns);
    };
    withColumns(a.width, {a.z.data, a.residual.data, a.gamma.data, a.beta.data, a.out.data}, launch);
  });
}

void layerNormBackward(Device& device, const LayerNormBackward& a) {
  CudaDevice& cuda = cudaOf(device);
  withType(a.z.dtype, [&](auto t) {
    using T = decltype(t);
    const auto launch = [&]<int V, int K>(const Columns<V, K>& columns) {
      using Sums = ColumnSums<V, K, 2>;
      const unsigned blocks = Sums::blocks(a.rows.capacity);
      float* partial = cuda.scratch<float>(blocks * 2 * a.width);
      LXMERT_LAUNCH((layerNormBackwardKernel<T, V, K>), blocks, Sums::kThreads, Sums::sharedBytes(a.width),
                    cuda.stream(), a, columns, partial);
      sumPartials(cuda, partial, blocks, 2 * a.width, {{a.dGamma.data, 0, a.width}, {a.dBeta.data, a.width, a.width}},
                  a.accumulateParameters);
    };
    withColumns(a.width, {a.z.data, a.gamma.data, a.dOut.data, a.dResidual.data, a.dy.data}, launch);
  });
}

}  // namespace lxmert::cuda
