// Pooling and resampling of images: what one thread does for its output pixel and channels.
//
// `load(y, x, values)` is generated; it reads the channels of an input pixel.
#pragma once

#include <cstdint>
#include <limits>

#include "ait/gpu/elementwise.hpp"

namespace ait::gpu {

// Windows ---------------------------------------------------------------------------------------

/// A window that slides along one dim: from `out * Stride - Before` on, `Size` taps that are
/// `Dilation` apart.
template <int Size, int Stride, int Before, int After, int Dilation>
struct Slide {
  static constexpr int kUnroll = Size <= 8 ? Size : 1;

  /// use(input index, whether it is inside) for each tap.
  template <class Use>
  static __device__ __forceinline__ void each(int64_t out, int64_t, int64_t size, const Use& use) {
#pragma unroll(kUnroll)
    for (int tap = 0; tap < Size; ++tap) {
      const int64_t at = out * Stride - Before + tap * Dilation;
      use(at, at >= 0 && at < size);
    }
  }

  /// How many taps an average counts.
  template <bool CountPadding>
  static __device__ __forceinline__ int64_t counted(int64_t out, int64_t, int64_t size) {
    int64_t count = 0;
#pragma unroll(kUnroll)
    for (int tap = 0; tap < Size; ++tap) {
      const int64_t at = out * Stride - Before + tap * Dilation;
      count += CountPadding ? at < size + After : at >= 0 && at < size;
    }
    return count;
  }
};

/// Windows by the ratio of the sizes.
struct Adaptive {
  static __device__ __forceinline__ int64_t begin(int64_t out, int64_t outs, int64_t size) {
    return out * size / outs;
  }
  static __device__ __forceinline__ int64_t end(int64_t out, int64_t outs, int64_t size) {
    return ((out + 1) * size + outs - 1) / outs;
  }

  template <class Use>
  static __device__ __forceinline__ void each(int64_t out, int64_t outs, int64_t size,
                                              const Use& use) {
    const int64_t last = end(out, outs, size);
#pragma unroll 4
    for (int64_t at = begin(out, outs, size); at < last; ++at) use(at, true);
  }

  template <bool>
  static __device__ __forceinline__ int64_t counted(int64_t out, int64_t outs, int64_t size) {
    return end(out, outs, size) - begin(out, outs, size);
  }
};

struct MaxPool {
  static constexpr float kStart = -std::numeric_limits<float>::infinity();
  static __device__ __forceinline__ float combine(float a, float b) { return ait::maximum(a, b); }
};

struct AveragePool {
  static constexpr float kStart = 0.0f;
  static __device__ __forceinline__ float combine(float a, float b) { return a + b; }
};

/// A position along one dim: of an output, of as many, over an input.
struct Along {
  int64_t out, outs, size;
};

template <class Kind, class Vertical, class Horizontal, int Count, class Load>
__device__ __forceinline__ void pool(const Along& y, const Along& x, const Load& load,
                                     float (&pooled)[Count]) {
#pragma unroll
  for (int lane = 0; lane < Count; ++lane) pooled[lane] = Kind::kStart;
  if (y.size <= 0 || x.size <= 0) return;
  Vertical::each(y.out, y.outs, y.size, [&](int64_t row, bool is_row) {
    Horizontal::each(x.out, x.outs, x.size, [&](int64_t column, bool is_column) {
      // A pixel that is there in place of one outside: then no load waits for a branch.
      const bool inside = is_row && is_column;
      float values[Count];
      load(inside ? row : 0, inside ? column : 0, values);
#pragma unroll
      for (int lane = 0; lane < Count; ++lane) {
        pooled[lane] = inside ? Kind::combine(pooled[lane], values[lane]) : pooled[lane];
      }
    });
  });
}

template <class Vertical, class Horizontal, bool CountPadding, int Count, class Load>
__device__ __forceinline__ void max_pool(const Along& y, const Along& x, const Load& load,
                                         float (&pooled)[Count]) {
  pool<MaxPool, Vertical, Horizontal>(y, x, load, pooled);
}

template <class Vertical, class Horizontal, bool CountPadding, int Count, class Load>
__device__ __forceinline__ void average_pool(const Along& y, const Along& x, const Load& load,
                                             float (&pooled)[Count]) {
  pool<AveragePool, Vertical, Horizontal>(y, x, load, pooled);
  const float count =
      static_cast<float>(Vertical::template counted<CountPadding>(y.out, y.outs, y.size) *
                         Horizontal::template counted<CountPadding>(x.out, x.outs, x.size));
#pragma unroll
  for (int lane = 0; lane < Count; ++lane) pooled[lane] /= count;
}

// Resampling ------------------------------------------------------------------------------------

enum class Coordinates { half_pixel, align_corners, asymmetric };

/// Integer arithmetic, so that no rounding decides a tie: half down, or the floor if asymmetric.
template <Coordinates kCoordinates>
__device__ __forceinline__ int64_t nearest_pixel(const Along& a) {
  int64_t pixel = 0;
  if (kCoordinates == Coordinates::asymmetric) {
    pixel = a.out * a.size / a.outs;
  } else if (kCoordinates == Coordinates::half_pixel) {
    // ceil((2 out + 1) size / (2 outs) - 1)
    pixel = ((2 * a.out + 1) * a.size + 2 * a.outs - 1) / (2 * a.outs) - 1;
  } else if (a.outs > 1) {
    // ceil(out (size - 1) / (outs - 1) - 1/2)
    const int64_t divisor = 2 * (a.outs - 1);
    pixel = (2 * a.out * (a.size - 1) - (a.outs - 1) + divisor - 1) / divisor;
  }
  return pixel < 0 ? 0 : pixel >= a.size ? a.size - 1 : pixel;
}

/// Two neighbouring pixels and the weight of the second.
struct Sample {
  int64_t first, second;
  float weight;
};

template <Coordinates kCoordinates>
__device__ __forceinline__ Sample two_pixels(const Along& a) {
  const double out = static_cast<double>(a.out), size = static_cast<double>(a.size);
  const double outs = static_cast<double>(a.outs);
  double at = 0.0;
  if (kCoordinates == Coordinates::half_pixel) {
    at = (out + 0.5) * size / outs - 0.5;
  } else if (kCoordinates == Coordinates::asymmetric) {
    at = out * size / outs;
  } else if (a.outs > 1) {
    at = out * (size - 1.0) / (outs - 1.0);
  }
  at = at < 0.0 ? 0.0 : at > size - 1.0 ? size - 1.0 : at;
  const int64_t first = static_cast<int64_t>(at);
  const int64_t second = first + 1 < a.size ? first + 1 : first;
  return {first, second, static_cast<float>(at - static_cast<double>(first))};
}

template <Coordinates kCoordinates, int Count, class Load>
__device__ __forceinline__ void nearest(const Along& y, const Along& x, const Load& load,
                                        float (&values)[Count]) {
  load(nearest_pixel<kCoordinates>(y), nearest_pixel<kCoordinates>(x), values);
}

template <Coordinates kCoordinates, int Count, class Load>
__device__ __forceinline__ void bilinear(const Along& y, const Along& x, const Load& load,
                                         float (&values)[Count]) {
  const Sample row = two_pixels<kCoordinates>(y), column = two_pixels<kCoordinates>(x);
  float top[2][Count], bottom[2][Count];
  load(row.first, column.first, top[0]);
  load(row.first, column.second, top[1]);
  load(row.second, column.first, bottom[0]);
  load(row.second, column.second, bottom[1]);
#pragma unroll
  for (int lane = 0; lane < Count; ++lane) {
    const float left = top[0][lane] * (1.0f - row.weight) + bottom[0][lane] * row.weight;
    const float right = top[1][lane] * (1.0f - row.weight) + bottom[1][lane] * row.weight;
    values[lane] = left * (1.0f - column.weight) + right * column.weight;
  }
}

}  // namespace ait::gpu
