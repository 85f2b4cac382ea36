// Arithmetic of floats that needs no instructions of a target's own: by name, as region code calls it, and
// Python's division, whose quotient rounds down and whose remainder has the divisor's sign. Included by
// the target's ait/scalar.hpp, which says what AIT_INLINE is, and has copysign and floor. That of
// integers is in integers.hpp.
#pragma once

#include <math.h>

namespace ait {

AIT_INLINE float add(float a, float b) { return a + b; }
AIT_INLINE float sub(float a, float b) { return a - b; }
AIT_INLINE float mul(float a, float b) { return a * b; }
AIT_INLINE float neg(float a) { return -a; }

/// `x - y * floor(x / y)` computed exactly, with the sign of y; NaN where y is 0 (as NumPy's).
AIT_INLINE float remainder(float x, float y) {
  const float rest = ::fmodf(x, y);
  const bool other_sign = (rest < 0.0f) != (y < 0.0f);
  return rest == 0.0f ? copysign(0.0f, y) : other_sign ? rest + y : rest;
}

/// The floor of the exact quotient of x and y; x / y where y is 0 (as NumPy's).
AIT_INLINE float floor_divide(float x, float y) {
  const float rest = ::fmodf(x, y);
  const bool other_sign = rest != 0.0f && (rest < 0.0f) != (y < 0.0f);
  const float quotient = (x - rest) / y - (other_sign ? 1.0f : 0.0f);
  const float down = floor(quotient);
  const float nearest = quotient - down > 0.5f ? down + 1.0f : down;
  const float result = quotient == 0.0f ? copysign(0.0f, x / y) : nearest;
  return y == 0.0f ? x / y : result;
}

}  // namespace ait
