// The arguments of each op: one struct for each op, whose fields are read in order from the call's numbers. The kernel
// files of the back ends (cpu/*.cc, cuda/*.cu) give the mathematics; src/engine/ops/*.ts makes the calls.
//
// Shapes: R = row capacity, H = hidden size, C = classes. Every op writes zeros to rows that are not active.
#pragma once

#include "engine/ops/adam.h"
#include "engine/ops/attention.h"
#include "engine/ops/dropout.h"
#include "engine/ops/elementwise.h"
#include "engine/ops/fill.h"
#include "engine/ops/gather_features.h"
#include "engine/ops/gather_rows.h"
#include "engine/ops/layer_norm.h"
#include "engine/ops/linear.h"
#include "engine/ops/object_embedding.h"
#include "engine/ops/sigmoid_cross_entropy.h"
#include "engine/ops/smooth_l1.h"
#include "engine/ops/softmax_cross_entropy.h"
#include "engine/ops/token_embedding.h"
