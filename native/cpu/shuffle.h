// Reorders the elements of two vector registers.
#pragma once

namespace lxmert::cpu {

// Element i of the result is element order[i] of the elements of a followed by those of b. GCC has a built-in function
// for this. The one of clang takes only constants as arguments, but clang compiles the loop to the same instruction if
// the order is known at compile time.
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
