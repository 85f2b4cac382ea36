// Vectors of floats as wide as the target's registers, with GCC's and clang's vector extensions.
#pragma once

#include <cstdint>

#include "ait/scalar.hpp"

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

// Bytes of a vector register. A wider value than the hardware's is legal (and slow).
#if !defined(AIT_VECTOR_BYTES)
#if defined(__AVX512F__)
#define AIT_VECTOR_BYTES 64
#elif defined(__AVX__)
#define AIT_VECTOR_BYTES 32
#else
#define AIT_VECTOR_BYTES 16
#endif
#endif

// Before a loop whose iterations touch no memory of each other: operands of a kernel either are
// disjoint or are the same element by element.
#if defined(__clang__)
#define AIT_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define AIT_INDEPENDENT _Pragma("GCC ivdep")
#endif

#if defined(__clang__)
#define AIT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define AIT_UNROLL _Pragma("GCC unroll 64")
#endif

namespace ait {

inline constexpr int kLanes = AIT_VECTOR_BYTES / 4;

typedef float Vector __attribute__((vector_size(AIT_VECTOR_BYTES)));
typedef std::int32_t IntVector __attribute__((vector_size(AIT_VECTOR_BYTES)));

namespace detail {

typedef float UnalignedVector
    __attribute__((vector_size(AIT_VECTOR_BYTES), aligned(4), may_alias));
typedef std::uint32_t BitsVector __attribute__((vector_size(AIT_VECTOR_BYTES)));
typedef std::uint16_t ShortVector __attribute__((vector_size(AIT_VECTOR_BYTES / 2)));
typedef std::uint16_t UnalignedShortVector
    __attribute__((vector_size(AIT_VECTOR_BYTES / 2), aligned(2), may_alias));

typedef std::uint8_t UnalignedByteVector
    __attribute__((vector_size(AIT_VECTOR_BYTES / 4), aligned(1), may_alias));

#if defined(__F16C__)
typedef short PackedHalves __attribute__((vector_size(16)));
#endif

AIT_INLINE BitsVector widen(const std::uint16_t* data) {
  return __builtin_convertvector(*reinterpret_cast<const UnalignedShortVector*>(data), BitsVector);
}

}  // namespace detail

/// Every lane `value`: x - 0 is x for all x (x + 0 is not, for -0), so nothing is subtracted.
AIT_INLINE Vector splat(float value) { return value - Vector{}; }

AIT_INLINE Vector load_vector(const float* data) {
  return *reinterpret_cast<const detail::UnalignedVector*>(data);
}

AIT_INLINE void store_vector(float* data, Vector value) {
  *reinterpret_cast<detail::UnalignedVector*>(data) = value;
}

AIT_INLINE Vector load_vector(const bfloat16_t* data) {
  return reinterpret_cast<Vector>(detail::widen(&data->bits) << 16);
}

AIT_INLINE Vector load_vector(const half_t* data) {
#if defined(__F16C__) && AIT_VECTOR_BYTES >= 32
  // The compiler's own names: the headers of intrinsics take longer to read than a kernel to compile.
  Vector result = {};
  for (int i = 0; i < kLanes; i += 8) {
    detail::PackedHalves packed;
    std::memcpy(&packed, data + i, sizeof packed);
    const auto eight = __builtin_ia32_vcvtph2ps256(packed);
    std::memcpy(reinterpret_cast<char*>(&result) + i * 4, &eight, sizeof eight);
  }
  return result;
#elif defined(__aarch64__) && AIT_VECTOR_BYTES == 16
  return static_cast<Vector>(vcvt_f32_f16(vld1_f16(reinterpret_cast<const __fp16*>(data))));
#else
  // The scalar half_to_float, lane by lane.
  const detail::BitsVector half = detail::widen(&data->bits);
  const detail::BitsVector magnitude = (half & 0x7fffu) << 13;
  const Vector scaled = reinterpret_cast<Vector>(magnitude) * 0x1p112f;
  const detail::BitsVector special = magnitude | 0x7f800000u;
  const detail::BitsVector is_special =
      reinterpret_cast<detail::BitsVector>(magnitude >= 0x0f800000u);
  const detail::BitsVector bits =
      (special & is_special) | (reinterpret_cast<detail::BitsVector>(scaled) & ~is_special);
  return reinterpret_cast<Vector>(bits | ((half & 0x8000u) << 16));
#endif
}

AIT_INLINE Vector load_vector(const float8_e4m3_t* data) {
  // The scalar float8_e4m3_to_float, lane by lane.
  const detail::BitsVector code = __builtin_convertvector(
      *reinterpret_cast<const detail::UnalignedByteVector*>(data), detail::BitsVector);
  const detail::BitsVector magnitude = (code & 0x7fu) << 20;
  const Vector scaled = reinterpret_cast<Vector>(magnitude) * 0x1p120f;
  const detail::BitsVector is_nan = reinterpret_cast<detail::BitsVector>(magnitude == 0x07f00000u);
  const detail::BitsVector bits =
      (is_nan & 0x7fc00000u) | (reinterpret_cast<detail::BitsVector>(scaled) & ~is_nan);
  return reinterpret_cast<Vector>(bits | ((code & 0x80u) << 24));
}

/// Lane-wise choice; `mask` lanes are all ones or all zeros.
AIT_INLINE Vector select(IntVector mask, Vector yes, Vector no) {
  return reinterpret_cast<Vector>((mask & reinterpret_cast<IntVector>(yes)) |
                                  (~mask & reinterpret_cast<IntVector>(no)));
}

AIT_INLINE float sum_lanes(Vector value) {
  float lanes[kLanes];
  store_vector(lanes, value);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

/// Converts `count` elements to float.
template <typename T>
inline void load_row(const T* data, std::int64_t count, float* row) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store_vector(row + i, load_vector(data + i));
  for (; i < count; ++i) row[i] = load<float>(data, i);
}

}  // namespace ait
