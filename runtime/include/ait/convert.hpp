// The conversion of `cast`, and loads and stores that convert, the same on every target. Included by the
// target's ait/scalar.hpp, which says what AIT_INLINE is and how storage types become floats.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ait/storage.hpp"

namespace ait {

namespace detail {

/// Truncates toward zero and saturates; NaN becomes 0.
template <typename To>
AIT_INLINE To saturate(float value) {
  constexpr To highest = static_cast<To>(static_cast<std::make_unsigned_t<To>>(-1) / 2);
  constexpr To lowest = static_cast<To>(-highest - 1);
  // 2^(bits-1) is exact in float, the largest integer itself may not be.
  constexpr float limit = -static_cast<float>(lowest);
  const bool inside = value >= -limit && value < limit;
  const To truncated = static_cast<To>(inside ? value : 0.0f);
  return value < -limit ? lowest : value >= limit ? highest : truncated;
}

}  // namespace detail

/// The conversion of `cast`: float to int truncates and saturates, int to int wraps, to bool is != 0.
template <typename To, typename From>
AIT_INLINE To convert(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<From, half_t>) {
    return convert<To>(half_to_float(value.bits));
  } else if constexpr (std::is_same_v<From, bfloat16_t>) {
    return convert<To>(bfloat16_to_float(value.bits));
  } else if constexpr (std::is_same_v<From, float8_e4m3_t>) {
    return convert<To>(float8_e4m3_to_float(value.bits));
  } else if constexpr (std::is_same_v<To, half_t>) {
    return half_t{float_to_half(convert<float>(value))};
  } else if constexpr (std::is_same_v<To, bfloat16_t>) {
    return bfloat16_t{float_to_bfloat16(convert<float>(value))};
  } else if constexpr (std::is_same_v<To, float8_e4m3_t>) {
    return float8_e4m3_t{float_to_float8_e4m3(convert<float>(value))};
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From(0);
  } else if constexpr (std::is_floating_point_v<To>) {
    return static_cast<To>(value);
  } else if constexpr (std::is_floating_point_v<From>) {
    return detail::saturate<To>(static_cast<float>(value));
  } else {
    return static_cast<To>(static_cast<std::make_unsigned_t<To>>(value));
  }
}

/// Reads element `index` of `data` as a value of type To.
template <typename To, typename T>
AIT_INLINE To load(const T* data, std::int64_t index) {
  return convert<To>(data[index]);
}

/// Writes `value` as element `index` of `data`, rounding once to the storage type.
template <typename T, typename V>
AIT_INLINE void store(T* data, std::int64_t index, V value) {
  data[index] = convert<T>(value);
}

}  // namespace ait
