// Storage types of 8 and 16 bits and their conversions, the same on every target. Included by the
// target's ait/scalar.hpp, which says what AIT_INLINE is.
//
// All of it is free of undefined behaviour and of branches, so that a compiler turns loops over it into
// vector code.
#pragma once

#include <string.h>

#include <cstdint>

namespace ait {

template <typename To, typename From>
AIT_INLINE To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

// ---------------------------------------------------------------------------------------------
// The types. They only store: arithmetic happens in float.

struct half_t {
  std::uint16_t bits;
};

struct bfloat16_t {
  std::uint16_t bits;
};

/// Sign, four bits of exponent (bias 7), three of mantissa. There are no infinities; all ones is NaN, and
/// 448 the largest number.
struct float8_e4m3_t {
  std::uint8_t bits;
};

/// The type in which a value of storage type T is computed.
template <typename T>
struct compute_type {
  using type = T;
};
template <>
struct compute_type<half_t> {
  using type = float;
};
template <>
struct compute_type<bfloat16_t> {
  using type = float;
};
template <>
struct compute_type<float8_e4m3_t> {
  using type = float;
};
template <typename T>
using compute_t = typename compute_type<T>::type;

// ---------------------------------------------------------------------------------------------
// Conversions by integer operations, for devices, and hosts, that have no instructions for them.

namespace detail {

inline constexpr std::uint32_t kFloat8Last = 0x43e80000u;  // 464: it rounds to 448, which is even

}  // namespace detail

namespace portable {

/// Exact: every half is a float.
AIT_INLINE float half_to_float(std::uint16_t half) {
  const std::uint32_t magnitude = static_cast<std::uint32_t>(half & 0x7fffu) << 13;
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  // Multiplying by 2^112 moves the exponent bias from 15 to 127 and normalises subnormals.
  const float scaled = bit_cast<float>(magnitude) * 0x1p112f;
  const std::uint32_t finite = bit_cast<std::uint32_t>(scaled);
  const std::uint32_t special = magnitude | 0x7f800000u;
  return bit_cast<float>(sign | (magnitude >= 0x0f800000u ? special : finite));
}

/// Rounds to nearest, ties to even; too large becomes infinity, NaN stays NaN.
AIT_INLINE std::uint16_t float_to_half(float value) {
  const std::uint32_t bits = bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  // Below 2^-14 the result is subnormal: adding 0.5 makes the FPU round at the right bit.
  const std::uint32_t subnormal =
      bit_cast<std::uint32_t>(bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  const std::uint32_t odd = (magnitude >> 13) & 1u;
  const std::uint32_t normal = (magnitude + 0xc8000fffu + odd) >> 13;
  std::uint32_t result = magnitude < 0x38800000u ? subnormal : normal;
  result = magnitude >= 0x47800000u ? 0x7c00u : result;
  result = magnitude > 0x7f800000u ? 0x7e00u : result;
  return static_cast<std::uint16_t>(sign | result);
}

AIT_INLINE float bfloat16_to_float(std::uint16_t value) {
  return bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

/// Rounds to nearest, ties to even; NaN stays NaN.
AIT_INLINE std::uint16_t float_to_bfloat16(float value) {
  const std::uint32_t bits = bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const std::uint32_t nan = bits | 0x400000u;
  return static_cast<std::uint16_t>(((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded) >> 16);
}

/// Exact. Multiplying by 2^120 moves the exponent bias from 7 to 127 and normalises subnormals.
AIT_INLINE float float8_e4m3_to_float(std::uint8_t value) {
  const std::uint32_t magnitude = static_cast<std::uint32_t>(value & 0x7fu) << 20;
  const std::uint32_t sign = static_cast<std::uint32_t>(value & 0x80u) << 24;
  const std::uint32_t finite = bit_cast<std::uint32_t>(bit_cast<float>(magnitude) * 0x1p120f);
  return bit_cast<float>(sign | (magnitude == 0x07f00000u ? 0x7fc00000u : finite));
}

/// Rounds to nearest, ties to even; what would round to more than 448 becomes NaN, as NaN does.
AIT_INLINE std::uint8_t float_to_float8_e4m3(float value) {
  const std::uint32_t bits = bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  // Below 2^-6 the result is subnormal: adding 2^14 makes the FPU round at the right bit.
  const std::uint32_t subnormal =
      bit_cast<std::uint32_t>(bit_cast<float>(magnitude) + 0x1p14f) - 0x46800000u;
  const std::uint32_t odd = (magnitude >> 20) & 1u;
  const std::uint32_t normal = (magnitude + 0xc407ffffu + odd) >> 20;
  std::uint32_t result = magnitude < 0x3c800000u ? subnormal : normal;
  result = magnitude > detail::kFloat8Last ? 0x7fu : result;
  return static_cast<std::uint8_t>(((bits >> 24) & 0x80u) | result);
}

}  // namespace portable

}  // namespace ait
