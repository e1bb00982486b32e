// Elements of two vector registers in another order.
#pragma once

namespace lxmert::cpu {

// Element i of the result is element order[i] of a and b side by side. GCC has a built-in function for that, clang only one that
// takes constants as arguments, and makes the same instruction of the loop when the order is known.
template <typename Vector, typename Order>
inline __attribute__((always_inline)) Vector shuffle(Vector a, Vector b, Order order) {
#if defined(__clang__)
  constexpr int kCount = sizeof(Vector) / sizeof(a[0]);
  Vector result;
  for (int i = 0; i < kCount; ++i) {
    const auto from = static_cast<int>(order[i]);
    result[i] = from < kCount ? a[from] : b[from - kCount];
  }
  return result;
#else
  return __builtin_shuffle(a, b, order);
#endif
}

}  // namespace lxmert::cpu
