// Pooling over windows of an image.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "ait/axis.hpp"
#include "ait/launch.hpp"
#include "ait/scratch.hpp"
#include "ait/simd.hpp"
#include "ait/window.hpp"

namespace ait {

enum class PoolKind { max, average };

struct PoolShape {
  std::int64_t batch, height, width, channels;
  std::int64_t out_height, out_width;
  Slide vertical, horizontal;
  std::int64_t padding_bottom, padding_right;
  bool count_padding;  // of an average
  bool adaptive;       // windows by the ratio of the sizes; the slides are unused
};

namespace pool_detail {

/// The pixels [begin, end) by `step` of one window along one dim, and what an average divides by.
struct Extent {
  std::int64_t begin, end, step, divisor;
};

inline Extent extent_of(const Slide& slide, std::int64_t padding_after, bool count_padding,
                        bool adaptive, std::int64_t out, std::int64_t out_size,
                        std::int64_t size) {
  if (adaptive) {
    const std::int64_t begin = out * size / out_size;
    const std::int64_t end = ceil_div((out + 1) * size, out_size);
    return {begin, end, 1, end - begin};
  }
  const Taps taps(slide, out, size);
  const std::int64_t first = slide.first(out);
  const std::int64_t begin = first + taps.begin * slide.dilation;
  const std::int64_t end = first + (taps.end - 1) * slide.dilation + 1;
  const std::int64_t in_padded = std::min(first + slide.size, size + padding_after) - first;
  return {begin, std::max(begin, end), slide.dilation,
          count_padding ? in_padded : taps.end - taps.begin};
}

template <PoolKind kKind, typename T>
inline void add_pixel(const T* from, std::int64_t step, std::int64_t count, float* to) {
  if (step == 1) {
    AIT_INDEPENDENT
    for (std::int64_t c = 0; c < count; ++c) {
      const float value = load<float>(from, c);
      to[c] = kKind == PoolKind::max ? maximum(to[c], value) : to[c] + value;
    }
    return;
  }
  for (std::int64_t c = 0; c < count; ++c) {
    const float value = load<float>(from, c * step);
    to[c] = kKind == PoolKind::max ? maximum(to[c], value) : to[c] + value;
  }
}

}  // namespace pool_detail

/// For all output pixels m: `epilogue(m, values)` receives the pooled values of all channels.
template <PoolKind kKind, typename T, typename Epilogue>
inline void pool(const Launch& launch, const PoolShape& shape, const Image<T>& image,
                 const Epilogue& epilogue) {
  using namespace pool_detail;
  const std::int64_t pixels = shape.batch * shape.out_height * shape.out_width;
  if (pixels <= 0 || shape.channels <= 0) return;
  constexpr float start =
      kKind == PoolKind::max ? -std::numeric_limits<float>::infinity() : 0.0f;
  const std::int64_t grain = ceil_div(4096, shape.channels);
  parallel_for(launch, pixels, grain, [&](std::int64_t first, std::int64_t last) {
    Scratch scratch;
    const auto value_part = scratch.reserve<float>(shape.channels);
    scratch.allocate();
    float* values = scratch.get(value_part);
    for (std::int64_t m = first; m < last; ++m) {
      const Pixel pixel(m, shape.out_height, shape.out_width);
      const Extent rows =
          extent_of(shape.vertical, shape.padding_bottom, shape.count_padding, shape.adaptive,
                    pixel.y, shape.out_height, shape.height);
      const Extent columns =
          extent_of(shape.horizontal, shape.padding_right, shape.count_padding, shape.adaptive,
                    pixel.x, shape.out_width, shape.width);
      std::fill_n(values, shape.channels, start);
      for (std::int64_t y = rows.begin; y < rows.end; y += rows.step) {
        for (std::int64_t x = columns.begin; x < columns.end; x += columns.step) {
          add_pixel<kKind>(image.at(pixel.image, y, x), image.c, shape.channels, values);
        }
      }
      if (kKind == PoolKind::average) {
        const float divisor = static_cast<float>(rows.divisor * columns.divisor);
        for (std::int64_t c = 0; c < shape.channels; ++c) values[c] /= divisor;
      }
      epilogue(m, static_cast<const float*>(values));
    }
  });
}

}  // namespace ait
