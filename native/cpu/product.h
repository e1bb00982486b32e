// Matrix products by oneDNN. All matrices are dense and row-major.
#pragma once

#include <cstdint>

#include "engine/device.h"

namespace lxmert::cpu {

// C [m, n] = op(A) op(B) + bias, or C += op(A) op(B). op transposes a matrix if its flag is set; bias [n] may be null.
struct Product {
  int64_t m, n, k;
  const float* a;
  bool transposeA;
  const float* b;
  bool transposeB;
  const float* bias;
  float* c;
  bool accumulate;
  const void* packed = nullptr;  // B in the layout of packed_weights.h; then `b` and `transposeB` are not used
};

// Multiplies in float32, or rounds both operands to bfloat16 and sums in float32.
void multiply(const Product& product, Precision precision);

// The number of rows to multiply if `rows` rows are active. It is rounded up, so that few different shapes occur.
int64_t productRows(int64_t rows, int64_t capacity);

// Whether this processor multiplies bfloat16 (AVX-512 BF16, AMX).
bool multipliesBFloat16();

// Whether B [k, n] has a packed form that this processor multiplies fast, and that needs no more memory.
bool canPack(int64_t k, int64_t n, Precision precision);
// Writes the packed form of W [n, k], which is B^T, to `packed`.
void pack(const float* weight, int64_t n, int64_t k, Precision precision, void* packed);

}  // namespace lxmert::cpu
