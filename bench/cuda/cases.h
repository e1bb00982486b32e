// The cases of every op with the shapes of a pre-training step: a function that makes its arguments, and the smallest
// amount of work that it must do.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tensors.h"

namespace lxmert::bench {

struct Shape {
  int64_t batch, tokens, objects;  // tokens and objects of a sample
  int64_t heads, headDim, feedForward, features, classes, parameters;
  bool ragged;  // some samples have fewer tokens and objects, and some rows belong to no sample

  int64_t hidden() const { return heads * headDim; }
};

struct Case {
  std::string name;
  double flops;  // floating-point operations of products
  // Makes the arguments of a call. The returned function calls the op of a column of the op table with these arguments.
  std::function<std::function<void()>(Tensors&, Device&, const OpColumn&)> bind;
};

std::vector<Case> casesOf(const Shape& shape);

// The kernels with which the device is compared: the CPU's, and plain loops for products.
const OpColumn& hostColumn();

}  // namespace lxmert::bench
