// Operations on a row of floats that lies in the first cache.
#pragma once

#include <cstdint>
#include <limits>

#include "ait/simd.hpp"

namespace ait::row {

namespace detail {

/// Combines `lane(i)` vectors and `element(i)` rest with `combine`, in four independent chains.
template <typename Lane, typename Element, typename Combine>
AIT_INLINE float fold(std::int64_t count, float start, Lane&& lane, Element&& element,
                      Combine&& combine) {
  Vector part[4] = {splat(start), splat(start), splat(start), splat(start)};
  std::int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    AIT_UNROLL
    for (int j = 0; j < 4; ++j) part[j] = combine(part[j], lane(i + j * kLanes));
  }
  for (; i + kLanes <= count; i += kLanes) part[0] = combine(part[0], lane(i));
  const Vector whole = combine(combine(part[0], part[1]), combine(part[2], part[3]));
  float lanes[kLanes];
  store_vector(lanes, whole);
  float result = start;
  for (int j = 0; j < kLanes; ++j) result = combine(result, lanes[j]);
  for (; i < count; ++i) result = combine(result, element(i));
  return result;
}

struct Add {
  AIT_INLINE float operator()(float a, float b) const { return a + b; }
  AIT_INLINE Vector operator()(Vector a, Vector b) const { return a + b; }
};

struct Maximum {
  AIT_INLINE float operator()(float a, float b) const { return maximum(a, b); }
  AIT_INLINE Vector operator()(Vector a, Vector b) const {
    return select((a > b) | (a != a), a, b);
  }
};

}  // namespace detail

/// The largest element, NaN if there is one, -inf of nothing.
inline float max(const float* v, std::int64_t count) {
  return detail::fold(
      count, -std::numeric_limits<float>::infinity(),
      [v](std::int64_t i) { return load_vector(v + i); }, [v](std::int64_t i) { return v[i]; },
      detail::Maximum{});
}

inline float sum(const float* v, std::int64_t count) {
  return detail::fold(
      count, 0.0f, [v](std::int64_t i) { return load_vector(v + i); },
      [v](std::int64_t i) { return v[i]; }, detail::Add{});
}

/// The sum of (v - center)^2.
inline float sum_of_squares(const float* v, std::int64_t count, float center) {
  return detail::fold(
      count, 0.0f,
      [v, center](std::int64_t i) {
        const Vector distance = load_vector(v + i) - splat(center);
        return distance * distance;
      },
      [v, center](std::int64_t i) { return (v[i] - center) * (v[i] - center); }, detail::Add{});
}

/// to = e^(v - shift); `to` may be `v`.
inline void exp_shifted(const float* v, std::int64_t count, float shift, float* to) {
  AIT_INDEPENDENT
  for (std::int64_t i = 0; i < count; ++i) to[i] = exp(v[i] - shift);
}

inline void scale(float* v, std::int64_t count, float factor) {
  for (std::int64_t i = 0; i < count; ++i) v[i] *= factor;
}

}  // namespace ait::row
