// Every op of the table with the shapes of a pre-training step: how its arguments are made, what it computes at least.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tensors.h"

namespace lxmert::bench {

struct Shape {
  int64_t batch, tokens, objects;  // tokens and objects of a sample
  int64_t heads, headDim, feedForward, features, classes, parameters;
  bool ragged;  // samples of fewer tokens and objects, and rows that no sample uses

  int64_t hidden() const { return heads * headDim; }
};

struct Case {
  std::string name;
  double flops;  // of products
  // Asks for the call's tensors; what it gives calls the column's op with them.
  std::function<std::function<void()>(Tensors&, Device&, const OpColumn&)> bind;
};

std::vector<Case> casesOf(const Shape& shape);

// The CPU's kernels, and plain loops for its products: what the device is compared with.
const OpColumn& hostColumn();

}  // namespace lxmert::bench
