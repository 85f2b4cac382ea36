// CUDA's half on the host.
#pragma once

#include "cuda_runtime.h"

struct __half {
  std::uint16_t bits;
};
inline float __half2float(__half value) {
  _Float16 half;
  std::memcpy(&half, &value, 2);
  return static_cast<float>(half);
}
inline __half __float2half_rn(float value) {
  const _Float16 half = static_cast<_Float16>(value);
  __half result;
  std::memcpy(&result, &half, 2);
  return result;
}
