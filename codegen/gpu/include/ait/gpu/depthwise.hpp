// Convolution of single channels: each output channel sees one input channel. A thread has a pack of
// neighbouring output channels, keeps their weights, and walks down some rows of the result, a few
// pixels of a row at once: what their windows share is loaded and converted once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/gpu/access.hpp"

namespace ait::gpu {

constexpr int kDepthwiseThreads = 128;
constexpr int kDepthwisePixels = 4;
/// Rows of the result that a thread has at most.
constexpr int kDepthwiseRows = 8;

/// The sums of `kDepthwisePixels` neighbouring pixels.
template <class Kernel>
struct DepthwiseSums {
  using Index = typename Kernel::Index;
  using Weight = typename Kernel::Weight;
  static constexpr int kVector = Kernel::kVector;
  /// Columns of the image that the windows of all pixels span.
  static constexpr int kSpan =
      (kDepthwisePixels - 1) * Kernel::kStrideW + (Kernel::kTapsW - 1) * Kernel::kDilationW + 1;

  float value[kDepthwisePixels][kVector] = {};

  /// The tap by which pixel `pixel` sees a column of the span, negative if by none.
  static constexpr int tap_of(int pixel, int column) {
    const int distance = column - pixel * Kernel::kStrideW;
    const bool is_tap = distance >= 0 && distance % Kernel::kDilationW == 0 &&
                        distance / Kernel::kDilationW < Kernel::kTapsW;
    return is_tap ? distance / Kernel::kDilationW : -1;
  }

  static constexpr bool is_seen(int column) {
    for (int pixel = 0; pixel < kDepthwisePixels; ++pixel) {
      if (tap_of(pixel, column) >= 0) return true;
    }
    return false;
  }

  /// Adds the products of a row of taps, given its weights.
  __device__ __forceinline__ void add_row(const typename Kernel::Arguments& arguments, Index image,
                                          Index h, Index w, Index channel,
                                          const Weight (&weights)[Kernel::kTapsW][kVector]) {
#pragma unroll
    for (int column = 0; column < kSpan; ++column) {
      if (!is_seen(column)) continue;
      const auto pack = Kernel::load(arguments, image, h, w + column, channel);
#pragma unroll
      for (int v = 0; v < kVector; ++v) {
        const float factor = ait::convert<float>(pack.value[v]);
#pragma unroll
        for (int pixel = 0; pixel < kDepthwisePixels; ++pixel) {
          const int tap = tap_of(pixel, column);
          if (tap < 0) continue;
          value[pixel][v] =
              ait::fma(factor, ait::convert<float>(weights[tap][v]), value[pixel][v]);
        }
      }
    }
  }

  /// Adds the products of one tap.
  __device__ __forceinline__ void add_tap(const typename Kernel::Arguments& arguments, Index image,
                                          Index h, Index w, Index channel,
                                          const Weight (&weights)[kVector]) {
#pragma unroll
    for (int pixel = 0; pixel < kDepthwisePixels; ++pixel) {
      const auto pack =
          Kernel::load(arguments, image, h, w + pixel * Kernel::kStrideW, channel);
#pragma unroll
      for (int v = 0; v < kVector; ++v) {
        value[pixel][v] = ait::fma(ait::convert<float>(pack.value[v]),
                                   ait::convert<float>(weights[v]), value[pixel][v]);
      }
    }
  }
};

/// `Kernel` is generated: `Index`, `Arguments` (with the numbers of images, and of rows and columns of
/// the result), `Weight`, the constants used here (`kConstant`: no kernel writes the weights),
/// `weight(arguments, r, s, channel)`, `load(arguments, image, h, w, channel)`, a pack of the image or
/// zeros outside of it, and `finish(arguments, image, row, column, channel, sums)`. A thread has `rows` rows.
template <class Kernel>
__global__ void __launch_bounds__(kDepthwiseThreads)
    depthwise(const __grid_constant__ typename Kernel::Arguments arguments, int rows) {
  using Index = typename Kernel::Index;
  using Weight = typename Kernel::Weight;
  constexpr int kVector = Kernel::kVector, kPacks = Kernel::kOutputs / kVector;
  constexpr int kTapsH = Kernel::kTapsH, kTapsW = Kernel::kTapsW;

  const int64_t thread = int64_t{blockIdx.x} * kDepthwiseThreads + threadIdx.x;
  const Index channel = static_cast<Index>(thread % kPacks) * kVector;
  const int64_t chunks_q = (arguments.columns + kDepthwisePixels - 1) / kDepthwisePixels;
  const int64_t chunks_p = (arguments.rows + rows - 1) / rows;
  const int64_t chunk = thread / kPacks;
  const Index image = static_cast<Index>(chunk / (chunks_q * chunks_p));
  if (image >= arguments.images) {
    wait_for_inputs();
    return;
  }
  const Index column = static_cast<Index>(chunk % chunks_q) * kDepthwisePixels;
  const Index first = static_cast<Index>(chunk / chunks_q % chunks_p) * rows;
  const Index end = std::min<Index>(first + rows, static_cast<Index>(arguments.rows));
  const Index w = column * Kernel::kStrideW - Kernel::kLeft;

  constexpr int kKeptRows = Kernel::kKeepsWeights ? kTapsH : 1;
  constexpr int kKeptTaps = Kernel::kKeepsWeights || Kernel::kKeepsRow ? kTapsW : 1;
  Weight weights[kKeptRows][kKeptTaps][kVector];
  const auto read = [&](int r, int s, Weight(&to)[kVector]) {
#pragma unroll
    for (int v = 0; v < kVector; ++v) to[v] = Kernel::weight(arguments, r, s, channel + v);
  };
  const auto read_row = [&](int r, Weight(&to)[kKeptTaps][kVector]) {
#pragma unroll
    for (int s = 0; s < kKeptTaps; ++s) read(r, s, to[s]);
  };
  const auto read_all = [&] {
#pragma unroll
    for (int r = 0; r < kTapsH; ++r) read_row(r, weights[r]);
  };
  // Weights do not depend on the kernel before: they are on their way while it ends.
  if constexpr (Kernel::kKeepsWeights && Kernel::kConstant) read_all();
  wait_for_inputs();
  let_next_start();
  if constexpr (Kernel::kKeepsWeights && !Kernel::kConstant) read_all();
#pragma unroll 1
  for (Index row = first; row < end; ++row) {
    const Index h = row * Kernel::kStrideH - Kernel::kTop;
    DepthwiseSums<Kernel> sums;
    if constexpr (Kernel::kKeepsWeights) {
#pragma unroll
      for (int r = 0; r < kTapsH; ++r) {
        sums.add_row(arguments, image, h + r * Kernel::kDilationH, w, channel, weights[r]);
      }
    } else if constexpr (Kernel::kKeepsRow) {
#pragma unroll 1
      for (int r = 0; r < kTapsH; ++r) {
        read_row(r, weights[0]);
        sums.add_row(arguments, image, h + r * Kernel::kDilationH, w, channel, weights[0]);
      }
    } else {
#pragma unroll 1
      for (int tap = 0; tap < kTapsH * kTapsW; ++tap) {
        const int r = tap / kTapsW, s = tap % kTapsW;
        read(r, s, weights[0][0]);
        sums.add_tap(arguments, image, h + r * Kernel::kDilationH, w + s * Kernel::kDilationW,
                     channel, weights[0][0]);
      }
    }
#pragma unroll
    for (int pixel = 0; pixel < kDepthwisePixels; ++pixel) {
      if (column + pixel < arguments.columns) {
        Kernel::finish(arguments, image, row, column + pixel, channel, sums.value[pixel]);
      }
    }
  }
}

template <class Kernel>
ait::Status run_depthwise(const ait::Launch& launch, const typename Kernel::Arguments& arguments) {
  if (arguments.images <= 0 || arguments.rows <= 0 || arguments.columns <= 0) return ait::ok();
  const int64_t chunks_q = (arguments.columns + kDepthwisePixels - 1) / kDepthwisePixels;
  const int64_t columns = arguments.images * chunks_q * (Kernel::kOutputs / Kernel::kVector);
  // Long columns share the reads of weights; short ones give all multiprocessors something to do.
  const int64_t wanted = int64_t{gpu::multiprocessors()} * 8 * kDepthwiseThreads;
  const int64_t most = std::min<int64_t>(kDepthwiseRows, arguments.rows);
  const int64_t rows = std::max<int64_t>(1, std::min(most, columns * arguments.rows / wanted));
  const int64_t threads = columns * ((arguments.rows + rows - 1) / rows);
  const int64_t blocks = (threads + kDepthwiseThreads - 1) / kDepthwiseThreads;
  if (blocks > INT32_MAX) {
    return Status{AIT_INVALID_INPUT, "a convolution's result is too large for one launch"};
  }
  return gpu::launch(launch, depthwise<Kernel>, dim3(static_cast<unsigned>(blocks)),
                     dim3(kDepthwiseThreads), arguments, static_cast<int>(rows));
}

}  // namespace ait::gpu
