// Pooling and resampling of images: what threads do for some output pixels and channels.
//
// `load(y, x)` is generated; it gives the stored channels of an input pixel as a Pack.
#pragma once

#include <cstdint>
#include <limits>

#include "ait/gpu/elementwise.hpp"
#include "ait/gpu/team.hpp"

namespace ait::gpu {

/// A position along one dim: of an output, of as many, over an input.
template <class Index>
struct Along {
  Index out, outs, size;
};

// Windows ---------------------------------------------------------------------------------------

/// The taps of a window that are inside of the image: `count` of them from `begin` on, `step` apart.
template <class Index>
struct Span {
  Index begin, count, step;
};

/// A window that slides along one dim: from `out * Stride - Before` on, `Size` taps that are
/// `Dilation` apart.
template <int Size, int Stride, int Before, int After, int Dilation>
struct Slide {
  static constexpr int kStride = Stride, kBefore = Before;

  /// How many inputs the windows of `outputs` neighbours span.
  static constexpr int reach(int outputs) {
    return (outputs - 1) * Stride + (Size - 1) * Dilation + 1;
  }

  /// The first of those that the `output`-th neighbour sees.
  static constexpr int first_of(int output) { return output * Stride; }

  /// Whether the `output`-th neighbour sees the `input`-th of those.
  static constexpr bool sees(int output, int input) {
    const int distance = input - output * Stride;
    return distance >= 0 && distance % Dilation == 0 && distance / Dilation < Size;
  }

  static constexpr bool is_seen(int outputs, int input) {
    for (int output = 0; output < outputs; ++output) {
      if (sees(output, input)) return true;
    }
    return false;
  }

  template <class Index>
  static __device__ __forceinline__ Index first(const Along<Index>& a) {
    return a.out * Stride - Before;
  }

  /// How many taps are before `end`, which is not before the first one.
  template <class Index>
  static __device__ __forceinline__ Index taps_before(Index begin, Index end) {
    const Index taps = (end - begin + Dilation - 1) / Dilation;
    return taps < 0 ? 0 : taps < Size ? taps : Size;
  }

  template <class Index>
  static __device__ __forceinline__ Span<Index> inside(const Along<Index>& a) {
    const Index begin = first(a);
    const Index skipped = begin < 0 ? (Dilation - 1 - begin) / Dilation : 0;
    const Index count = taps_before<Index>(begin, a.size) - skipped;
    return {begin + skipped * Dilation, count < 0 ? 0 : count, Dilation};
  }

  /// How many taps an average counts.
  template <bool CountPadding, class Index>
  static __device__ __forceinline__ Index counted(const Along<Index>& a) {
    return CountPadding ? taps_before<Index>(first(a), a.size + After) : inside(a).count;
  }
};

/// Windows by the ratio of the sizes.
struct Adaptive {
  template <class Index>
  static __device__ __forceinline__ Span<Index> inside(const Along<Index>& a) {
    const int64_t out = a.out, outs = a.outs, size = a.size;
    const Index begin = static_cast<Index>(out * size / outs);
    const Index end = static_cast<Index>(((out + 1) * size + outs - 1) / outs);
    return {begin, end - begin, 1};
  }

  template <bool, class Index>
  static __device__ __forceinline__ Index counted(const Along<Index>& a) {
    return inside(a).count;
  }
};

// Kinds of pools. `State` is what is known of a part of a window, `nothing` or that `of` a pixel; `add`
// extends it by a pixel, `merge` makes one of two, and `result` gives the values of the channels.

/// Stored elements are compared as they are: only the largest need be converted.
template <class Element, int Count>
struct MaxPool {
  using State = Pack<Element, Count>;

  static __device__ __forceinline__ State nothing() {
    State state;
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      state.value[i] = ait::convert<Element>(-std::numeric_limits<float>::infinity());
    }
    return state;
  }
  /// What a pixel outside of the image counts as.
  static __device__ __forceinline__ State outside() { return nothing(); }
  static __device__ __forceinline__ State of(const Pack<Element, Count>& pixel) { return pixel; }
  static __device__ __forceinline__ void add(State& state, const Pack<Element, Count>& pixel) {
    state = maximum(state, pixel);
  }
  static __device__ __forceinline__ State merge(const State& a, const State& b) {
    return maximum(a, b);
  }
  static __device__ __forceinline__ void result(const State& state, float, float (&values)[Count]) {
#pragma unroll
    for (int i = 0; i < Count; ++i) values[i] = ait::convert<float>(state.value[i]);
  }
};

template <class Element, int Count>
struct AveragePool {
  struct State {
    float sum[Count];
  };

  static __device__ __forceinline__ State nothing() {
    State state;
#pragma unroll
    for (int i = 0; i < Count; ++i) state.sum[i] = 0.0f;
    return state;
  }
  static __device__ __forceinline__ Pack<Element, Count> outside() {
    Pack<Element, Count> zeros;
#pragma unroll
    for (int i = 0; i < Count; ++i) zeros.value[i] = ait::convert<Element>(0.0f);
    return zeros;
  }
  static __device__ __forceinline__ State of(const Pack<Element, Count>& pixel) {
    State state;
#pragma unroll
    for (int i = 0; i < Count; ++i) state.sum[i] = ait::convert<float>(pixel.value[i]);
    return state;
  }
  static __device__ __forceinline__ void add(State& state, const Pack<Element, Count>& pixel) {
#pragma unroll
    for (int i = 0; i < Count; ++i) state.sum[i] += ait::convert<float>(pixel.value[i]);
  }
  static __device__ __forceinline__ State merge(const State& a, const State& b) {
    State both;
#pragma unroll
    for (int i = 0; i < Count; ++i) both.sum[i] = a.sum[i] + b.sum[i];
    return both;
  }
  static __device__ __forceinline__ void result(const State& state, float count,
                                                float (&values)[Count]) {
#pragma unroll
    for (int i = 0; i < Count; ++i) values[i] = state.sum[i] / count;
  }
};

/// The pixels of one row that the windows of `Columns` neighbours see, those from `left` on: `Reads` of
/// them at once where they begin at a multiple of that. `IsInside`: none is outside of the image.
template <bool IsInside, class Kind, class Horizontal, int Columns, int Reads, class Index,
          class Load, class Run, class Pixel>
__device__ __forceinline__ void read_row(Index y, Index left, bool is_row, Index size,
                                         const Load& load, [[maybe_unused]] const Run& run,
                                         Pixel (&pixels)[Horizontal::reach(Columns)]) {
  constexpr int kWidth = Horizontal::reach(Columns);
  bool is_pixel[kWidth];
#pragma unroll
  for (int column = 0; column < kWidth; ++column) {
    is_pixel[column] = IsInside || (is_row && left + column >= 0 && left + column < size);
  }
#pragma unroll
  for (int column = 0; column < kWidth; ++column) {
    // The thread's first output is one of whole runs, and images are whole runs wide.
    constexpr int kOffset = (Reads - Horizontal::kBefore % Reads) % Reads;
    const bool begins = (column + kOffset) % Reads == 0;
    const int in_run = (column + kOffset) % Reads;
    if (Reads > 1 && column - in_run >= 0 && column - in_run + Reads <= kWidth) {
      if (!begins) continue;
      // A run that is there in place of one outside: then no load waits for a branch.
      const auto some = run(is_pixel[column] ? y : 0, is_pixel[column] ? left + column : 0);
#pragma unroll
      for (int i = 0; i < Reads; ++i) pixels[column + i].value[0] = some.value[i];
    } else if (Horizontal::is_seen(Columns, column)) {
      pixels[column] = load(is_pixel[column] ? y : 0, is_pixel[column] ? left + column : 0);
    }
  }
#pragma unroll
  for (int column = 0; column < kWidth; ++column) {
    if (!Horizontal::is_seen(Columns, column)) continue;
    pixels[column] = choose(is_pixel[column], pixels[column], Kind::outside());
  }
}

/// The windows of `Rows` x `Columns` neighbouring outputs, of one thread: what they share is read once.
template <bool IsInside, class Kind, class Vertical, class Horizontal, int Reads, int Rows,
          int Columns, class Index, class Load, class Run>
__device__ __forceinline__ void add_windows(const Along<Index>& y, const Along<Index>& x,
                                            const Load& load, const Run& run,
                                            typename Kind::State (&states)[Rows][Columns]) {
  constexpr int kHeight = Vertical::reach(Rows), kWidth = Horizontal::reach(Columns);
  const Index top = Vertical::first(y), left = Horizontal::first(x);
#pragma unroll
  for (int row = 0; row < kHeight; ++row) {
    if (!Vertical::is_seen(Rows, row)) continue;
    const bool is_row = IsInside || (top + row >= 0 && top + row < y.size);
    decltype(Kind::outside()) pixels[kWidth];
    read_row<IsInside, Kind, Horizontal, Columns, Reads>(top + row, left, is_row, x.size, load, run,
                                                         pixels);
    // The part of a window in one row is the same for all windows above each other.
    typename Kind::State parts[Columns];
#pragma unroll
    for (int j = 0; j < Columns; ++j) {
      parts[j] = Kind::of(pixels[Horizontal::first_of(j)]);
#pragma unroll
      for (int column = Horizontal::first_of(j) + 1; column < kWidth; ++column) {
        if (Horizontal::sees(j, column)) Kind::add(parts[j], pixels[column]);
      }
    }
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
      if (!Vertical::sees(i, row)) continue;
#pragma unroll
      for (int j = 0; j < Columns; ++j) states[i][j] = Kind::merge(states[i][j], parts[j]);
    }
  }
}

template <class Kind, class Vertical, class Horizontal, int Reads, int Rows, int Columns, class Index,
          class Load, class Run>
__device__ __forceinline__ void slide_over(const Along<Index>& y, const Along<Index>& x,
                                           const Load& load, const Run& run,
                                           typename Kind::State (&states)[Rows][Columns]) {
#pragma unroll
  for (int i = 0; i < Rows; ++i) {
#pragma unroll
    for (int j = 0; j < Columns; ++j) states[i][j] = Kind::nothing();
  }
  if (y.size <= 0 || x.size <= 0) return;
  const Index top = Vertical::first(y), left = Horizontal::first(x);
  if (top >= 0 && top + Vertical::reach(Rows) <= y.size && left >= 0 &&
      left + Horizontal::reach(Columns) <= x.size) {
    add_windows<true, Kind, Vertical, Horizontal, Reads>(y, x, load, run, states);
  } else {
    add_windows<false, Kind, Vertical, Horizontal, Reads>(y, x, load, run, states);
  }
}

/// Loads that a thread has under way.
constexpr int kTapsAtOnce = 4;

/// The taps of one window that the thread `rank` of `Team` has.
template <class Kind, int Team, class Index, class Load>
__device__ __forceinline__ typename Kind::State take_taps(const Span<Index>& rows,
                                                          const Span<Index>& columns, int rank,
                                                          const Load& load) {
  typename Kind::State state = Kind::nothing();
  const Index taps = rows.count * columns.count;
  for (Index first = rank; first < taps; first += kTapsAtOnce * Team) {
    decltype(Kind::outside()) pixels[kTapsAtOnce];
#pragma unroll
    for (int i = 0; i < kTapsAtOnce; ++i) {
      // No branch around the loads, so that all are under way before the first is waited for.
      const Index tap = first + i * Team < taps ? first + i * Team : first;
      pixels[i] = load(rows.begin + tap / columns.count * rows.step,
                       columns.begin + tap % columns.count * columns.step);
    }
#pragma unroll
    for (int i = 0; i < kTapsAtOnce; ++i) {
      if (first + i * Team < taps) Kind::add(state, pixels[i]);
    }
  }
  return state;
}

/// The outputs of a step: `Kernel::kOutputRows` x `Kernel::kOutputColumns` of them, from `y.out` and
/// `x.out` on. `finish(p, q, values)` is generated: of the channels of one output, or, where neighbours
/// in memory are neighbours in a row (`kIsInRow`), of all columns. There, `run(y, x)` gives `kReads`
/// pixels from (y, x) on.
template <class Kernel, class Kind, class Vertical, class Horizontal, bool CountPadding, class Index,
          class Load, class Run, class Finish>
__device__ __forceinline__ void pool(const Along<Index>& y, const Along<Index>& x, bool is_step,
                                     const Load& load, const Run& run, const Finish& finish) {
  constexpr int kRows = Kernel::kOutputRows, kColumns = Kernel::kOutputColumns;
  typename Kind::State states[kRows][kColumns];
  if constexpr (Kernel::kIsUnrolled) {
    static_assert(Kernel::kTeam == 1, "an unrolled window belongs to one thread");
    slide_over<Kind, Vertical, Horizontal, Kernel::kReads>(y, x, load, run, states);
  } else {
    static_assert(kRows == 1 && kColumns == 1, "a loop runs over one window");
    states[0][0] = take_taps<Kind, Kernel::kTeam>(Vertical::inside(y), Horizontal::inside(x),
                                                  TeamOf<Kernel>::rank(), load);
    if constexpr (Kernel::kTeam > 1) {
      TeamOf<Kernel>::combine(states[0],
                              [](const auto& a, const auto& b) { return Kind::merge(a, b); });
      if (!is_step || TeamOf<Kernel>::rank() != 0) return;
    }
  }
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const Along<Index> row{y.out + i, y.outs, y.size};
    if (row.out >= row.outs) continue;
    const Index rows = Vertical::template counted<CountPadding>(row);
    float values[kColumns][Kernel::kVector];
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      const Along<Index> column{x.out + j, x.outs, x.size};
      if (column.out >= column.outs) continue;
      const Index count = rows * Horizontal::template counted<CountPadding>(column);
      Kind::result(states[i][j], static_cast<float>(count), values[j]);
      if constexpr (!Kernel::kIsInRow) finish(row.out, column.out, values[j]);
    }
    if constexpr (Kernel::kIsInRow) {
      static_assert(Kernel::kVector == 1, "neighbours in memory are columns");
      float columns[kColumns];
#pragma unroll
      for (int j = 0; j < kColumns; ++j) columns[j] = values[j][0];
      finish(row.out, x.out, columns);
    }
  }
}

/// `Kernel` is generated: `Index`, `Element`, `Arguments` (pointers, extents and `count` steps), the
/// constants used above, and `step(arguments, i, is_step)`, in which all threads of a team take part.
template <class Kernel>
__global__ void __launch_bounds__(Kernel::kTeam* Kernel::kRows)
    pools(const __grid_constant__ typename Kernel::Arguments arguments) {
  wait_for_inputs();
  let_next_start();
  const int64_t block = in_order<unsigned>(blockIdx.x, gridDim.x, arguments.backwards);
  const int64_t step = block * Kernel::kRows + TeamOf<Kernel>::row();
  // The last teams of the last block may have no step: they go along and store nothing.
  const bool is_step = step < arguments.count;
  if (Kernel::kTeam == 1 && !is_step) return;
  Kernel::step(arguments, static_cast<typename Kernel::Index>(is_step ? step : 0), is_step);
}

template <class Kernel>
ait::Status run_pool(const ait::Launch& launch, const typename Kernel::Arguments& arguments) {
  const int64_t blocks = (arguments.count + Kernel::kRows - 1) / Kernel::kRows;
  if (blocks <= 0) return ait::ok();
  if (blocks > INT32_MAX) return Status{AIT_INVALID_INPUT, "an image is too large for one launch"};
  return gpu::launch(launch, pools<Kernel>, dim3(static_cast<unsigned>(blocks)),
                     dim3(Kernel::kTeam * Kernel::kRows), arguments);
}

// Resampling ------------------------------------------------------------------------------------

enum class Coordinates { half_pixel, align_corners, asymmetric };

/// A place between pixels, `numerator / denominator`: integers, so that no rounding decides a tie.
/// Indices are wide enough for four times the product of the sizes.
template <class Index>
struct Place {
  Index numerator, denominator;
};

template <Coordinates kCoordinates, class Index>
__device__ __forceinline__ Place<Index> place_of(const Along<Index>& a) {
  Place<Index> place{0, 1};
  if (kCoordinates == Coordinates::half_pixel) {
    place = {(2 * a.out + 1) * a.size - a.outs, 2 * a.outs};  // (out + 1/2) size / outs - 1/2
  } else if (kCoordinates == Coordinates::asymmetric) {
    place = {a.out * a.size, a.outs};
  } else if (a.outs > 1) {
    place = {a.out * (a.size - 1), a.outs - 1};
  }
  const Index most = (a.size - 1) * place.denominator;
  place.numerator = place.numerator > most ? most : place.numerator;
  place.numerator = place.numerator < 0 ? 0 : place.numerator;
  return place;
}

/// The nearest pixel: of two, the first; or, if asymmetric, that before the place.
template <Coordinates kCoordinates, class Index>
__device__ __forceinline__ Index nearest_pixel(const Along<Index>& a) {
  const Place<Index> place = place_of<kCoordinates>(a);
  if (kCoordinates == Coordinates::asymmetric) return place.numerator / place.denominator;
  // ceil(place - 1/2); a place before the first pixel has become the first one.
  return (2 * place.numerator + place.denominator - 1) / (2 * place.denominator);
}

/// Two neighbouring pixels and the weight of the second.
template <class Index>
struct Sample {
  Index first, second;
  float weight;
};

template <Coordinates kCoordinates, class Index>
__device__ __forceinline__ Sample<Index> two_pixels(const Along<Index>& a) {
  const Place<Index> place = place_of<kCoordinates>(a);
  const Index first = place.numerator / place.denominator;
  const Index rest = place.numerator - first * place.denominator;
  const Index second = first + 1 < a.size ? first + 1 : first;
  return {first, second, static_cast<float>(rest) / static_cast<float>(place.denominator)};
}

/// `first` and `second`, of any element types, mixed by the weight of the second.
template <class First, class Second>
__device__ __forceinline__ float mixed(First first, Second second, float weight) {
  return ait::convert<float>(first) * (1.0f - weight) + ait::convert<float>(second) * weight;
}

template <Coordinates kCoordinates, int Count, class Index, class Load>
__device__ __forceinline__ void nearest(const Along<Index>& y, const Along<Index>& x,
                                        const Load& load, float (&values)[Count]) {
  const auto pixel = load(nearest_pixel<kCoordinates>(y), nearest_pixel<kCoordinates>(x));
#pragma unroll
  for (int lane = 0; lane < Count; ++lane) values[lane] = ait::convert<float>(pixel.value[lane]);
}

template <Coordinates kCoordinates, int Count, class Index, class Load>
__device__ __forceinline__ void bilinear(const Along<Index>& y, const Along<Index>& x,
                                         const Load& load, float (&values)[Count]) {
  const Sample<Index> row = two_pixels<kCoordinates>(y), column = two_pixels<kCoordinates>(x);
  const auto top_left = load(row.first, column.first);
  const auto top_right = load(row.first, column.second);
  const auto bottom_left = load(row.second, column.first);
  const auto bottom_right = load(row.second, column.second);
#pragma unroll
  for (int lane = 0; lane < Count; ++lane) {
    const float left = mixed(top_left.value[lane], bottom_left.value[lane], row.weight);
    const float right = mixed(top_right.value[lane], bottom_right.value[lane], row.weight);
    values[lane] = mixed(left, right, column.weight);
  }
}

/// Between which pixels the `lane`-th of neighbours lies whose first is at a whole multiple of `Scale`,
/// where there are `Scale` for each pixel: relative to the first one's, and the second one's weight.
template <Coordinates kCoordinates, int Scale>
struct Upscaled {
  static_assert(kCoordinates != Coordinates::align_corners, "there the places do not repeat");
  /// In parts of a pixel, of which there are `kParts`.
  static constexpr int place(int lane) {
    return kCoordinates == Coordinates::half_pixel ? 2 * lane + 1 - Scale : 2 * lane;
  }
  static constexpr int kParts = 2 * Scale;
  static constexpr int first(int lane) {
    return place(lane) < 0 ? -1 : place(lane) / kParts;
  }
  static constexpr float weight(int lane) {
    return static_cast<float>(place(lane) - first(lane) * kParts) / kParts;
  }
};

/// `Count` neighbours in a row that has `Scale` for each pixel, which share the pixels that they lie
/// between; `x.out`, the first, is a multiple of both. `run(y, x)` gives `Reads` pixels from (y, x) on.
template <Coordinates kCoordinates, int Scale, int Reads, int Count, class Index, class Load,
          class Run>
__device__ __forceinline__ void bilinear_neighbours(const Along<Index>& y, const Along<Index>& x,
                                                    const Load& load, const Run& run,
                                                    float (&values)[Count]) {
  using Places = Upscaled<kCoordinates, Scale>;
  constexpr int kPixels = Count / Scale;
  static_assert(Count % Scale == 0 && kPixels % Reads == 0);
  const Sample<Index> row = two_pixels<kCoordinates>(y);
  const Index begin = x.out / Scale;
  float pixels[kPixels + 2];  // one before, one behind
#pragma unroll
  for (int i = 0; i < kPixels; i += Reads) {
    const auto top = run(row.first, begin + i), bottom = run(row.second, begin + i);
#pragma unroll
    for (int j = 0; j < Reads; ++j) {
      pixels[i + j + 1] = mixed(top.value[j], bottom.value[j], row.weight);
    }
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const Index at = i == 0 ? (begin > 0 ? begin - 1 : 0)
                            : (begin + kPixels < x.size ? begin + kPixels : x.size - 1);
    pixels[i * (kPixels + 1)] =
        mixed(load(row.first, at).value[0], load(row.second, at).value[0], row.weight);
  }
#pragma unroll
  for (int lane = 0; lane < Count; ++lane) {
    const int first = Places::first(lane);
    // Places before the first pixel, or behind the last one, are there.
    const bool is_before = first < 0 && begin == 0;
    const bool is_behind = first + 1 >= Count / Scale && begin + first + 1 >= x.size;
    const float one = is_before ? pixels[1] : pixels[first + 1];
    const float other = is_before ? pixels[2] : pixels[first + 2];
    values[lane] = mixed(one, other, is_before || is_behind ? 0.0f : Places::weight(lane));
  }
}

}  // namespace ait::gpu
