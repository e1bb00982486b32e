// Matrix products by oneDNN. All matrices are dense and row-major.
#pragma once

#include <cstdint>

#include "engine/device.h"

namespace lxmert::cpu {

// C [m, n] = op(A) op(B) + bias, or added to C. op transposes when asked; bias [n] may be null.
struct Product {
  int64_t m, n, k;
  const float* a;
  bool transposeA;
  const float* b;
  bool transposeB;
  const float* bias;
  float* c;
  bool accumulate;
};

// In float32, or of operands rounded to bfloat16 with sums in float32.
void multiply(const Product& product, Precision precision);

// How many rows to multiply for `rows` active ones, of which there may be any number: so few different shapes occur.
int64_t productRows(int64_t rows, int64_t capacity);

// Whether this processor multiplies bfloat16 (AVX-512 BF16, AMX).
bool multipliesBFloat16();

}  // namespace lxmert::cpu
