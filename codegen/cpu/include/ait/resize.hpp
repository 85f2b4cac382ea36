// Resampling of images.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "ait/axis.hpp"
#include "ait/launch.hpp"
#include "ait/scratch.hpp"
#include "ait/window.hpp"

namespace ait {

enum class ResizeMode { nearest, bilinear };
enum class Coordinates { half_pixel, align_corners, asymmetric };

struct ResizeShape {
  std::int64_t batch, height, width, channels;
  std::int64_t out_height, out_width;
};

namespace resize_detail {

/// Two neighbouring pixels along one dim and the weight of the second.
struct Sample {
  std::int64_t first, second;
  float weight;
};

/// floor(a / b) for b > 0.
inline std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a >= 0 ? a / b : -ceil_div(-a, b);
}

/// Integer arithmetic, so that no rounding decides a tie: half down, or the floor if asymmetric.
template <Coordinates kCoordinates>
inline Sample nearest(std::int64_t out, std::int64_t out_size, std::int64_t size) {
  std::int64_t pixel = 0;
  if (kCoordinates == Coordinates::asymmetric) {
    pixel = out * size / out_size;
  } else if (kCoordinates == Coordinates::half_pixel) {
    // ceil(((out + 1/2) * size / out_size - 1/2) - 1/2)
    pixel = -floor_div(-((2 * out + 1) * size - 2 * out_size), 2 * out_size);
  } else if (out_size > 1) {
    pixel = -floor_div(-(2 * out * (size - 1) - (out_size - 1)), 2 * (out_size - 1));
  }
  pixel = std::clamp<std::int64_t>(pixel, 0, size - 1);
  return {pixel, pixel, 0.0f};
}

template <Coordinates kCoordinates>
inline Sample bilinear(std::int64_t out, std::int64_t out_size, std::int64_t size) {
  const double position = static_cast<double>(out);
  double at = 0.0;
  if (kCoordinates == Coordinates::half_pixel) {
    at = (position + 0.5) * static_cast<double>(size) / static_cast<double>(out_size) - 0.5;
  } else if (kCoordinates == Coordinates::asymmetric) {
    at = position * static_cast<double>(size) / static_cast<double>(out_size);
  } else if (out_size > 1) {
    at = position * static_cast<double>(size - 1) / static_cast<double>(out_size - 1);
  }
  const double below = std::floor(at);
  const std::int64_t pixel = static_cast<std::int64_t>(below);
  return {std::clamp<std::int64_t>(pixel, 0, size - 1),
          std::clamp<std::int64_t>(pixel + 1, 0, size - 1), static_cast<float>(at - below)};
}

template <ResizeMode kMode, Coordinates kCoordinates>
inline Sample sample(std::int64_t out, std::int64_t out_size, std::int64_t size) {
  if constexpr (kMode == ResizeMode::nearest) return nearest<kCoordinates>(out, out_size, size);
  else return bilinear<kCoordinates>(out, out_size, size);
}

}  // namespace resize_detail

/// For all output pixels m: `epilogue(m, values)` receives the sampled values of all channels.
template <ResizeMode kMode, Coordinates kCoordinates, typename T, typename Epilogue>
inline void resize(const Launch& launch, const ResizeShape& shape, const Image<T>& image,
                   const Epilogue& epilogue) {
  using namespace resize_detail;
  const std::int64_t pixels = shape.batch * shape.out_height * shape.out_width;
  if (pixels <= 0 || shape.channels <= 0 || shape.height <= 0 || shape.width <= 0) return;
  const std::int64_t grain = ceil_div(8192, shape.channels);
  parallel_for(launch, pixels, grain, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch;
    const auto value_part = scratch.reserve<float>(shape.channels);
    scratch.allocate();
    float* values = scratch.get(value_part);
    for (std::int64_t m = begin; m < end; ++m) {
      const Pixel pixel(m, shape.out_height, shape.out_width);
      const Sample y = sample<kMode, kCoordinates>(pixel.y, shape.out_height, shape.height);
      const Sample x = sample<kMode, kCoordinates>(pixel.x, shape.out_width, shape.width);
      const T* top_left = image.at(pixel.image, y.first, x.first);
      const T* top_right = image.at(pixel.image, y.first, x.second);
      const T* bottom_left = image.at(pixel.image, y.second, x.first);
      const T* bottom_right = image.at(pixel.image, y.second, x.second);
      for (std::int64_t c = 0; c < shape.channels; ++c) {
        const std::int64_t at = c * image.c;
        if constexpr (kMode == ResizeMode::nearest) {
          values[c] = load<float>(top_left, at);
        } else {
          const float left = 1.0f - x.weight;
          const float top = load<float>(top_left, at) * left + load<float>(top_right, at) * x.weight;
          const float bottom =
              load<float>(bottom_left, at) * left + load<float>(bottom_right, at) * x.weight;
          values[c] = top * (1.0f - y.weight) + bottom * y.weight;
        }
      }
      epilogue(m, static_cast<const float*>(values));
    }
  });
}

}  // namespace ait
