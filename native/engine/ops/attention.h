#pragma once

#include "engine/ops/dropout.h"

namespace lxmert {

constexpr int64_t kMaxAttentionLength = 512;
constexpr int64_t kMaxHeadDim = 256;

// Attention within each sample over packed rows. Without `offsetsB` the rows of a sample attend to each other. With
// `offsetsB` there are two streams: the second one begins at row rows.split, and the rows of each stream attend to
// those of the other.
struct AttentionShape {
  Rows rows;
  int64_t samples;  // capacity of the batch in samples; the offsets have one more entry
  int64_t heads, headDim;
  Ints offsetsA, offsetsB;  // [samples + 1] row offsets of each sample, within its stream
      // The most rows that a sample may have in each stream; a longer sample is cut. Launches and their shared memory
      // depend on these numbers, so the host must pass them. If there are few different values, there are few recorded
      // graphs.
  int64_t longestA, longestB;
  Dropout dropout;

  static AttentionShape read(ArgReader& r) {
    AttentionShape a{};
    a.rows = r.rows();
    if (!a.rows.record) r.fail("record", "is missing: it says how many samples there are");
    a.samples = r.dim("samples");
    a.heads = r.integer("heads", 1, 1024);
    a.headDim = r.integer("headDim", 1, kMaxHeadDim);
    a.offsetsA = r.tensor<int32_t>("offsetsA", a.samples + 1);
    a.offsetsB = r.optional<int32_t>("offsetsB", a.samples + 1);
    if (a.offsetsB && a.rows.set != RowSet::Stacked) r.fail("offsetsB", "is for stacked rows only");
    a.longestA = r.integer("longestA", 1, kMaxAttentionLength);
    a.longestB = r.integer("longestB", 0, kMaxAttentionLength);
    a.dropout = Dropout::read(r, a.rows);
    return a;
  }
};

// qkv [R, 3H] (query, key, value side by side), context [R, H], logSumExp [R, heads]. On request, forward also writes
// the probabilities [samples, heads, mapSide, mapSide] for each direction. Longer samples are cut to mapSide.
struct AttentionForward {
  AttentionShape shape;
  int64_t mapSide;
  Values qkv, context;
  Floats logSumExp, probabilitiesA, probabilitiesB;

  static AttentionForward read(ArgReader& r) {
    AttentionForward a{};
    a.shape = AttentionShape::read(r);
    a.mapSide = r.integer("mapSide", 0, kMaxAttentionLength);
    const auto& s = a.shape;
    const int64_t hidden = s.heads * s.headDim, map = s.samples * s.heads * a.mapSide * a.mapSide;
    a.qkv = r.values("qkv", s.rows.capacity * 3 * hidden);
    a.context = r.values("context", s.rows.capacity * hidden);
    a.logSumExp = r.tensor<float>("logSumExp", s.rows.capacity * s.heads);
    a.probabilitiesA = r.optional<float>("probabilitiesA", map);
    a.probabilitiesB = r.optional<float>("probabilitiesB", map);
    return a;
  }
};

struct AttentionBackward {
  AttentionShape shape;
  Values qkv;
  Floats logSumExp;
  Values dContext, dQkv;

  static AttentionBackward read(ArgReader& r) {
    AttentionBackward a{};
    a.shape = AttentionShape::read(r);
    const auto& s = a.shape;
    const int64_t hidden = s.heads * s.headDim;
    a.qkv = r.values("qkv", s.rows.capacity * 3 * hidden);
    a.logSumExp = r.tensor<float>("logSumExp", s.rows.capacity * s.heads);
    a.dContext = r.values("dContext", s.rows.capacity * hidden);
    a.dQkv = r.values("dQkv", s.rows.capacity * 3 * hidden);
    return a;
  }
};

// The gradients of the probabilities before dropout: [samples, heads, mapSide, mapSide] for each direction, like the
// probabilities of AttentionForward.
struct AttentionMapGradient {
  AttentionShape shape;
  int64_t mapSide;
  Values qkv, dContext;
  Floats gradientsA, gradientsB;

  static AttentionMapGradient read(ArgReader& r) {
    AttentionMapGradient a{};
    a.shape = AttentionShape::read(r);
    a.mapSide = r.integer("mapSide", 1, kMaxAttentionLength);
    const auto& s = a.shape;
    const int64_t hidden = s.heads * s.headDim, map = s.samples * s.heads * a.mapSide * a.mapSide;
    a.qkv = r.values("qkv", s.rows.capacity * 3 * hidden);
    a.dContext = r.values("dContext", s.rows.capacity * hidden);
    a.gradientsA = r.optional<float>("gradientsA", map);
    a.gradientsB = r.optional<float>("gradientsB", map);
    return a;
  }
};

}  // namespace lxmert
