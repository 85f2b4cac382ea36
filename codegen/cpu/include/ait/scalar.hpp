// Scalar arithmetic of generated kernels: elementary functions, and with ait/storage.hpp and
// ait/convert.hpp storage types and conversions.
//
// Everything here is free of undefined behaviour and, unless said otherwise, free of branches, so
// that a compiler turns a loop over any of these functions into vector code with
// `-O3 -fno-math-errno -fno-trapping-math`. NaN and infinities keep their IEEE meaning: never
// compile this with `-ffast-math`. Errors against the exact value are stated per function in units
// in the last place (ulp); the coefficients are minimax fits made for this file.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#define AIT_INLINE inline __attribute__((always_inline))

#include "ait/integers.hpp"
#include "ait/storage.hpp"

namespace ait {

using portable::bfloat16_to_float;
using portable::float8_e4m3_to_float;
using portable::float_to_bfloat16;
using portable::float_to_float8_e4m3;
using portable::float_to_half;
using portable::half_to_float;

}  // namespace ait

#include "ait/convert.hpp"

namespace ait {

// ---------------------------------------------------------------------------------------------
// Elementary operations.

AIT_INLINE float abs(float x) { return __builtin_fabsf(x); }
AIT_INLINE float sqrt(float x) { return __builtin_sqrtf(x); }
AIT_INLINE float rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }
AIT_INLINE float fma(float a, float b, float c) { return a * b + c; }
AIT_INLINE float copysign(float x, float sign) { return __builtin_copysignf(x, sign); }
AIT_INLINE bool isnan(float x) { return x != x; }

/// NaN if either is NaN, as NumPy's and PyTorch's.
AIT_INLINE float maximum(float a, float b) { return a > b || a != a ? a : b; }
AIT_INLINE float minimum(float a, float b) { return a < b || a != a ? a : b; }

namespace detail {

inline constexpr float kRoundToInteger = 0x1.8p23f;  // adding it rounds |x| < 2^22 to an integer

/// The nearest integer, ties to even, of any float, without SSE4.1's rounding instructions.
AIT_INLINE float round_portable(float x) {
  const float magnitude = __builtin_fabsf(x);
  const float rounded = (magnitude + 0x1p23f) - 0x1p23f;
  return copysign(magnitude < 0x1p23f ? rounded : magnitude, x);
}

}  // namespace detail

#if defined(__SSE4_1__) || defined(__aarch64__)
AIT_INLINE float floor(float x) { return __builtin_floorf(x); }
AIT_INLINE float ceil(float x) { return __builtin_ceilf(x); }
AIT_INLINE float trunc(float x) { return __builtin_truncf(x); }
AIT_INLINE float roundeven(float x) { return __builtin_nearbyintf(x); }
#else
AIT_INLINE float roundeven(float x) { return x != x ? x : detail::round_portable(x); }
AIT_INLINE float floor(float x) {
  const float nearest = roundeven(x);
  return copysign(nearest > x ? nearest - 1.0f : nearest, x);
}
AIT_INLINE float ceil(float x) {
  const float nearest = roundeven(x);
  return copysign(nearest < x ? nearest + 1.0f : nearest, x);
}
AIT_INLINE float trunc(float x) {
  const float nearest = roundeven(x);
  return copysign(abs(nearest) > abs(x) ? abs(nearest) - 1.0f : abs(nearest), x);
}
#endif

// ---------------------------------------------------------------------------------------------
// Exponentials.

namespace detail {

inline constexpr float kLog2E = 1.44269504f;
inline constexpr float kLn2High = 0.693145752f;      // few bits: n * kLn2High is exact
inline constexpr float kLn2Low = 1.42860677e-6f;

/// (e^r - 1 - r) / r^2 for |r| <= ln(2)/2, relative error of e^r 3e-10.
AIT_INLINE float exp_tail(float r) {
  float p = 0.000198459573f;
  p = p * r + 0.00139416533f;
  p = p * r + 0.00833339151f;
  p = p * r + 0.0416663475f;
  p = p * r + 0.166666657f;
  return p * r + 0.5f;
}

/// 2^n for an integer -126 <= n <= 127 given as `n + kRoundToInteger`'s bits.
AIT_INLINE float power_of_two(std::int32_t n) {
  return bit_cast<float>(static_cast<std::uint32_t>(n + 127) << 23);
}

struct ExpParts {
  float tail;        // e^r - 1, |r| <= ln(2)/2
  std::int32_t n;    // the result is 2^n * (1 + tail)
};

/// Splits x = n ln(2) + r. `x` must be in [-150, 150] or NaN (then `tail` is NaN, `n` anything).
AIT_INLINE ExpParts exp_split(float x) {
  const float shifted = x * kLog2E + kRoundToInteger;
  const float n = shifted - kRoundToInteger;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  const std::uint32_t bits = bit_cast<std::uint32_t>(shifted) - bit_cast<std::uint32_t>(kRoundToInteger);
  // NaN makes the bits arbitrary; keep n small so that no later shift or sum leaves its range.
  const std::int32_t small = static_cast<std::int32_t>((bits + 512u) & 1023u) - 512;
  return {r + r * r * exp_tail(r), small};
}

}  // namespace detail

/// e^x; 1 ulp, also in the subnormal range.
AIT_INLINE float exp(float x) {
  const float clamped = x > 89.0f ? 89.0f : x < -104.0f ? -104.0f : x;
  const detail::ExpParts parts = detail::exp_split(clamped);
  // Two factors, because 2^n itself may be out of range where the result is not.
  const std::int32_t half = parts.n >> 1;
  const float value = (1.0f + parts.tail) * detail::power_of_two(half);
  return value * detail::power_of_two(parts.n - half);
}

/// e^x - 1; 2 ulp.
AIT_INLINE float expm1(float x) {
  const float clamped = x > 89.0f ? 89.0f : x < -20.0f ? -20.0f : x;
  const detail::ExpParts parts = detail::exp_split(clamped);
  const std::int32_t half = parts.n >> 1;
  const float first = detail::power_of_two(half);
  const float second = detail::power_of_two(parts.n - half);
  // 2^n t + (2^n - 1), scaled in two steps where 2^n overflows.
  const bool large = parts.n > 64;
  const float scale = first * (large ? 1.0f : second);
  const float value = scale * parts.tail + (large ? scale : scale - 1.0f);
  const float result = large ? value * second : value;
  return x == 0.0f ? x : result;
}

/// 2^x; 2 ulp.
AIT_INLINE float exp2(float x) {
  const float clamped = x > 129.0f ? 129.0f : x < -151.0f ? -151.0f : x;
  const float shifted = clamped + detail::kRoundToInteger;
  const float n = shifted - detail::kRoundToInteger;
  const float r = (clamped - n) * 0.693147181f;
  const std::uint32_t bits =
      bit_cast<std::uint32_t>(shifted) - bit_cast<std::uint32_t>(detail::kRoundToInteger);
  const std::int32_t integer = static_cast<std::int32_t>((bits + 512u) & 1023u) - 512;
  const std::int32_t half = integer >> 1;
  const float value = 1.0f + (r + r * r * detail::exp_tail(r));
  return value * detail::power_of_two(half) * detail::power_of_two(integer - half);
}

/// tanh x; 3 ulp.
AIT_INLINE float tanh(float x) {
  const float magnitude = abs(x);
  const float e = expm1(magnitude > 10.0f ? 20.0f : 2.0f * magnitude);
  return copysign(e / (e + 2.0f), x);
}

/// 1 / (1 + e^-x); 3 ulp.
AIT_INLINE float sigmoid(float x) {
  const float e = exp(-abs(x));  // never overflows, so that tiny results keep their digits
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

// ---------------------------------------------------------------------------------------------
// Logarithms.

namespace detail {

struct LogParts {
  float f;  // mantissa - 1, mantissa in [sqrt(1/2), sqrt(2))
  float n;  // exponent: x = 2^n (1 + f)
};

/// Splits a positive finite x, subnormal or not.
AIT_INLINE LogParts log_split(float x) {
  const bool tiny = x < 0x1p-126f;
  const std::uint32_t bits = bit_cast<std::uint32_t>(tiny ? x * 0x1p23f : x);
  const std::uint32_t shifted = bits - 0x3f3504f3u;  // sqrt(1/2)
  const std::int32_t exponent = static_cast<std::int32_t>(shifted) >> 23;
  const std::uint32_t mantissa = (shifted & 0x007fffffu) + 0x3f3504f3u;
  return {bit_cast<float>(mantissa) - 1.0f,
          static_cast<float>(exponent) - (tiny ? 23.0f : 0.0f)};
}

/// (log(1 + f) - f + f^2/2) / f^3 for 1 + f in [sqrt(1/2), sqrt(2)), relative error of log 8e-10.
AIT_INLINE float log_tail(float f) {
  float p = 0.0674660131f;
  p = p * f - 0.116756409f;
  p = p * f + 0.118881747f;
  p = p * f - 0.124055915f;
  p = p * f + 0.142195508f;
  p = p * f - 0.166679963f;
  p = p * f + 0.200021192f;
  p = p * f - 0.250000089f;
  return p * f + 0.333333135f;
}

/// The values of any logarithm at 0, below 0, at infinity and at NaN; `value` elsewhere.
AIT_INLINE float log_special(float x, float value) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float finite = x == infinity ? infinity : value;
  const float positive = x == 0.0f ? -infinity : finite;
  return x >= 0.0f ? positive : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace detail

/// Natural logarithm; 1 ulp.
AIT_INLINE float log(float x) {
  const detail::LogParts parts = detail::log_split(x);
  const float f = parts.f;
  const float tail = f * f * (f * detail::log_tail(f) - 0.5f) + parts.n * detail::kLn2Low;
  return detail::log_special(x, (f + tail) + parts.n * detail::kLn2High);
}

/// Logarithm to base 2; 2 ulp.
AIT_INLINE float log2(float x) {
  const detail::LogParts parts = detail::log_split(x);
  const float f = parts.f;
  const float tail = f * f * (f * detail::log_tail(f) - 0.5f);
  // log2(e) = 1 + 0.4427: the leading part f is not rounded by a multiplication.
  const float scaled = (tail * 0.442695041f + f * 0.442695041f) + tail;
  return detail::log_special(x, (scaled + f) + parts.n);
}

/// log(1 + x); 2 ulp.
AIT_INLINE float log1p(float x) {
  const float sum = 1.0f + x;
  const float rounding = sum > 2.0f ? 1.0f - (sum - x) : x - (sum - 1.0f);  // exact (1 + x) - sum
  const detail::LogParts parts = detail::log_split(sum);
  const float f = parts.f;
  const float correction = sum < 0x1p24f ? rounding / sum : 0.0f;
  const float tail =
      f * f * (f * detail::log_tail(f) - 0.5f) + (parts.n * detail::kLn2Low + correction);
  const float value = (f + tail) + parts.n * detail::kLn2High;
  return x == 0.0f ? x : detail::log_special(sum, value);
}

// ---------------------------------------------------------------------------------------------
// Error function.

/// erf x; 2 ulp. Near zero an odd polynomial, elsewhere 1 - exp(-q(|x|)) with q = -log(erfc).
AIT_INLINE float erf(float x) {
  const float t = x * x;
  float p = 8.51310251e-05f;
  p = p * t - 0.000817563909f;
  p = p * t + 0.00520385895f;
  p = p * t - 0.0268605091f;
  p = p * t + 0.112837151f;
  p = p * t - 0.376126349f;
  p = p * t + 0.128379166f;
  const float near = p * x + x;

  const float magnitude = abs(x);
  const float a = magnitude > 4.0f ? 4.0f : magnitude;
  float q = -0.000198220703f;
  q = q * a + 0.00306549971f;
  q = q * a - 0.0223152488f;
  q = q * a + 0.104113743f;
  q = q * a + 0.636976004f;
  q = q * a + 1.12779725f;
  q = q * a + 0.000166439087f;
  const detail::ExpParts parts = detail::exp_split(-q);
  const float scale = detail::power_of_two(parts.n);
  const float far = copysign(1.0f - (scale * parts.tail + scale), x);
  return magnitude < 0.9f ? near : far;
}
/// For results of 16 bits.
AIT_INLINE float sigmoid_rough(float x) { return sigmoid(x); }
AIT_INLINE float one_plus_tanh_rough(float x) { return 2.0f * sigmoid(2.0f * x); }
/// x Phi(x), the Gaussian error linear unit, for results of 16 bits.
AIT_INLINE float gelu_rough(float x) { return x * 0.5f * (1.0f + erf(x * 0.70710678f)); }

// ---------------------------------------------------------------------------------------------
// Trigonometry, accurate for every finite argument.

namespace detail {

/// 2/pi after the binary point, most significant word first.
inline constexpr std::uint64_t kTwoOverPi[5] = {0xa2f9836e4e441529u, 0xfc2757d1f534ddc0u,
                                                0xdb6295993c439041u, 0xfe5163abdebbc561u,
                                                0xb7246e3a424dd2e0u};

/// `count` <= 63 bits of 2/pi from bit `first` (0 is the first after the point, negatives are 0).
constexpr std::uint64_t two_over_pi_bits(int first, int count) {
  std::uint64_t value = 0;
  for (int i = first; i < first + count; ++i) {
    value = value * 2 + (i < 0 ? 0 : (kTwoOverPi[i / 64] >> (63 - i % 64)) & 1u);
  }
  return value;
}

/// high[s] + low[s] = (2^s * 2/pi) mod 4; high has so few bits that its product with a float is exact.
struct QuadrantTable {
  static constexpr int kCount = 105;
  double high[kCount] = {};
  double low[kCount] = {};

  constexpr QuadrantTable() {
    for (int s = 0; s < kCount; ++s) {
      high[s] = static_cast<double>(two_over_pi_bits(s - 2, 29)) * 0x1p-27;
      low[s] = static_cast<double>(two_over_pi_bits(s + 27, 53)) * 0x1p-80;
    }
  }
};
inline constexpr QuadrantTable kQuadrants{};

struct Angle {
  float r;                  // in [-pi/4, pi/4]
  std::uint32_t quadrant;   // modulo 4
};

/// x modulo pi/2 (Payne and Hanek's method with a table instead of long multiplication).
AIT_INLINE Angle reduce_angle(float x) {
  const std::int32_t exponent = static_cast<std::int32_t>((bit_cast<std::uint32_t>(x) >> 23) & 255u);
  const std::int32_t above = exponent - 150;
  const std::int32_t s = above < 0 ? 0 : above > 104 ? 104 : above;
  const double scaled = static_cast<double>(x * power_of_two(-s));
  const double product = scaled * kQuadrants.high[s];
  const double shifted = product + 0x1.8p52;
  const double fraction = (product - (shifted - 0x1.8p52)) + scaled * kQuadrants.low[s];
  return {static_cast<float>(fraction * 1.5707963267948966),
          static_cast<std::uint32_t>(bit_cast<std::uint64_t>(shifted))};
}

AIT_INLINE float sin_polynomial(float r) {
  const float t = r * r;
  const float p = ((2.71804629e-06f * t - 0.000198393042f) * t + 0.00833332911f) * t - 0.166666672f;
  return r + r * t * p;
}

AIT_INLINE float cos_polynomial(float r) {
  const float t = r * r;
  const float p = (2.4432411e-05f * t - 0.00138873095f) * t + 0.0416666456f;
  return 1.0f - (0.5f * t - t * t * p);
}

AIT_INLINE float sin_of(Angle angle) {
  const float value =
      (angle.quadrant & 1u) != 0 ? cos_polynomial(angle.r) : sin_polynomial(angle.r);
  return (angle.quadrant & 2u) != 0 ? -value : value;
}

}  // namespace detail

/// sin x; 2 ulp for every finite x.
AIT_INLINE float sin(float x) {
  const float value = detail::sin_of(detail::reduce_angle(x));
  return x == 0.0f ? x : value;
}

/// cos x; 2 ulp for every finite x.
AIT_INLINE float cos(float x) {
  const detail::Angle angle = detail::reduce_angle(x);
  return detail::sin_of({angle.r, angle.quadrant + 1u});
}

// ---------------------------------------------------------------------------------------------
// Powers.

/// x^y with the special values of C's powf; 1 ulp. Works in double: float has too few bits for y log x.
AIT_INLINE float pow(float x, float y) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float magnitude = abs(x);
  const bool tiny = magnitude < 0x1p-126f;
  const std::uint32_t bits = bit_cast<std::uint32_t>(tiny ? magnitude * 0x1p23f : magnitude);
  const std::uint32_t offset = bits - 0x3f3504f3u;
  const std::int32_t exponent = (static_cast<std::int32_t>(offset) >> 23) - (tiny ? 23 : 0);
  const double mantissa = bit_cast<float>((offset & 0x007fffffu) + 0x3f3504f3u);
  // log2(m) = 2/ln(2) * atanh(s), |s| <= 0.172: seven terms leave 1e-12.
  const double s = (mantissa - 1.0) / (mantissa + 1.0);
  const double t = s * s;
  double p = 1.0 / 15;
  p = p * t + 1.0 / 13;
  p = p * t + 1.0 / 11;
  p = p * t + 1.0 / 9;
  p = p * t + 1.0 / 7;
  p = p * t + 1.0 / 5;
  p = p * t + 1.0 / 3;
  p = p * t + 1.0;
  const double logarithm = s * p * 2.8853900817779268 + static_cast<double>(exponent);

  const double power = static_cast<double>(y) * logarithm;
  const double clamped = power > 200.0 ? 200.0 : power < -200.0 ? -200.0 : power;
  const double shifted = clamped + 0x1.8p52;
  const double r = (clamped - (shifted - 0x1.8p52)) * 0.6931471805599453;
  double e = 1.0 / 3628800;
  e = e * r + 1.0 / 362880;
  e = e * r + 1.0 / 40320;
  e = e * r + 1.0 / 5040;
  e = e * r + 1.0 / 720;
  e = e * r + 1.0 / 120;
  e = e * r + 1.0 / 24;
  e = e * r + 1.0 / 6;
  e = e * r + 0.5;
  e = e * r + 1.0;
  e = e * r + 1.0;
  const std::uint64_t scale = ((bit_cast<std::uint64_t>(shifted) + 1023u) & 0x7ffu) << 52;
  const float positive = static_cast<float>(e * bit_cast<double>(scale));

  // Special values of |x|: 0 and infinity to a power are 0 or infinity, by the sign of y.
  const bool extreme = magnitude == 0.0f || magnitude == infinity;
  const bool grows = (magnitude == infinity) == (y > 0.0f);
  float value = extreme ? (grows ? infinity : 0.0f) : positive;
  value = abs(y) == infinity
              ? (magnitude == 1.0f ? 1.0f : (magnitude > 1.0f) == (y > 0.0f) ? infinity : 0.0f)
              : value;
  // The sign: only integers are powers of negative numbers, and odd ones keep the sign.
  const bool integer = floor(y) == y;
  const float half_y = y * 0.5f;
  const bool odd = integer && floor(half_y) != half_y && abs(y) < 0x1p24f;
  const bool negative = bit_cast<std::uint32_t>(x) >> 31 != 0;
  value = negative && odd ? -value : value;
  const bool undefined = x < 0.0f && !integer && magnitude != infinity;
  value = undefined ? std::numeric_limits<float>::quiet_NaN() : value;
  value = x != x || y != y ? x + y : value;
  return x == 1.0f || y == 0.0f ? 1.0f : value;
}

}  // namespace ait

#include "ait/floats.hpp"
