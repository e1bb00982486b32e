// Scaled dot-product attention within samples: S = Q K^T / √d, O = (softmax(S) ∘ M) V with the dropout mask M, and its
// gradients. This file has the ops and their limits, and chooses the kernel for a call: on tensor cores
// (attention_forward.cu, attention_backward.cu) or without them, in float32 (attention_plain.cu).
#include "cuda/attention.h"

#include <cmath>
#include <limits>
#include <string>

#include "cuda/kernels.h"

namespace lxmert::cuda {

namespace {

bool aligned(const Values& v) { return reinterpret_cast<uintptr_t>(v.data) % 16 == 0; }

AttentionCall callOf(const AttentionShape& s, std::initializer_list<Values> tensors) {
  const int64_t directions = s.offsetsB ? 2 : 1, longest = std::max(s.longestA, s.offsetsB ? s.longestB : 0);
  const auto refuse = [](const std::string& what, int64_t given, int limit) {
    throw Error(ErrorCode::Unsupported, "attention: " + what + " of " + std::to_string(given) +
                                            "; the CUDA kernels take at most " + std::to_string(limit) +
                                            ". The CPU takes more: use device \"cpu\", or shorter ones");
  };
  if (longest > kLongestSample) refuse("samples of up to a number of rows", longest, kLongestSample);
  if (s.headDim > kWidestHead) refuse("a head dimension", s.headDim, kWidestHead);
  const int64_t blocks = s.samples * directions * s.heads;
  constexpr int64_t most = std::numeric_limits<int>::max() / 4;
  if (blocks > most) refuse("a number of heads in the batch", blocks, most);
  if (s.rows.capacity > most) refuse("a row capacity", s.rows.capacity, most);
  AttentionCall c{};
  c.rows = s.rows;
  c.offsetsA = s.offsetsA.data, c.offsetsB = s.offsetsB.data, c.rowIds = s.dropout.rowIds.data;
  c.samples = static_cast<int>(s.samples), c.heads = static_cast<int>(s.heads);
  c.headDim = static_cast<int>(s.headDim), c.hidden = c.heads * c.headDim;
  c.longestA = static_cast<int>(s.longestA), c.longestB = static_cast<int>(s.longestB);
  c.longest = static_cast<int>(longest);
  c.blocks = static_cast<int>(blocks);
  c.wholeVectors = c.headDim % 8 == 0 && std::all_of(tensors.begin(), tensors.end(), aligned);
  c.scale = 1.0f / std::sqrt(static_cast<float>(c.headDim));
  c.dropout = s.dropout.p > 0;
  c.keepScale = 1.0f / (1.0f - s.dropout.p);
  c.threshold = dropoutThreshold(s.dropout.p), c.instance = s.dropout.instance;
  return c;
}

bool fits(const CudaDevice& device, size_t bytes) { return static_cast<int64_t>(bytes) <= device.limits().sharedBytes; }

}  // namespace

void attentionForward(Device& d, const AttentionForward& a) {
  CudaDevice& device = cudaOf(d);
  const AttentionCall call = callOf(a.shape, {a.qkv, a.context});
  if (a.qkv.dtype == DType::F32) return plainForward<float>(device, call, a);
  if (fits(device, tensorForwardBytes(call))) return tensorForward(device, call, a);
  plainForward<bf16>(device, call, a);
}

void attentionBackward(Device& d, const AttentionBackward& a) {
  CudaDevice& device = cudaOf(d);
  const AttentionCall call = callOf(a.shape, {a.qkv, a.dContext, a.dQkv});
  if (a.qkv.dtype == DType::F32) return plainBackward<float>(device, call, a);
  if (fits(device, tensorBackwardBytes(call))) return tensorBackward(device, call, a);
  plainBackward<bf16>(device, call, a);
}

void attentionMapGradient(Device& d, const AttentionMapGradient& a) {
  const AttentionCall call = callOf(a.shape, {a.qkv, a.dContext});
  withType(a.qkv.dtype, [&](auto t) { plainMapGradient<decltype(t)>(cudaOf(d), call, a); });
}

}  // namespace lxmert::cuda
