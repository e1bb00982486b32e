// out = dropout((LN_f(x) + LN_b(W_b box + b_b)) / 2), where x = W_f feature + b_f comes from the op `linear`.
//
// Backward: each layer norm gets half of the gradient. The projection of the box is computed again;
// dW_b = Σ_rows d(projection) box^T, db_b = Σ_rows d(projection). The first kernel works by rows: it computes dx, and
// for each row the means that the gradients of both norms need. The second works by columns: one thread keeps the nine
// sums of a column in registers.
#include "cuda/dropout.cuh"
#include "cuda/kernels.h"
#include "cuda/layer_norm.cuh"

namespace lxmert::cuda {

namespace {

// W_b box + b_b for V columns.
template <int V>
__device__ __forceinline__ void projectBox(const ObjectEmbeddingShape& s, const float (&box)[4], int c, float (&x)[V]) {
  load<V>(s.boxBias.data + c, x);
#pragma unroll
  for (int i = 0; i < V; ++i) {
    float w[4];
    const float* row = s.boxWeight.data + 4 * (c + i);
    if constexpr (V > 1) {
      load<4>(row, w);
    } else {
      for (int k = 0; k < 4; ++k) w[k] = row[k];
    }
    x[i] += w[0] * box[0] + w[1] * box[1] + w[2] * box[2] + w[3] * box[3];
  }
}

__device__ __forceinline__ void loadBox(const ObjectEmbeddingShape& s, int64_t row, float (&box)[4]) {
  for (int k = 0; k < 4; ++k) box[k] = s.boxes.data[4 * row + k];
}

template <class T, int V, int K>
__global__ void __launch_bounds__(kRowThreads)
    objectEmbeddingForwardKernel(const ObjectEmbeddingForward a, const Columns<V, K> columns) {
  const ObjectEmbeddingShape& s = a.shape;
  warpRows(s.rows, [&](int64_t row, bool active) {
    T* out = at<T>(a.out, row * s.width);
    float* stats = a.stats.data + 4 * row;
    if (!active) {
      columns.zero(out);
      if (laneOf() < 4) stats[laneOf()] = 0;
      return;
    }
    const LoadedRow<T, V, K> x(columns, at<T>(s.x, row * s.width));
    float box[4];
    loadBox(s, row, box);
    const MadeRow projected(columns, [&](int, int c, float(&p)[V]) { projectBox(s, box, c, p); });
    const Moments f = momentsOf(columns, x, a.epsilon), b = momentsOf(columns, projected, a.epsilon);
    if (laneOf() == 0)
      stats[0] = f.mean, stats[1] = f.inverseDeviation, stats[2] = b.mean, stats[3] = b.inverseDeviation;
    const RowMask mask(s.dropout, row);
    columns.each([&](int k, int c) {
      float feature[V], place[V], featureGamma[V], featureBeta[V], boxGamma[V], boxBeta[V];
      x.get(k, c, feature);
      projected.get(k, c, place);
      load<V>(s.featureGamma.data + c, featureGamma);
      load<V>(a.featureBeta.data + c, featureBeta);
      load<V>(s.boxGamma.data + c, boxGamma);
      load<V>(a.boxBeta.data + c, boxBeta);
#pragma unroll
      for (int i = 0; i < V; ++i)
        feature[i] = 0.5f * ((feature[i] - f.mean) * f.inverseDeviation * featureGamma[i] + featureBeta[i] +
                             (place[i] - b.mean) * b.inverseDeviation * boxGamma[i] + boxBeta[i]);
      mask.apply<V>(c, feature);
      store<V>(out + c, feature);
    });
  });
}

// Computes dx and the means of each active row: first the means of the layer norm of the feature, then those of the
// layer norm of the box.
template <class T, int V, int K>
__global__ void __launch_bounds__(kRowThreads)
    objectRowsBackwardKernel(const ObjectEmbeddingBackward a, const Columns<V, K> columns, float4* means) {
  const ObjectEmbeddingShape& s = a.shape;
  warpRows(s.rows, [&](int64_t row, bool active) {
    T* dx = at<T>(a.dx, row * s.width);
    if (!active) {
      columns.zero(dx);
      return;
    }
    const LoadedRow<T, V, K> x(columns, at<T>(s.x, row * s.width)), dOut(columns, at<T>(a.dOut, row * s.width));
    const RowMask mask(s.dropout, row);
    const MadeRow half(columns, [&](int k, int c, float(&d)[V]) {
      dOut.get(k, c, d);
      mask.apply<V>(c, d);
#pragma unroll
      for (int i = 0; i < V; ++i) d[i] *= 0.5f;
    });
    float box[4];
    loadBox(s, row, box);
    const MadeRow projected(columns, [&](int, int c, float(&p)[V]) { projectBox(s, box, c, p); });
    const float* stats = a.stats.data + 4 * row;
    const Moments moments{stats[0], stats[1]};
    const auto nothing = [](int, int, const float(&)[V], const float(&)[V]) {};
    const GradientMeans f = gradientMeans(columns, x, half, moments, s.featureGamma.data, nothing);
    const GradientMeans b = gradientMeans(columns, projected, half, {stats[2], stats[3]}, s.boxGamma.data, nothing);
    if (laneOf() == 0) means[row] = make_float4(f.g, f.dot, b.g, b.dot);
    rowGradient(columns, x, half, moments, s.featureGamma.data, f,
                [&](int, int c, const float(&d)[V]) { store<V>(dx + c, d); });
  });
}

// The partial sums of a block's rows: [dγ_f | dβ of both norms | dγ_b | db_b | dW_b], of widths w, w, w, w, 4w.
constexpr int kSumsOfColumn = 8;
constexpr int kColumnThreads = 64;
constexpr int64_t kColumnBlocks = 256;

// A thread computes V columns of every gridDim.y-th row.
template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads)
    objectColumnsBackwardKernel(const ObjectEmbeddingBackward a, const float4* means, float* partial) {
  const ObjectEmbeddingShape& s = a.shape;
  const int width = static_cast<int>(s.width);
  const int c = static_cast<int>(blockIdx.x * kColumnThreads + threadIdx.x) * V;
  if (c >= width) return;
  const ActiveRows active(s.rows);
  float boxGamma[V], featureGamma[V] = {}, beta[V] = {}, gamma[V] = {}, bias[V] = {}, weight[V][4] = {};
  load<V>(s.boxGamma.data + c, boxGamma);
  for (int64_t row = blockIdx.y; row < s.rows.capacity; row += gridDim.y) {
    if (!active.has(row)) continue;
    float x[V], half[V], projected[V], box[4];
    load<V>(at<T>(s.x, row * width + c), x);
    load<V>(at<T>(a.dOut, row * width + c), half);
    loadBox(s, row, box);
    projectBox(s, box, c, projected);
    RowMask(s.dropout, row).template apply<V>(c, half);
    const float* stats = a.stats.data + 4 * row;
    const float4 mean = means[row];
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const float d = 0.5f * half[i];
      const float normed = (projected[i] - stats[2]) * stats[3];
      const float dBox = stats[3] * (d * boxGamma[i] - mean.z - normed * mean.w);
      featureGamma[i] += d * (x[i] - stats[0]) * stats[1];
      beta[i] += d;
      gamma[i] += d * normed;
      bias[i] += dBox;
#pragma unroll
      for (int k = 0; k < 4; ++k) weight[i][k] += dBox * box[k];
    }
  }
  float* const mine = partial + static_cast<int64_t>(blockIdx.y) * kSumsOfColumn * width;
  store<V>(mine + c, featureGamma);
  store<V>(mine + width + c, beta);
  store<V>(mine + 2 * width + c, gamma);
  store<V>(mine + 3 * width + c, bias);
#pragma unroll
  for (int i = 0; i < V; ++i) store<4>(mine + 4 * (width + c + i), weight[i]);
}

template <class T, int V>
void columnsBackward(CudaDevice& cuda, const ObjectEmbeddingBackward& a, const float4* means) {
  const int64_t w = a.shape.width, columns = kSumsOfColumn * w;
  const unsigned blocks = rowBlocks(a.shape.rows.capacity, 1, kColumnBlocks);
  float* partial = cuda.scratch<float>(blocks * columns);
  const dim3 grid(static_cast<unsigned>((w + kColumnThreads * V - 1) / (kColumnThreads * V)), blocks);
  LXMERT_LAUNCH((objectColumnsBackwardKernel<T, V>), grid, kColumnThreads, 0, cuda.stream(), a, means, partial);
  sumPartials(cuda, partial, blocks, columns,
              {{a.dFeatureGamma.data, 0, w},
               {a.dFeatureBeta.data, w, w},
               {a.dBoxBeta.data, w, w},
               {a.dBoxGamma.data, 2 * w, w},
               {a.dBoxBias.data, 3 * w, w},
               {a.dBoxWeight.data, 4 * w, 4 * w}},
              a.accumulateParameters);
}

}  // namespace

void objectEmbeddingForward(Device& device, const ObjectEmbeddingForward& a) {
  const ObjectEmbeddingShape& s = a.shape;
  withType(a.out.dtype, [&](auto t) {
    using T = decltype(t);
    const auto launch = [&]<int V, int K>(const Columns<V, K>& columns) {
      LXMERT_LAUNCH((objectEmbeddingForwardKernel<T, V, K>), rowBlocks(s.rows.capacity), kRowThreads, 0,
                    cudaOf(device).stream(), a, columns);
    };
    withColumns(s.width,
                {s.x.data, s.boxWeight.data, s.boxBias.data, s.featureGamma.data, s.boxGamma.data, a.featureBeta.data,
                 a.boxBeta.data, a.out.data},
                launch);
  });
}

void objectEmbeddingBackward(Device& device, const ObjectEmbeddingBackward& a) {
  const ObjectEmbeddingShape& s = a.shape;
  CudaDevice& cuda = cudaOf(device);
  auto* means = cuda.scratch<float4>(s.rows.capacity);
  withType(a.dOut.dtype, [&](auto t) {
    using T = decltype(t);
    const std::initializer_list<const void*> all{s.x.data,        s.boxWeight.data, s.boxBias.data, s.featureGamma.data,
                                                 s.boxGamma.data, a.dOut.data,      a.dx.data};
    const auto launch = [&]<int V, int K>(const Columns<V, K>& columns) {
      LXMERT_LAUNCH((objectRowsBackwardKernel<T, V, K>), rowBlocks(s.rows.capacity), kRowThreads, 0, cuda.stream(), a,
                    columns, means);
    };
    withColumns(s.width, all, launch);
    if (aligned<4>(s.width, all))
      columnsBackward<T, 4>(cuda, a, means);
    else
      columnsBackward<T, 1>(cuda, a, means);
  });
}

}  // namespace lxmert::cuda
