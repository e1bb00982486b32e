// Loads and stores V elements at once, as float32: 16 bytes at a time if a row's width and address allow it
// (`aligned`), otherwise one element after the other.
#pragma once

#include <initializer_list>

#include "cuda/platform.h"

namespace lxmert::cuda {

// The number of elements of T in 16 bytes.
template <class T>
constexpr int kWide = 16 / static_cast<int>(sizeof(T));

// Whether rows of `width` elements can be read V at a time. A null address is not read.
template <int V>
bool aligned(int64_t width, std::initializer_list<const void*> places) {
  for (const void* place : places)
    if (reinterpret_cast<uintptr_t>(place) % 16 != 0) return false;
  return width % V == 0;
}

// V elements of T in the same form as in memory. For bf16 this needs half as many registers as float32.
template <class T, int V>
struct Packed {
  static constexpr int kWords = V * static_cast<int>(sizeof(T)) / 4;
  uint32_t word[kWords];
};
template <class T>
struct Packed<T, 1> {
  T value;
};

template <int V, class T>
__device__ __forceinline__ Packed<T, V> loadPacked(const T* p) {
  Packed<T, V> x;
  if constexpr (V == 1) {
    x.value = *p;
  } else if constexpr (x.kWords == 2) {
    const uint2 pair = *reinterpret_cast<const uint2*>(p);
    x.word[0] = pair.x, x.word[1] = pair.y;
  } else {
#pragma unroll
    for (int i = 0; i < x.kWords; i += 4) {
      const uint4 four = *reinterpret_cast<const uint4*>(p + i * static_cast<int>(4 / sizeof(T)));
      x.word[i] = four.x, x.word[i + 1] = four.y, x.word[i + 2] = four.z, x.word[i + 3] = four.w;
    }
  }
  return x;
}

template <class T, int V>
__device__ __forceinline__ void unpack(const Packed<T, V>& packed, float (&x)[V]) {
  if constexpr (V == 1) {
    x[0] = toFloat(packed.value);
  } else if constexpr (sizeof(T) == 4) {
#pragma unroll
    for (int i = 0; i < V; ++i) x[i] = __uint_as_float(packed.word[i]);
  } else {
#pragma unroll
    for (int i = 0; i < V / 2; ++i) {
      const float2 both = unpackBf16(packed.word[i]);
      x[2 * i] = both.x, x[2 * i + 1] = both.y;
    }
  }
}

template <int V, class T>
__device__ __forceinline__ void load(const T* p, float (&x)[V]) {
  unpack(loadPacked<V>(p), x);
}

template <class T, int V>
__device__ __forceinline__ Packed<T, V> pack(const float (&x)[V]) {
  Packed<T, V> packed;
  if constexpr (V == 1) {
    packed.value = fromFloat<T>(x[0]);
  } else {
#pragma unroll
    for (int i = 0; i < packed.kWords; ++i) {
      if constexpr (sizeof(T) == 4)
        packed.word[i] = __float_as_uint(x[i]);
      else
        packed.word[i] = packBf16(x[2 * i], x[2 * i + 1]);
    }
  }
  return packed;
}

// Stores to global memory. nvcc may turn an assignment of 16 bytes into four stores of 4 bytes. Then each store writes
// only a part of every sector (nvcc does this, for example, with BertAdam's moments). __stwb is always one instruction.
template <int V, class T>
__device__ __forceinline__ void store(T* p, const float (&x)[V]) {
  const Packed<T, V> packed = pack<T>(x);
  if constexpr (V == 1) {
    *p = packed.value;
  } else if constexpr (packed.kWords == 2) {
    __stwb(reinterpret_cast<uint2*>(p), make_uint2(packed.word[0], packed.word[1]));
  } else {
#pragma unroll
    for (int i = 0; i < packed.kWords; i += 4)
      __stwb(reinterpret_cast<uint4*>(p + i * static_cast<int>(4 / sizeof(T))),
             make_uint4(packed.word[i], packed.word[i + 1], packed.word[i + 2], packed.word[i + 3]));
  }
}

// Stores to shared memory.
template <int V>
__device__ __forceinline__ void storeShared(float* p, const float (&x)[V]) {
  if constexpr (V == 1) {
    *p = x[0];
  } else {
#pragma unroll
    for (int i = 0; i < V; i += 4) *reinterpret_cast<float4*>(p + i) = make_float4(x[i], x[i + 1], x[i + 2], x[i + 3]);
  }
}

template <int V, class T>
__device__ __forceinline__ void storeZeros(T* p) {
  const float zeros[V] = {};
  store<V>(p, zeros);
}

}  // namespace lxmert::cuda
