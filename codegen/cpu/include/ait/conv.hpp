// Convolution: the product of gathered image patches and weights (implicit gemm), and a direct
// loop for depthwise ones.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/gemm.hpp"
#include "ait/window.hpp"

namespace ait {

struct ConvShape {
  std::int64_t batch, height, width, channels;  // of the input
  std::int64_t out_height, out_width, outputs;  // of the result
  Slide vertical, horizontal;
  std::int64_t groups;

  std::int64_t pixels() const { return batch * out_height * out_width; }
  std::int64_t group_channels() const { return channels / groups; }
  std::int64_t group_outputs() const { return outputs / groups; }
  std::int64_t patch() const { return vertical.size * horizontal.size * group_channels(); }
};

/// Weights [o, r, s, c] with any strides.
template <typename T>
struct Filters {
  const T* data;
  std::int64_t o, r, s, c;  // strides
};

/// Weights [o, r, s, c] of which each filter is dense.
template <typename T>
struct DenseFilters {
  const T* data;
  std::int64_t o;  // stride
};

namespace conv_detail {

/// Weights as the right operand of a gemm.
template <typename T>
inline auto weight_matrix(const ConvShape& shape, const DenseFilters<T>& filters) {
  return matrix(filters.data, axis(shape.group_outputs() * filters.o), unit_axis(),
                axis(filters.o));
}

template <typename T>
inline auto weight_matrix(const ConvShape& shape, const Filters<T>& filters) {
  const auto taps = axis<3>({shape.vertical.size, shape.horizontal.size, shape.group_channels()},
                            {filters.r, filters.s, filters.c});
  return matrix(filters.data, axis(shape.group_outputs() * filters.o), taps, axis(filters.o));
}

/// The patches of an image as the left operand of a gemm: row m is output pixel m, column k is
/// element (r, s, c) of its window, batch is the group.
template <typename T>
struct Patches {
  using Element = T;

  ConvShape shape;
  Image<T> image;

  /// A patch of one pixel lies in memory as it is.
  const T* row_at(std::int64_t group, std::int64_t m) const {
    const Pixel pixel(m, shape.out_height, shape.out_width);
    return image.at(pixel.image, pixel.y * shape.vertical.stride,
                    pixel.x * shape.horizontal.stride) +
           group * shape.group_channels() * image.c;
  }

  bool has_contiguous_rows(std::int64_t) const {
    const Slide& v = shape.vertical;
    const Slide& h = shape.horizontal;
    // Without padding before; padding behind must not be reached either.
    const bool inside = (shape.out_height - 1) * v.stride < shape.height &&
                        (shape.out_width - 1) * h.stride < shape.width;
    return v.size == 1 && h.size == 1 && v.padding == 0 && h.padding == 0 && inside &&
           image.c == 1;
  }
};

template <typename T>
inline void copy_channels(const T* from, std::int64_t step, std::int64_t count, float* to) {
  if (step == 1) {
    load_row(from, count, to);
    return;
  }
  for (std::int64_t c = 0; c < count; ++c) to[c] = load<float>(from, c * step);
}

/// Elements [k, k + depth) of one patch.
template <typename T>
inline void pack_patch(const Patches<T>& patches, std::int64_t group, std::int64_t m,
                       std::int64_t k, std::int64_t depth, float* to) {
  const ConvShape& shape = patches.shape;
  const std::int64_t channels = shape.group_channels();
  const Pixel pixel(m, shape.out_height, shape.out_width);
  const std::int64_t y0 = shape.vertical.first(pixel.y);
  const std::int64_t x0 = shape.horizontal.first(pixel.x);
  // With neighbouring pixels contiguous, a row of the window is one piece.
  const bool dense_row = patches.image.c == 1 && patches.image.w == channels &&
                         shape.horizontal.dilation == 1;
  const Taps inside(shape.horizontal, pixel.x, shape.width);
  const std::int64_t row_size = shape.horizontal.size * channels;
  while (depth > 0) {
    const std::int64_t r = k / row_size;
    const std::int64_t at = k % row_size;
    const std::int64_t y = y0 + r * shape.vertical.dilation;
    const bool row_inside = y >= 0 && y < shape.height;
    std::int64_t count = 0;
    if (!row_inside || dense_row) {
      count = std::min(depth, row_size - at);
      const std::int64_t begin =
          row_inside ? std::clamp(inside.begin * channels, at, at + count) : at + count;
      const std::int64_t end =
          row_inside ? std::clamp(inside.end * channels, begin, at + count) : at + count;
      std::fill(to, to + (begin - at), 0.0f);
      if (end > begin) {
        const T* from = patches.image.at(pixel.image, y, x0 + begin / channels);
        load_row(from + group * channels + begin % channels, end - begin, to + (begin - at));
      }
      std::fill(to + (end - at), to + count, 0.0f);
    } else {
      const std::int64_t s = at / channels;
      const std::int64_t c = at % channels;
      count = std::min(depth, channels - c);
      const std::int64_t x = x0 + s * shape.horizontal.dilation;
      if (x >= 0 && x < shape.width) {
        const T* from = patches.image.at(pixel.image, y, x);
        copy_channels(from + (group * channels + c) * patches.image.c, patches.image.c, count, to);
      } else {
        std::fill(to, to + count, 0.0f);
      }
    }
    to += count;
    k += count;
    depth -= count;
  }
}

template <typename T>
inline void pack_rows(const Patches<T>& patches, std::int64_t group, std::int64_t row0,
                      std::int64_t rows, std::int64_t k0, std::int64_t depth, float* to,
                      std::int64_t to_step) {
  for (std::int64_t i = 0; i < rows; ++i) {
    pack_patch(patches, group, row0 + i, k0, depth, to + i * to_step);
  }
}

/// Sums of one output pixel for channels [c, c + Vectors * kLanes).
template <int Vectors, typename T>
AIT_INLINE void depthwise_tile(const ConvShape& shape, const Image<T>& image, const Pixel& pixel,
                               const Taps& rows, const Taps& columns, const float* weights,
                               std::int64_t c, float* to) {
  Vector sum[Vectors];
  for (int j = 0; j < Vectors; ++j) sum[j] = Vector{};
  const std::int64_t y0 = shape.vertical.first(pixel.y);
  const std::int64_t x0 = shape.horizontal.first(pixel.x);
  for (std::int64_t r = rows.begin; r < rows.end; ++r) {
    for (std::int64_t s = columns.begin; s < columns.end; ++s) {
      const T* from = image.at(pixel.image, y0 + r * shape.vertical.dilation,
                               x0 + s * shape.horizontal.dilation) + c;
      const float* weight = weights + (r * shape.horizontal.size + s) * shape.outputs + c;
      AIT_UNROLL
      for (int j = 0; j < Vectors; ++j) {
        sum[j] = load_vector(from + j * kLanes) * load_vector(weight + j * kLanes) + sum[j];
      }
    }
  }
  for (int j = 0; j < Vectors; ++j) store_vector(to + c + j * kLanes, sum[j]);
}

template <typename T>
inline void depthwise_channel(const ConvShape& shape, const Image<T>& image, const Pixel& pixel,
                              const Taps& rows, const Taps& columns, const float* weights,
                              std::int64_t c, float* to) {
  const std::int64_t y0 = shape.vertical.first(pixel.y);
  const std::int64_t x0 = shape.horizontal.first(pixel.x);
  float sum = 0.0f;
  for (std::int64_t r = rows.begin; r < rows.end; ++r) {
    for (std::int64_t s = columns.begin; s < columns.end; ++s) {
      const T* from = image.at(pixel.image, y0 + r * shape.vertical.dilation,
                               x0 + s * shape.horizontal.dilation);
      sum += load<float>(from, c * image.c) *
             weights[(r * shape.horizontal.size + s) * shape.outputs + c];
    }
  }
  to[c] = sum;
}

}  // namespace conv_detail

/// For all output pixels m (of [batch, out_height, out_width], linear) and outputs o:
/// `epilogue(m, o0, count, sums)` receives the sums of outputs [o0, o0 + count) and stores results.
template <GemmPath kPath = GemmPath::automatic, typename T, typename Weights, typename Epilogue>
inline void conv(const Launch& launch, const ConvShape& shape, const Image<T>& image,
                 const Weights& filters, const Epilogue& epilogue, const GemmTile& tile = {}) {
  const conv_detail::Patches<T> patches{shape, image};
  const std::int64_t outputs = shape.group_outputs();
  const auto store = [&](std::int64_t group, std::int64_t m, std::int64_t n0, std::int64_t count,
                         const float* sums) {
    epilogue(m, group * outputs + n0, count, sums);
  };
  gemm<kPath>(launch, {shape.groups, shape.pixels(), outputs, shape.patch()}, patches,
              conv_detail::weight_matrix(shape, filters), store, tile);
}

/// The same where each channel is a group of its own with one output: nothing is gathered.
template <typename T, typename W, typename Epilogue>
inline void depthwise_conv(const Launch& launch, const ConvShape& shape, const Image<T>& image,
                           const Filters<W>& filters, const Epilogue& epilogue) {
  const std::int64_t taps = shape.vertical.size * shape.horizontal.size;
  const std::int64_t channels = shape.channels;
  const std::int64_t grain = ceil_div(32768, channels * std::max<std::int64_t>(taps, 1));
  parallel_for(launch, shape.pixels(), grain, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch;
    const auto weight_part = scratch.reserve<float>(taps * channels);
    const auto sum_part = scratch.reserve<float>(channels);
    scratch.allocate();
    float* weights = scratch.get(weight_part);
    float* sums = scratch.get(sum_part);
    // Weights as [r, s, channel], to be read along the channels as the image is.
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        const std::int64_t r = tap / shape.horizontal.size;
        const std::int64_t s = tap % shape.horizontal.size;
        weights[tap * channels + c] =
            load<float>(filters.data, c * filters.o + r * filters.r + s * filters.s);
      }
    }
    for (std::int64_t m = begin; m < end; ++m) {
      const Pixel pixel(m, shape.out_height, shape.out_width);
      const Taps rows(shape.vertical, pixel.y, shape.height);
      const Taps columns(shape.horizontal, pixel.x, shape.width);
      std::int64_t c = 0;
      if (image.c == 1) {
        for (; c + 4 * kLanes <= channels; c += 4 * kLanes) {
          conv_detail::depthwise_tile<4>(shape, image, pixel, rows, columns, weights, c, sums);
        }
        for (; c + kLanes <= channels; c += kLanes) {
          conv_detail::depthwise_tile<1>(shape, image, pixel, rows, columns, weights, c, sums);
        }
      }
      for (; c < channels; ++c) {
        conv_detail::depthwise_channel(shape, image, pixel, rows, columns, weights, c, sums);
      }
      epilogue(m, std::int64_t{0}, channels, static_cast<const float*>(sums));
    }
  });
}

}  // namespace ait
