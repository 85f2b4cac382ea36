// Scalar arithmetic of generated GPU kernels, for nvcc and for clang's HIP: the functions of the
// CPU's header of this name, with the same meaning, on top of the device's math library. NaN and
// infinities keep their IEEE meaning: never compile this with fast-math flags. The accuracy is that
// of the device library's full-precision functions (1 to 4 ulp), unless said otherwise.
#pragma once

#if defined(__HIP__) || defined(__HIPCC__)
#include <hip/hip_runtime.h>
#else
#include <cuda_runtime.h>
#endif

#include <cstdint>
#include <cstring>
#include <limits>  // in generated code
#include <type_traits>

#define AIT_INLINE __host__ __device__ __forceinline__

#include "ait/integers.hpp"
#include "ait/storage.hpp"

namespace ait {

// ---------------------------------------------------------------------------------------------
// Floats of storage types, by instructions where there are some.

using portable::bfloat16_to_float;

#if defined(__CUDA_ARCH__)

// CUDA's headers of 16-bit types would take a third of the time that a kernel compiles.
AIT_INLINE float half_to_float(std::uint16_t half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
}

AIT_INLINE std::uint16_t float_to_half(float value) {
  std::uint16_t half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
  return half;
}

AIT_INLINE std::uint16_t float_to_bfloat16(float value) {
  std::uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

#elif defined(__HIP__) || defined(__HIPCC__)

AIT_INLINE float half_to_float(std::uint16_t half) {
  return static_cast<float>(bit_cast<_Float16>(half));
}

/// Rounds to nearest, ties to even.
AIT_INLINE std::uint16_t float_to_half(float value) {
  return bit_cast<std::uint16_t>(static_cast<_Float16>(value));
}

using portable::float_to_bfloat16;

#else  // the host

using portable::float_to_bfloat16;
using portable::float_to_half;
using portable::half_to_float;

#endif

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890

AIT_INLINE float float8_e4m3_to_float(std::uint8_t value) {
  std::uint32_t halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(static_cast<std::uint16_t>(value)));
  return half_to_float(static_cast<std::uint16_t>(halves));
}

/// Rounds to nearest, ties to even; what would round to more than 448 becomes NaN, as NaN does.
AIT_INLINE std::uint8_t float_to_float8_e4m3(float value) {
  const std::uint32_t magnitude = bit_cast<std::uint32_t>(value) & 0x7fffffffu;
  std::uint16_t pair;  // saturated
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0f), "f"(value));
  return static_cast<std::uint8_t>(magnitude > detail::kFloat8Last ? 0x7fu : pair);
}

#else

using portable::float8_e4m3_to_float;
using portable::float_to_float8_e4m3;

#endif

}  // namespace ait

#include "ait/convert.hpp"

namespace ait {

// ---------------------------------------------------------------------------------------------
// Elementary operations.

AIT_INLINE float abs(float x) { return ::fabsf(x); }
AIT_INLINE float sqrt(float x) { return ::sqrtf(x); }
AIT_INLINE float rsqrt(float x) { return 1.0f / ::sqrtf(x); }
AIT_INLINE float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
AIT_INLINE float copysign(float x, float sign) { return ::copysignf(x, sign); }
AIT_INLINE bool isnan(float x) { return x != x; }

/// NaN if either is NaN, as NumPy's and PyTorch's.
AIT_INLINE float maximum(float a, float b) {
#if defined(__CUDA_ARCH__)
  float c;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
  return c;
#else
  return a > b || a != a ? a : b;
#endif
}
AIT_INLINE float minimum(float a, float b) {
#if defined(__CUDA_ARCH__)
  float c;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
  return c;
#else
  return a < b || a != a ? a : b;
#endif
}

AIT_INLINE float floor(float x) { return ::floorf(x); }
AIT_INLINE float ceil(float x) { return ::ceilf(x); }
AIT_INLINE float trunc(float x) { return ::truncf(x); }
AIT_INLINE float roundeven(float x) { return ::rintf(x); }

namespace detail {

/// x / y to 2 ulp where 2^-126 <= |y| <= 2^126, without branches; beyond it may be 0.
AIT_INLINE float quotient(float x, float y) {
#if defined(__CUDA_ARCH__) || defined(__HIP_DEVICE_COMPILE__)
  return __fdividef(x, y);
#else
  return x / y;
#endif
}

/// 2^x to about 2 ulp; 0 below 2^-126.
AIT_INLINE float power_of_two(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#elif defined(__HIP_DEVICE_COMPILE__)
  return __builtin_amdgcn_exp2f(x);
#else
  return ::exp2f(x);
#endif
}

/// x p(x^2) / q(x^2), within -1 and 1, where x^2 counts as at most `limit`: odd functions that tend to
/// 1. NaN stays NaN. Device libraries have branches here, which keep a thread from working on several
/// values at once.
template <int P, int Q>
AIT_INLINE float odd_rational(float x, float limit, const float (&p)[P], const float (&q)[Q]) {
  const float square = x * x;
  const float t = square > limit ? limit : square;
  float above = p[0], below = q[0];
#pragma unroll
  for (int i = 1; i < P; ++i) above = ::fmaf(above, t, p[i]);
#pragma unroll
  for (int i = 1; i < Q; ++i) below = ::fmaf(below, t, q[i]);
  const float value = quotient(x * above, below);
  return ::fabsf(value) > 1.0f ? ::copysignf(1.0f, x) : value;
}

}  // namespace detail

AIT_INLINE float exp(float x) { return ::expf(x); }
/// For results of 16 bits: relative error 2^-17 where |x| <= 64, 2^-16 down to 2^-126, then 0.
AIT_INLINE float exp_rough(float x) { return detail::power_of_two(x * 1.44269504f); }
AIT_INLINE float expm1(float x) { return ::expm1f(x); }
AIT_INLINE float exp2(float x) { return ::exp2f(x); }
/// 7 ulp; a minimax fit (relative error 2e-8 up to 9.1).
AIT_INLINE float tanh(float x) {
  constexpr float p[] = {1.31775182e-08f, 2.0481183e-05f, 0.0034878108f, 0.13374475f, 0.999999977f};
  constexpr float q[] = {7.70404419e-07f, 0.000327291979f, 0.0258473876f, 0.467077888f, 1.0f};
  return detail::odd_rational(x, 82.81f, p, q);
}
/// 4 ulp; 0 where it is less than 2^-126.
AIT_INLINE float sigmoid(float x) { return detail::quotient(1.0f, 1.0f + ::expf(-x)); }
/// For results of 16 bits: as exact as exp_rough, and to 5 ulp around 0; 0 where less than 2^-126.
AIT_INLINE float sigmoid_rough(float x) { return detail::quotient(1.0f, 1.0f + exp_rough(-x)); }
/// 1 + tanh(x), the same.
AIT_INLINE float one_plus_tanh_rough(float x) {
  return detail::quotient(2.0f, 1.0f + detail::power_of_two(x * -2.88539008f));
}
AIT_INLINE float log(float x) { return ::logf(x); }
AIT_INLINE float log2(float x) { return ::log2f(x); }
AIT_INLINE float log1p(float x) { return ::log1pf(x); }
/// 7 ulp; a minimax fit (relative error 2e-8 up to 3.95).
AIT_INLINE float erf(float x) {
  constexpr float p[] = {2.02591477e-06f, 0.00028468726f, 0.00380813484f,
                         0.0528753645f,   0.191549672f,   1.12837914f};
  constexpr float q[] = {3.78318462e-05f, 0.00117071952f, 0.0150550362f,
                         0.114559362f,    0.503089153f,   1.0f};
  return detail::odd_rational(x, 15.6025f, p, q);
}
/// x Phi(x), the Gaussian error linear unit, for results of 16 bits: relative error 2^-17. It is
/// max(x, 0) - |x| Phi(-|x|), and the logarithm of Phi nearly a parabola: a minimax fit up to 5.9, where
/// results of 16 bits end. 0 at -inf.
AIT_INLINE float gelu_rough(float x) {
  constexpr float p[] = {-1.8341362e-6f, 6.1586776e-5f, -0.00093044917f, 0.008507649f,
                         -0.053959686f,  -0.45846468f,  -1.151251f,      -0.9999953f};
  const float size = ::fminf(::fabsf(x), 64.0f);
  float log = p[0];
#pragma unroll
  for (int i = 1; i < 8; ++i) log = ::fmaf(log, size, p[i]);
  return ::fmaf(-size, detail::power_of_two(log), maximum(x, 0.0f));
}
AIT_INLINE float sin(float x) { return ::sinf(x); }
AIT_INLINE float cos(float x) { return ::cosf(x); }
AIT_INLINE float pow(float x, float y) { return ::powf(x, y); }

}  // namespace ait

#include "ait/floats.hpp"
