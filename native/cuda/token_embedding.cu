// out = dropout(LN(word[id] + position[p] + type[0])).
//
// Backward: the gradient of the sum of embeddings is computed through dropout and layer norm (the sum itself is
// computed again) and written to the scratch tensor. From there it is added to the rows of the tables. Row 0 of a table
// is the original's padding index, so nothing is added to it. The tables are always the float32 parameters.
#include "cuda/add_rows.h"
#include "cuda/dropout.cuh"
#include "cuda/kernels.h"
#include "cuda/layer_norm.cuh"

namespace lxmert::cuda {

namespace {

__device__ __forceinline__ int64_t within(int64_t i, int64_t n) { return i < 0 || i >= n ? 0 : i; }

// Computes the sum of a row's three embeddings.
template <int V>
class LookUp {
 public:
  __device__ __forceinline__ LookUp(const TokenEmbeddingShape& s, int64_t row)
      : word_(s.word.data + within(s.ids.data[row], s.vocabSize) * s.width),
        position_(s.position.data + within(s.rowIds.data[2 * row + 1], s.positions) * s.width),
        type_(s.type.data) {}

  __device__ __forceinline__ void operator()(int, int c, float (&sum)[V]) const {
    float position[V], type[V];
    load<V>(word_ + c, sum);
    load<V>(position_ + c, position);
    load<V>(type_ + c, type);
#pragma unroll
    for (int i = 0; i < V; ++i) sum[i] += position[i] + type[i];
  }

 private:
  const float *word_, *position_, *type_;
};

template <class T, int V, int K>
__global__ void __launch_bounds__(kRowThreads)
    tokenEmbeddingForwardKernel(const TokenEmbeddingForward a, const Columns<V, K> columns) {
  const TokenEmbeddingShape& s = a.shape;
  warpRows(s.rows, [&](int64_t row, bool active) {
    T* out = at<T>(a.out, row * s.width);
    if (!active) {
      columns.zero(out);
      if (laneOf() < 2) a.stats.data[2 * row + laneOf()] = 0;
      return;
    }
    const MadeRow sum(columns, LookUp<V>(s, row));
    const Moments m = momentsOf(columns, sum, a.epsilon);
    if (laneOf() == 0) {
      a.stats.data[2 * row] = m.mean;
      a.stats.data[2 * row + 1] = m.inverseDeviation;
    }
    const RowMask mask(s.dropout, row);
    columns.each([&](int k, int c) {
      float x[V], gamma[V], beta[V];
      sum.get(k, c, x);
      load<V>(s.gamma.data + c, gamma);
      load<V>(a.beta.data + c, beta);
#pragma unroll
      for (int i = 0; i < V; ++i) x[i] = (x[i] - m.mean) * m.inverseDeviation * gamma[i] + beta[i];
      mask.apply<V>(c, x);
      store<V>(out + c, x);
    });
  });
}

template <class T, int V, int K>
__global__ void __launch_bounds__(kRowThreads)
    tokenEmbeddingBackwardKernel(const TokenEmbeddingBackward a, const Columns<V, K> columns, float* partial) {
  LXMERT_SHARED(float, shared);
  const TokenEmbeddingShape& s = a.shape;
  ColumnSums<V, K, 2> sums(columns, partial);
  warpRows(s.rows, [&](int64_t row, bool active) {
    if (!active) return;
    const RowMask mask(s.dropout, row);
    const MadeRow sum(columns, LookUp<V>(s, row));
    const MadeRow dOut(columns, [&](int, int c, float(&x)[V]) {
      load<V>(at<T>(a.dOut, row * s.width + c), x);
      mask.apply<V>(c, x);
    });
    const Moments m{a.stats.data[2 * row], a.stats.data[2 * row + 1]};
    float* dz = a.scratch.data + row * s.width;
    layerNormGradient(columns, sum, dOut, m, s.gamma.data, sums,
                      [&](int, int c, const float(&x)[V]) { store<V>(dz + c, x); });
  });
  sums.finish(shared);
}

}  // namespace

void tokenEmbeddingForward(Device& device, const TokenEmbeddingForward& a) {
  const TokenEmbeddingShape& s = a.shape;
  withType(a.out.dtype, [&](auto t) {
    using T = decltype(t);
    const auto launch = [&]<int V, int K>(const Columns<V, K>& columns) {
      LXMERT_LAUNCH((tokenEmbeddingForwardKernel<T, V, K>), rowBlocks(s.rows.capacity), kRowThreads, 0,
                    cudaOf(device).stream(), a, columns);
    };
    withColumns(s.width, {s.word.data, s.position.data, s.type.data, s.gamma.data, a.beta.data, a.out.data}, launch);
  });
}

void tokenEmbeddingBackward(Device& device, const TokenEmbeddingBackward& a) {
  const TokenEmbeddingShape& s = a.shape;
  CudaDevice& cuda = cudaOf(device);
  withType(a.dOut.dtype, [&](auto t) {
    using T = decltype(t);
    const auto launch = [&]<int V, int K>(const Columns<V, K>& columns) {
      using Sums = ColumnSums<V, K, 2>;
      const unsigned blocks = Sums::blocks(s.rows.capacity);
      float* partial = cuda.scratch<float>(blocks * 2 * s.width);
      LXMERT_LAUNCH((tokenEmbeddingBackwardKernel<T, V, K>), blocks, Sums::kThreads, Sums::sharedBytes(s.width),
                    cuda.stream(), a, columns, partial);
      sumPartials(cuda, partial, blocks, 2 * s.width, {{a.dGamma.data, 0, s.width}, {a.dBeta.data, s.width, s.width}},
                  a.accumulateParameters);
    };
    withColumns(s.width, {s.word.data, s.position.data, s.type.data, s.gamma.data, a.dOut.data, a.scratch.data},
                launch);
  });
  const float* dz = a.scratch.data;
  addRows<float>(cuda, {s.rows, s.ids.data, 1, 1, s.vocabSize}, dz, a.dWord.data, s.width);
  addRows<float>(cuda, {s.rows, s.rowIds.data + 1, 2, 1, s.positions}, dz, a.dPosition.data, s.width);
}

}  // namespace lxmert::cuda
