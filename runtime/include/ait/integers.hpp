// Arithmetic of integers, the same on every target: it wraps around, and Python's division rounds down.
// Included by the target's ait/scalar.hpp, which says what AIT_INLINE is.
#pragma once

#include <cstdint>
#include <type_traits>

namespace ait {

template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
AIT_INLINE T add(T a, T b) {
  return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
AIT_INLINE T sub(T a, T b) {
  return static_cast<T>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}
template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
AIT_INLINE T mul(T a, T b) {
  return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
}
template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
AIT_INLINE T neg(T a) {
  return sub(T(0), a);
}
template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
AIT_INLINE T abs(T a) {
  return a < 0 ? neg(a) : a;
}
template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
AIT_INLINE T maximum(T a, T b) {
  return a > b ? a : b;
}
template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
AIT_INLINE T minimum(T a, T b) {
  return a < b ? a : b;
}

/// The floor of the quotient. Division by zero gives 0; the lowest value by -1 wraps to itself.
template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
AIT_INLINE T floor_divide(T x, T y) {
  if (y == 0) return 0;
  if (y == T(-1)) return static_cast<T>(-static_cast<std::make_unsigned_t<T>>(x));
  const T quotient = static_cast<T>(x / y);
  return static_cast<T>(x % y != 0 && (x < 0) != (y < 0) ? quotient - 1 : quotient);
}

/// The remainder with the divisor's sign. By zero it is 0.
template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
AIT_INLINE T remainder(T x, T y) {
  if (y == 0 || y == T(-1)) return 0;
  const T rest = static_cast<T>(x % y);
  return static_cast<T>(rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest);
}

}  // namespace ait
