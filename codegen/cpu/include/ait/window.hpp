// Images, and the windows that convolutions and pooling slide over them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/scalar.hpp"

namespace ait {

/// A tensor [n, h, w, c] with any strides.
template <typename T>
struct Image {
  const T* data;
  std::int64_t n, h, w, c;  // strides

  AIT_INLINE const T* at(std::int64_t image, std::int64_t y, std::int64_t x) const {
    return data + image * n + y * h + x * w;
  }
};

/// Sliding along one dim: position `out` begins at `out * stride - padding`, taps are `dilation`
/// apart.
struct Slide {
  std::int64_t size;    // taps
  std::int64_t stride;
  std::int64_t padding;  // before
  std::int64_t dilation;

  AIT_INLINE std::int64_t first(std::int64_t out) const { return out * stride - padding; }
};

/// Taps [begin, end) of a window that fall into [0, extent).
struct Taps {
  std::int64_t begin, end;

  AIT_INLINE Taps(const Slide& slide, std::int64_t out, std::int64_t extent) {
    const std::int64_t first = slide.first(out);
    begin = first >= 0 ? 0 : (-first + slide.dilation - 1) / slide.dilation;
    end = first >= extent ? 0 : (extent - 1 - first) / slide.dilation + 1;
    end = std::min(end, slide.size);
    begin = std::min(begin, end);
  }
};

/// The pixel (image, y, x) that a linear index means.
struct Pixel {
  std::int64_t image, y, x;

  AIT_INLINE Pixel(std::int64_t linear, std::int64_t height, std::int64_t width)
      : image(linear / width / height), y(linear / width % height), x(linear % width) {}
};

}  // namespace ait
