// to[i] = table[indices[i]], converted from float16 to float32. An index outside the table gives a row of zeros.
#ifdef __F16C__
#include <immintrin.h>
#endif

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "engine/half.h"

namespace lxmert::cpu {

namespace {

void widen(const uint16_t* from, float* to, int64_t count) {
  int64_t i = 0;
#ifdef __F16C__
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
#endif
  for (; i < count; ++i) to[i] = floatOfHalf(from[i]);
}

}  // namespace

void gatherFeatures(Device&, const GatherFeatures& a) {
  parallelRows(a.rows, a.width, [&](int64_t row) {
    const int64_t index = a.indices[row];
    float* to = a.to.data + row * a.width;
    if (index >= 0 && index < a.tableRows)
      widen(a.table.data + index * a.width, to, a.width);
    else
      std::memset(to, 0, a.width * sizeof(float));
  });
  zeroInactive(a.rows, a.to.data, a.width);
}

}  // namespace lxmert::cpu
