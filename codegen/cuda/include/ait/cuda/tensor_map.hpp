// Descriptions of tensors in global memory for the copy engine (TMA), made on the host: CUDA driver
// API, "Tensor Map Object Managment". The driver's functions are asked for at run time, so that a
// library links the CUDA runtime only.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <cstdio>
#include <type_traits>

#include "ait/cuda/tf32.hpp"
#include "ait/gpu.hpp"

namespace ait::cuda {

namespace detail {

inline void* driver_function(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found);
#else
  const cudaError_t error = cudaGetDriverEntryPoint(name, &function, cudaEnableDefault, &found);
#endif
  return error == cudaSuccess && found == cudaDriverEntryPointSuccess ? function : nullptr;
}

inline Status map_status(CUresult result, const char* what) {
  if (result == CUDA_SUCCESS) return ok();
  char how[64];
  std::snprintf(how, sizeof(how), "the driver cannot describe a tensor (error %d)",
                static_cast<int>(result));
  return device_error(what, how);
}

inline Status no_driver() {
  return Status{AIT_DEVICE_ERROR, "the CUDA driver has no tensor maps: it is older than 12.0"};
}

template <class Element>
constexpr CUtensorMapDataType map_type() {
  if constexpr (std::is_same_v<Element, half_t>) {
    return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  } else if constexpr (std::is_same_v<Element, bfloat16_t>) {
    return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  } else if constexpr (sizeof(Element) == 1) {
    return CU_TENSOR_MAP_DATA_TYPE_UINT8;  // bytes are bytes
  } else if constexpr (std::is_same_v<Element, Tf32>) {
    return CU_TENSOR_MAP_DATA_TYPE_TFLOAT32;
  } else {
    static_assert(std::is_same_v<Element, float>, "TMA moves f16, bf16 and f32 here");
    return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  }
}

constexpr CUtensorMapSwizzle map_swizzle(int bytes) {
  return bytes == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
         : bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
         : bytes == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                       : CU_TENSOR_MAP_SWIZZLE_NONE;
}

}  // namespace detail

/// A tensor of `Rank` dims, innermost first, and the box that one copy moves. Dim 0 is contiguous;
/// `strides` are the others' in elements, multiples of 16 bytes. `swizzle`: 128, 64, 32 or 0 bytes; a
/// swizzled box is no wider than that.
template <int Rank>
struct Tiles {
  std::int64_t sizes[Rank];
  std::int64_t strides[Rank > 1 ? Rank - 1 : 1];
  int box[Rank];
  int swizzle;
};

/// Describes `tiles` of the tensor at `data`.
template <class Element, int Rank>
Status make_map(CUtensorMap* map, const Element* data, const Tiles<Rank>& tiles) {
  static_assert(Rank >= 1 && Rank <= 5);
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static const auto encode =
      reinterpret_cast<Encode>(detail::driver_function("cuTensorMapEncodeTiled"));
  if (encode == nullptr) return detail::no_driver();
  cuuint64_t sizes[Rank], strides[Rank];
  cuuint32_t box[Rank], steps[Rank];
  for (int i = 0; i < Rank; ++i) {
    sizes[i] = static_cast<cuuint64_t>(tiles.sizes[i]);
    box[i] = static_cast<cuuint32_t>(tiles.box[i]);
    steps[i] = 1;
    if (i > 0) strides[i - 1] = static_cast<cuuint64_t>(tiles.strides[i - 1]) * sizeof(Element);
  }
  return detail::map_status(
      encode(map, detail::map_type<Element>(), Rank, const_cast<Element*>(data), sizes, strides, box,
             steps, CU_TENSOR_MAP_INTERLEAVE_NONE, detail::map_swizzle(tiles.swizzle),
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
      "tiles");
}

/// An NHWC tensor of which a copy takes `pixels` positions of a convolution's filter in order, and
/// `channels` of each.
///
/// `sizes` are C, W, H, N; `strides` those of W, H, N in elements. The filter's first tap walks, in w
/// and h, from `lower` (that is, -padding) to the last index + `upper` (padding - (taps - 1) *
/// dilation), by `steps`.
struct Pixels {
  std::int64_t sizes[4];
  std::int64_t strides[3];
  int lower[2], upper[2];
  int steps[2];
  int channels, pixels;
  int swizzle;
};

/// Describes the `pixels` of the tensor at `data`, for `load_pixels`.
template <class Element>
Status make_map(CUtensorMap* map, const Element* data, const Pixels& pixels) {
  using Encode = decltype(&cuTensorMapEncodeIm2col);
  static const auto encode =
      reinterpret_cast<Encode>(detail::driver_function("cuTensorMapEncodeIm2col"));
  if (encode == nullptr) return detail::no_driver();
  cuuint64_t sizes[4], strides[3];
  for (int i = 0; i < 4; ++i) sizes[i] = static_cast<cuuint64_t>(pixels.sizes[i]);
  for (int i = 0; i < 3; ++i) {
    strides[i] = static_cast<cuuint64_t>(pixels.strides[i]) * sizeof(Element);
  }
  const cuuint32_t steps[4] = {1, static_cast<cuuint32_t>(pixels.steps[0]),
                               static_cast<cuuint32_t>(pixels.steps[1]), 1};
  return detail::map_status(
      encode(map, detail::map_type<Element>(), 4, const_cast<Element*>(data), sizes, strides,
             pixels.lower, pixels.upper, static_cast<cuuint32_t>(pixels.channels),
             static_cast<cuuint32_t>(pixels.pixels), steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
             detail::map_swizzle(pixels.swizzle), CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
      "pixels");
}

}  // namespace ait::cuda
