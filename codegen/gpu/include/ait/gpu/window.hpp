// Pooling and resampling of images: what threads do for some output pixels and channels.
//
// `load(y, x)` is generated; it gives the stored channels of an input pixel as a Pack.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

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
  /// Whether each window that reaches out of the image has the nearest pixel inside.
  static constexpr bool kHasNearest = Dilation == 1 && Before < Size && After < Size;

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

  /// The last input that the `output`-th neighbour and the next one see; -1 if there is none.
  static constexpr int last_shared(int output) {
    constexpr int kLast = (Size - 1) * Dilation;
    return Stride % Dilation == 0 && Stride <= kLast ? output * Stride + kLast : -1;
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

// Kinds of pools, of `Count` elements side by side. `State` is what is known of a part of a window, that
// `of` a pixel or `nothing`; `add` extends it by a pixel, `merge` makes one of two, and `result` gives an
// element of a whole one, of which `share` is one over the pixels that are counted. `With`: the same kind
// of another number of elements. `kMayRepeat`: a pixel that is added twice changes nothing.

/// One over the pixels that an average counts.
template <class Index>
__device__ __forceinline__ float share_of(Index count) {
  return ait::detail::quotient(1.0f, static_cast<float>(count));
}

/// Stored elements are compared as they are: only the largest need be converted.
template <class Element, int Count>
struct MaxPool {
  using State = Pack<Element, Count>;
  template <int Other>
  using With = MaxPool<Element, Other>;
  static constexpr bool kMayRepeat = true;

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
  static __device__ __forceinline__ float result(const State& state, int i, float) {
    return ait::convert<float>(state.value[i]);
  }
};

template <class Element, int Count>
struct AveragePool {
  struct State {
    float value[Count];
  };
  template <int Other>
  using With = AveragePool<Element, Other>;
  static constexpr bool kMayRepeat = false;

  static __device__ __forceinline__ State nothing() {
    State state;
#pragma unroll
    for (int i = 0; i < Count; ++i) state.value[i] = 0.0f;
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
    for (int i = 0; i < Count; ++i) state.value[i] = ait::convert<float>(pixel.value[i]);
    return state;
  }
  static __device__ __forceinline__ void add(State& state, const Pack<Element, Count>& pixel) {
#pragma unroll
    for (int i = 0; i < Count; ++i) state.value[i] += ait::convert<float>(pixel.value[i]);
  }
  static __device__ __forceinline__ State merge(const State& a, const State& b) {
    State both;
#pragma unroll
    for (int i = 0; i < Count; ++i) both.value[i] = a.value[i] + b.value[i];
    return both;
  }
  static __device__ __forceinline__ float result(const State& state, int i, float share) {
    return state.value[i] * share;
  }
};

// Windows that slide, of some neighbouring outputs --------------------------------------------------

/// A part of a window, which may have no pixel yet. Where loops are unrolled, the compiler knows whether.
template <class Kind>
struct Part {
  typename Kind::State state;
  bool is_known = false;

  template <class Pixel>
  __device__ __forceinline__ void add(const Pixel& pixel) {
    if (is_known) {
      Kind::add(state, pixel);
    } else {
      state = Kind::of(pixel);
    }
    is_known = true;
  }
  __device__ __forceinline__ void merge(const Part& other) {
    if (!other.is_known) return;
    state = is_known ? Kind::merge(state, other.state) : other.state;
    is_known = true;
  }
};

/// Extends the parts of the windows of `Count` neighbours by their `input`-th input. What two windows
/// side by side both see is folded once, in `shared`, until they have seen all of it.
template <class Side, int Count, class Kind, class Extend>
__device__ __forceinline__ void extend_windows(int input, Part<Kind> (&windows)[Count],
                                               Part<Kind> (&shared)[(Count + 1) / 2],
                                               const Extend& extend) {
#pragma unroll
  for (int i = 0; i < Count; i += 2) {
    const int other = i + 1 < Count ? i + 1 : i;
    const bool is_first = Side::sees(i, input), is_other = other > i && Side::sees(other, input);
    if (is_first && is_other) {
      extend(shared[i / 2]);
      if (input < Side::last_shared(i)) continue;
      windows[i].merge(shared[i / 2]);
      windows[other].merge(shared[i / 2]);
    } else {
      if (is_first) extend(windows[i]);
      if (is_other) extend(windows[other]);
    }
  }
}

/// What is read in place of a pixel outside of the image.
enum class Edges {
  none,     // no window reaches out of the image
  nearest,  // the nearest pixel, which each window that reaches out has too
  outside,  // any one, and then `Kind::outside()` is taken
};

/// Whether an outside pixel of any window may be its nearest one inside.
template <class Kind, class Vertical, class Horizontal>
constexpr Edges kEdges = Kind::kMayRepeat && Vertical::kHasNearest && Horizontal::kHasNearest
                             ? Edges::nearest
                             : Edges::outside;

/// Where to read instead of at `at`.
template <Edges kEdge, class Index>
__device__ __forceinline__ Index inside_of(Index at, Index size) {
  if (kEdge == Edges::none) return at;
  if (kEdge == Edges::outside) return at >= 0 && at < size ? at : 0;
  return at < 0 ? 0 : at < size ? at : size - 1;
}

/// The windows of `Rows` x `Columns` neighbouring outputs, of one thread: what they share is read once.
template <Edges kEdge, class Kind, class Vertical, class Horizontal, int Rows, int Columns, class Index,
          class Load>
__device__ __forceinline__ void add_windows(const Along<Index>& y, const Along<Index>& x,
                                            const Load& load,
                                            typename Kind::State (&states)[Rows][Columns]) {
  constexpr int kHeight = Vertical::reach(Rows), kWidth = Horizontal::reach(Columns);
  const Index top = Vertical::first(y), left = Horizontal::first(x);
  const auto has = [](Index at, Index size) { return at >= 0 && at < size; };
  Part<Kind> windows[Columns][Rows], shared[Columns][(Rows + 1) / 2];
#pragma unroll
  for (int row = 0; row < kHeight; ++row) {
    if (!Vertical::is_seen(Rows, row)) continue;
    const Index at = inside_of<kEdge>(top + row, y.size);
    decltype(Kind::outside()) pixels[kWidth];
#pragma unroll
    for (int column = 0; column < kWidth; ++column) {
      if (!Horizontal::is_seen(Columns, column)) continue;
      pixels[column] = load(at, inside_of<kEdge>(left + column, x.size));
    }
    // The part of a window in one row is the same for all windows above each other.
    Part<Kind> parts[Columns], both[(Columns + 1) / 2];
#pragma unroll
    for (int column = 0; column < kWidth; ++column) {
      if (!Horizontal::is_seen(Columns, column)) continue;
      if constexpr (kEdge == Edges::outside) {
        const bool is_pixel = has(top + row, y.size) && has(left + column, x.size);
        pixels[column] = choose(is_pixel, pixels[column], Kind::outside());
      }
      extend_windows<Horizontal>(column, parts, both,
                                 [&](Part<Kind>& part) { part.add(pixels[column]); });
    }
#pragma unroll
    for (int j = 0; j < Columns; ++j) {
      extend_windows<Vertical>(row, windows[j], shared[j],
                               [&](Part<Kind>& part) { part.merge(parts[j]); });
    }
  }
#pragma unroll
  for (int i = 0; i < Rows; ++i) {
#pragma unroll
    for (int j = 0; j < Columns; ++j) states[i][j] = windows[j][i].state;
  }
}

template <class Kind, class Vertical, class Horizontal, int Rows, int Columns, class Index, class Load>
__device__ __forceinline__ void slide_over(const Along<Index>& y, const Along<Index>& x,
                                           const Load& load,
                                           typename Kind::State (&states)[Rows][Columns]) {
  const Index top = Vertical::first(y), left = Horizontal::first(x);
  if (top >= 0 && top + Vertical::reach(Rows) <= y.size && left >= 0 &&
      left + Horizontal::reach(Columns) <= x.size) {
    add_windows<Edges::none, Kind, Vertical, Horizontal>(y, x, load, states);
  } else {
    add_windows<kEdges<Kind, Vertical, Horizontal>, Kind, Vertical, Horizontal>(y, x, load, states);
  }
}

/// The same where neighbours in memory are neighbours in a row, `Columns` of them in one state: what is
/// above each other is folded first, then what is beside each other. `Reads` pixels are read at once
/// where they begin at a multiple of that. There is one way for all threads: those of a warp have
/// outputs at edges and others.
template <class Kind, class Vertical, class Horizontal, int Reads, int Rows, int Columns, class Index,
          class Load, class Run>
__device__ __forceinline__ void slide_in_row(
    const Along<Index>& y, const Along<Index>& x, const Load& load, const Run& run,
    typename Kind::template With<Columns>::State (&states)[Rows]) {
  using Runs = typename Kind::template With<Reads>;
  using Outputs = typename Kind::template With<Columns>;
  constexpr Edges kEdge = kEdges<Kind, Vertical, Horizontal>;
  // The thread's first output is one of whole runs, and images are whole runs wide: so many columns
  // before the first one of a window, runs begin.
  constexpr int kFront = (Reads - Horizontal::kBefore % Reads) % Reads;
  constexpr int kHeight = Vertical::reach(Rows), kEnd = kFront + Horizontal::reach(Columns);
  constexpr int kRuns = (kEnd + Reads - 1) / Reads;
  const Index top = Vertical::first(y), left = Horizontal::first(x) - kFront;
  const auto is_read = [](int column) {
    return column >= kFront && column < kEnd && Horizontal::is_seen(Columns, column - kFront);
  };
  const auto is_whole = [](int begin) {
    return Reads > 1 && begin >= kFront && begin + Reads <= kEnd;
  };
  const auto has = [](Index at, Index size) { return at >= 0 && at < size; };
  Part<Runs> windows[kRuns][Rows], shared[kRuns][(Rows + 1) / 2];
#pragma unroll
  for (int row = 0; row < kHeight; ++row) {
    if (!Vertical::is_seen(Rows, row)) continue;
    const bool is_row = has(top + row, y.size);
    const Index at = inside_of<kEdge>(top + row, y.size);
#pragma unroll
    for (int i = 0; i < kRuns; ++i) {
      auto pixels = Runs::outside();
      const Index begin = left + i * Reads;
      if (is_whole(i * Reads)) {
        // A run that is there in place of one outside: then no load waits for a branch.
        pixels = run(at, inside_of<Edges::outside>(begin, x.size));
        if constexpr (kEdge == Edges::outside) {
          pixels = choose(is_row && has(begin, x.size), pixels, Runs::outside());
        }
      } else {
#pragma unroll
        for (int j = 0; j < Reads; ++j) {
          if (!is_read(i * Reads + j)) continue;
          auto pixel = load(at, inside_of<kEdge>(begin + j, x.size));
          if constexpr (kEdge == Edges::outside) {
            pixel = choose(is_row && has(begin + j, x.size), pixel, Kind::outside());
          }
          pixels.value[j] = pixel.value[0];
        }
      }
      extend_windows<Vertical>(row, windows[i], shared[i],
                               [&](Part<Runs>& part) { part.add(pixels); });
    }
  }
#pragma unroll
  for (int i = 0; i < Rows; ++i) {
    typename Runs::State runs[kRuns];
#pragma unroll
    for (int j = 0; j < kRuns; ++j) {
      runs[j] = windows[j][i].state;
      if constexpr (kEdge == Edges::nearest) {
        if (is_whole(j * Reads)) {
          runs[j] = choose(has(left + j * Reads, x.size), runs[j], Runs::nothing());
        }
      }
    }
    Part<Outputs> output;
#pragma unroll
    for (int tap = 0; tap < Horizontal::reach(1); ++tap) {
      if (!Horizontal::sees(0, tap)) continue;
      Part<Outputs> of_tap;
#pragma unroll
      for (int j = 0; j < Columns; ++j) {
        const int column = kFront + Horizontal::first_of(j) + tap;
        of_tap.state.value[j] = runs[column / Reads].value[column % Reads];
      }
      of_tap.is_known = true;
      output.merge(of_tap);
    }
    states[i] = output.state;
  }
}

/// Pixels of so many bytes that a thread reads at once where a window is long: narrow loads need company
/// to keep memory busy.
constexpr int taps_at_once(int bytes) { return bytes > 8 ? 4 : bytes > 4 ? 8 : 16; }
constexpr int kLastTaps = 4;

/// The taps of one window that the thread `rank` of `Team` has.
template <class Kind, int Team, class Index, class Load>
__device__ __forceinline__ typename Kind::State take_taps(const Span<Index>& rows,
                                                          const Span<Index>& columns, int rank,
                                                          const Load& load) {
  using Pixel = decltype(Kind::outside());
  typename Kind::State state = Kind::nothing();
  const Index taps = rows.count * columns.count;
  Index first = rank;
  // No branch around loads, so that all of a round are under way before the first is waited for.
  const auto take = [&](auto count, bool are_all) {
    constexpr int kCount = decltype(count)::value;
    Pixel pixels[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const bool is_tap = are_all || first + i * Team < taps;
      const Index tap = is_tap ? first + i * Team : first;
      pixels[i] = load(rows.begin + tap / columns.count * rows.step,
                       columns.begin + tap % columns.count * columns.step);
      if (!are_all) pixels[i] = choose(is_tap, pixels[i], Kind::outside());
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) Kind::add(state, pixels[i]);
  };
  const auto take_while_all = [&](auto count) {
    constexpr int kCount = decltype(count)::value;
    for (; first + (kCount - 1) * Team < taps; first += kCount * Team) take(count, true);
  };
  take_while_all(std::integral_constant<int, taps_at_once(sizeof(Pixel))>{});
  take_while_all(std::integral_constant<int, kLastTaps>{});
  if (first < taps) take(std::integral_constant<int, kLastTaps - 1>{}, false);
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
  constexpr bool kIsInRow = Kernel::kIsInRow;
  static_assert(!kIsInRow || Kernel::kVector == 1, "neighbours in memory are columns");
  constexpr int kStates = kIsInRow ? 1 : kColumns, kLanes = kIsInRow ? kColumns : Kernel::kVector;
  using Stored = typename Kind::template With<kLanes>;
  typename Stored::State states[kRows][kStates];
  if constexpr (Kernel::kIsUnrolled) {
    static_assert(Kernel::kTeam == 1, "an unrolled window belongs to one thread");
    if (y.size <= 0 || x.size <= 0) {
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int j = 0; j < kStates; ++j) states[i][j] = Stored::nothing();
      }
    } else if constexpr (kIsInRow) {
      typename Stored::State rows[kRows];
      slide_in_row<Kind, Vertical, Horizontal, Kernel::kReads, kRows, kColumns>(y, x, load, run, rows);
#pragma unroll
      for (int i = 0; i < kRows; ++i) states[i][0] = rows[i];
    } else {
      slide_over<Kind, Vertical, Horizontal>(y, x, load, states);
    }
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
    float shares[kColumns];
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      const Along<Index> column{x.out + j, x.outs, x.size};
      const Index count = rows * Horizontal::template counted<CountPadding>(column);
      shares[j] = share_of(count);
    }
#pragma unroll
    for (int j = 0; j < kStates; ++j) {
      if (x.out + j >= x.outs) continue;
      float values[kLanes];
#pragma unroll
      for (int lane = 0; lane < kLanes; ++lane) {
        values[lane] = Stored::result(states[i][j], lane, shares[kIsInRow ? lane : j]);
      }
      finish(row.out, x.out + j, values);
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

  /// The same where the first one lies at `begin` of an image of `size`: a place before its first pixel is
  /// there, and so is one behind its last.
  template <class Index>
  static __device__ __forceinline__ float weight(int lane, Index begin, Index size) {
    if (first(lane) < 0 && begin == 0) return 1.0f;  // of that pixel; see inside_or_second
    return begin + first(lane) + 1 < size ? weight(lane) : 0.0f;
  }
};

/// The pixel at `at`, or the last one; before the first one, which then has all weight, the second, which
/// is what a place at the first one is mixed with.
template <class Index>
__device__ __forceinline__ Index inside_or_second(Index at, Index size) {
  const Index inside = at < 0 ? 1 : at;
  return inside < size ? inside : size - 1;
}

/// `Rows` rows of `Count` values each, of an image that has `Scale` rows for each that it had, and whose
/// row `y.out`, a multiple of `Rows` and these of `Scale`, is the first: they share the rows that they lie
/// between. `widen(row, values)` makes the values of a row of the image, `finish(p, values)` takes those
/// of a row of the result.
template <Coordinates kCoordinates, int Scale, int Rows, int Count, class Index, class Widen,
          class Finish>
__device__ __forceinline__ void upscaled_rows(const Along<Index>& y, const Widen& widen,
                                              const Finish& finish) {
  using Places = Upscaled<kCoordinates, Scale>;
  static_assert(Rows % Scale == 0);
  const Index top = y.out / Scale;
  float rows[2][Count];
  int known = Places::first(0);  // the row that is in the first of both
  widen(inside_or_second(top + known, y.size), rows[0]);
  widen(inside_or_second(top + known + 1, y.size), rows[1]);
#pragma unroll
  for (int i = 0; i < Rows; ++i) {
    if (Places::first(i) != known) {
#pragma unroll
      for (int j = 0; j < Count; ++j) rows[0][j] = rows[1][j];
      known = Places::first(i);
      widen(inside_or_second(top + known + 1, y.size), rows[1]);
    }
    const float weight = Places::weight(i, top, y.size);
    float values[Count];
#pragma unroll
    for (int j = 0; j < Count; ++j) values[j] = mixed(rows[0][j], rows[1][j], weight);
    if (y.out + i < y.outs) finish(y.out + i, values);
  }
}

/// `Rows` x `Columns` outputs, of `Count` channels each, of an image that has `Scale` rows and columns for
/// each that it had: they share pixels, and what lies between two of them in a row of the image, which is
/// computed once. `y.out` and `x.out`, the first ones, are multiples of `Rows` and `Columns`, and these of
/// `Scale`. `finish(p, q, values)` is generated.
template <Coordinates kCoordinates, int Scale, int Rows, int Columns, int Count, class Index,
          class Load, class Finish>
__device__ __forceinline__ void bilinear_tile(const Along<Index>& y, const Along<Index>& x,
                                              const Load& load, const Finish& finish) {
  using Places = Upscaled<kCoordinates, Scale>;
  static_assert(Columns % Scale == 0);
  constexpr int kPixels = Columns / Scale, kValues = Columns * Count;
  const Index left = x.out / Scale;
  const auto widen = [&](Index row, float (&values)[kValues]) {
    decltype(load(row, left)) pixels[kPixels + 2];  // one before, one behind
#pragma unroll
    for (int i = 0; i < kPixels + 2; ++i) {
      pixels[i] = load(row, inside_or_second(left + (i - 1), x.size));
    }
#pragma unroll
    for (int j = 0; j < Columns; ++j) {
      const int first = Places::first(j) + 1;
      const float weight = Places::weight(j, left, x.size);
#pragma unroll
      for (int lane = 0; lane < Count; ++lane) {
        values[j * Count + lane] =
            mixed(pixels[first].value[lane], pixels[first + 1].value[lane], weight);
      }
    }
  };
  upscaled_rows<kCoordinates, Scale, Rows, kValues>(y, widen, [&](Index p, const auto& row) {
#pragma unroll
    for (int j = 0; j < Columns; ++j) {
      float values[Count];
#pragma unroll
      for (int lane = 0; lane < Count; ++lane) values[lane] = row[j * Count + lane];
      if (x.out + j < x.outs) finish(p, x.out + j, values);
    }
  });
}

/// The same where the `Count` values that are finished at once are neighbours in a row, a multiple of
/// which `x.out` is. `run(y, x)` gives `Reads` pixels from (y, x) on.
template <Coordinates kCoordinates, int Scale, int Rows, int Reads, int Count, class Index, class Load,
          class Run, class Finish>
__device__ __forceinline__ void bilinear_rows(const Along<Index>& y, const Along<Index>& x,
                                              const Load& load, const Run& run,
                                              const Finish& finish) {
  using Places = Upscaled<kCoordinates, Scale>;
  constexpr int kPixels = Count / Scale;
  static_assert(Count % Scale == 0 && kPixels % Reads == 0);
  const Index left = x.out / Scale;
  const auto widen = [&](Index row, float (&values)[Count]) {
    float pixels[kPixels + 2];  // one before, one behind
#pragma unroll
    for (int i = 0; i < kPixels; i += Reads) {
      const auto some = run(row, left + i);
#pragma unroll
      for (int j = 0; j < Reads; ++j) pixels[i + j + 1] = ait::convert<float>(some.value[j]);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int at = i * (kPixels + 1);
      const auto pixel = load(row, inside_or_second(left + (at - 1), x.size));
      pixels[at] = ait::convert<float>(pixel.value[0]);
    }
#pragma unroll
    for (int lane = 0; lane < Count; ++lane) {
      const int first = Places::first(lane) + 1;
      values[lane] = mixed(pixels[first], pixels[first + 1], Places::weight(lane, left, x.size));
    }
  };
  upscaled_rows<kCoordinates, Scale, Rows, Count>(
      y, widen, [&](Index p, const auto& values) { finish(p, x.out, values); });
}

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
