// The op table: each op once, with the type of its arguments. A back end fills its column of the table with kernels. A
// call of an op for which it has no kernel gives a typed error. The position of an op in the list is its number in
// JavaScript.
#pragma once

#include "engine/ops.h"

namespace lxmert {

class Device;

#define LXMERT_OPS(OP)                                         \
  OP(linearForward, LinearForward)                             \
  OP(linearBackwardInput, LinearBackwardInput)                 \
  OP(linearBackwardWeight, LinearBackwardWeight)               \
  OP(geluForward, ElementwiseForward)                          \
  OP(geluBackward, ElementwiseBackward)                        \
  OP(tanhForward, ElementwiseForward)                          \
  OP(tanhBackward, ElementwiseBackward)                        \
  OP(attentionForward, AttentionForward)                       \
  OP(attentionBackward, AttentionBackward)                     \
  OP(attentionMapGradient, AttentionMapGradient)               \
  OP(layerNormForward, LayerNormForward)                       \
  OP(layerNormBackward, LayerNormBackward)                     \
  OP(tokenEmbeddingForward, TokenEmbeddingForward)             \
  OP(tokenEmbeddingBackward, TokenEmbeddingBackward)           \
  OP(objectEmbeddingForward, ObjectEmbeddingForward)           \
  OP(objectEmbeddingBackward, ObjectEmbeddingBackward)         \
  OP(gatherRowsForward, GatherRows)                            \
  OP(gatherRowsBackward, GatherRows)                           \
  OP(gatherFeatures, GatherFeatures)                           \
  OP(softmaxCrossEntropyForward, SoftmaxCrossEntropyForward)   \
  OP(softmaxCrossEntropyBackward, SoftmaxCrossEntropyBackward) \
  OP(sigmoidCrossEntropyForward, SigmoidCrossEntropyForward)   \
  OP(sigmoidCrossEntropyBackward, SigmoidCrossEntropyBackward) \
  OP(smoothL1Forward, SmoothL1Forward)                         \
  OP(smoothL1Backward, SmoothL1Backward)                       \
  OP(gradNorm, GradNorm)                                       \
  OP(adamUpdate, AdamUpdate)                                   \
  OP(fill, Fill)                                               \
  OP(fillNormal, FillNormal)                                   \
  OP(packWeight, PackWeight)

struct OpColumn {
#define OP(name, Args) void (*name)(Device&, const Args&) = nullptr;
  LXMERT_OPS(OP)
#undef OP
};

}  // namespace lxmert
