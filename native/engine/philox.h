// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns a counter into four
// random words and keeps no state. All back ends use this code, so a dropout mask is the same on every device.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define LXMERT_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define LXMERT_HOST_DEVICE inline __attribute__((always_inline))
#endif

namespace lxmert {

struct Philox4 {
  uint32_t v[4];
};

LXMERT_HOST_DEVICE Philox4 philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Dropout keeps an element when its random word is at least this threshold: P(keep) = 1 - p.
LXMERT_HOST_DEVICE uint32_t dropoutThreshold(float p) {
  // Exact in float32: multiplying by a power of two changes only the exponent.
  return static_cast<uint32_t>(p * 4294967296.0f);
}

}  // namespace lxmert
