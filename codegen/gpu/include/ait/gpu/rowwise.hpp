// Softmax and norms over rows, between a generated prologue and a generated epilogue. A row that the
// registers of its team can hold is read once; of a longer one, statistics are gathered in a first
// pass and the results made in a second, which has what was read in shared memory, or reads it again
// (mostly out of a cache).
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "ait/gpu/access.hpp"
#include "ait/gpu/shared_memory.hpp"
#include "ait/gpu/team.hpp"

namespace ait::gpu {

struct AddFloats {
  __device__ __forceinline__ float operator()(float a, float b) const { return a + b; }
};

/// The larger number. NaN loses: the sum of exponentials keeps it.
struct LargerNumber {
  __device__ __forceinline__ float operator()(float a, float b) const { return ::fmaxf(a, b); }
};

/// The elements of a thread's rows that it keeps, and folds over whole rows.
template <class Kernel>
struct KeptRows {
  static constexpr int kItems = Kernel::kItems > 0 ? Kernel::kItems : 1;
  static constexpr int kRows = kRowsPerThread<Kernel>;

  float v[kItems][Kernel::kVector];
  int64_t count;  // elements of a row

  __device__ __forceinline__ bool holds(int item) const {
    return Kernel::kIsFull || element_of<Kernel>(item) < count;
  }

  /// totals[r] = `combine` over the row of map(item, lane, r).
  template <class Map, class Combine>
  __device__ __forceinline__ void fold(float (&totals)[kRows], float identity, const Map& map,
                                       const Combine& combine) const {
#pragma unroll
    for (int r = 0; r < kRows; ++r) totals[r] = identity;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const bool is_held = holds(i);
#pragma unroll
      for (int lane = 0; lane < Kernel::kVector; ++lane) {
        const int r = row_of<Kernel>(lane);
        totals[r] = combine(totals[r], is_held ? map(i, lane, r) : identity);
      }
    }
    TeamOf<Kernel>::combine(totals, combine);
  }

  /// use(item, y) of each item, where y[lane] = map(item, lane, r). One after the other where all are
  /// held, so that registers need not have all results beside `v`, and stores are not all at the end.
  /// Else all results come first: they would be made within the branches around their use.
  template <class Map, class Use>
  __device__ __forceinline__ void finish(const Map& map, const Use& use) const {
    float y[kItems][Kernel::kVector];
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
#pragma unroll
      for (int lane = 0; lane < Kernel::kVector; ++lane) {
        y[i][lane] = map(i, lane, row_of<Kernel>(lane));
      }
      if constexpr (Kernel::kIsFull) use(i, y[i]);
    }
    if constexpr (!Kernel::kIsFull) {
#pragma unroll
      for (int i = 0; i < kItems; ++i) use(i, y[i]);
    }
  }
};

// Kinds of normalisation. `keep(rows, use)` makes y of the v of kept rows, and calls use(item, y). For
// rows that are not kept: `State` describes a part of a row, `nothing` that without elements, `add`
// extends it by elements, `merge` makes one of two, and after `close`, `make` gives y of one v.

/// Online softmax: the sum is relative to the largest number so far. `IsRough`: for results of 16 bits.
template <bool IsRough>
struct Exponentials {
  static __device__ __forceinline__ float exp(float x) {
    return IsRough ? ait::exp_rough(x) : ait::exp(x);
  }

  struct State {
    float largest, sum;
  };

  static __device__ __forceinline__ State nothing() {
    return {-std::numeric_limits<float>::infinity(), 0.0f};
  }

  /// What exponents are relative to: of a part with nothing but -inf, e^(v - it) is 0, not NaN.
  static __device__ __forceinline__ float shift_of(float largest) {
    return largest == -std::numeric_limits<float>::infinity() ? 0.0f : largest;
  }

  template <int Count>
  static __device__ __forceinline__ void add(State& state, const float (&v)[Count]) {
    float largest = state.largest;
#pragma unroll
    for (int i = 0; i < Count; ++i) largest = LargerNumber{}(largest, v[i]);
    const float shift = shift_of(largest);
    float sum = state.sum * exp(state.largest - shift);
#pragma unroll
    for (int i = 0; i < Count; ++i) sum += exp(v[i] - shift);
    state.largest = largest;
    state.sum = sum;
  }

  static __device__ __forceinline__ State merge(const State& a, const State& b) {
    State both;
    both.largest = LargerNumber{}(a.largest, b.largest);
    const float shift = shift_of(both.largest);
    both.sum = a.sum * exp(a.largest - shift) + b.sum * exp(b.largest - shift);
    return both;
  }

  template <class Kernel>
  static __device__ __forceinline__ void largest(const KeptRows<Kernel>& rows,
                                                 float (&result)[KeptRows<Kernel>::kRows]) {
    rows.fold(result, -std::numeric_limits<float>::infinity(),
              [&](int i, int lane, int) { return rows.v[i][lane]; }, LargerNumber{});
  }
};

template <bool IsRough>
struct SoftmaxOf : Exponentials<IsRough> {
  using typename Exponentials<IsRough>::State;
  using Exponentials<IsRough>::exp;

  template <class Kernel, class Use>
  static __device__ __forceinline__ void keep(const KeptRows<Kernel>& rows, const Use& use) {
    constexpr int kRows = KeptRows<Kernel>::kRows, kItems = KeptRows<Kernel>::kItems;
    constexpr int kVector = Kernel::kVector;
    float top[kRows], sum[kRows], power[kItems][kVector];
    Exponentials<IsRough>::largest(rows, top);
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
#pragma unroll
      for (int lane = 0; lane < kVector; ++lane) {
        power[i][lane] = exp(rows.v[i][lane] - top[row_of<Kernel>(lane)]);
      }
    }
    rows.fold(sum, 0.0f, [&](int i, int lane, int) { return power[i][lane]; }, AddFloats{});
#pragma unroll
    for (int r = 0; r < kRows; ++r) sum[r] = 1.0f / sum[r];
    rows.finish([&](int i, int lane, int r) { return power[i][lane] * sum[r]; }, use);
  }

  template <class Kernel>
  static __device__ __forceinline__ void close(State& state, int64_t) {
    state.sum = 1.0f / state.sum;
  }
  static __device__ __forceinline__ float make(const State& state, float v) {
    return exp(v - state.largest) * state.sum;
  }
};

template <bool IsRough>
struct LogSoftmaxOf : Exponentials<IsRough> {
  using typename Exponentials<IsRough>::State;
  using Exponentials<IsRough>::exp;

  template <class Kernel, class Use>
  static __device__ __forceinline__ void keep(const KeptRows<Kernel>& rows, const Use& use) {
    constexpr int kRows = KeptRows<Kernel>::kRows;
    float top[kRows], sum[kRows];
    Exponentials<IsRough>::largest(rows, top);
    rows.fold(sum, 0.0f,
              [&](int i, int lane, int r) { return exp(rows.v[i][lane] - top[r]); },
              AddFloats{});
#pragma unroll
    for (int r = 0; r < kRows; ++r) sum[r] = ait::log(sum[r]);
    rows.finish([&](int i, int lane, int r) { return (rows.v[i][lane] - top[r]) - sum[r]; }, use);
  }

  template <class Kernel>
  static __device__ __forceinline__ void close(State& state, int64_t) {
    state.sum = ait::log(state.sum);
  }
  static __device__ __forceinline__ float make(const State& state, float v) {
    return (v - state.largest) - state.sum;
  }
};

using Softmax = SoftmaxOf<false>;
using RoughSoftmax = SoftmaxOf<true>;
using LogSoftmax = LogSoftmaxOf<false>;
using RoughLogSoftmax = LogSoftmaxOf<true>;

struct LayerNorm {
  template <class Kernel, class Use>
  static __device__ __forceinline__ void keep(const KeptRows<Kernel>& rows, const Use& use) {
    constexpr int kRows = KeptRows<Kernel>::kRows;
    const float size = static_cast<float>(rows.count);
    float mean[kRows], factor[kRows];
    rows.fold(mean, 0.0f, [&](int i, int lane, int) { return rows.v[i][lane]; }, AddFloats{});
#pragma unroll
    for (int r = 0; r < kRows; ++r) mean[r] /= size;
    rows.fold(factor, 0.0f,
              [&](int i, int lane, int r) {
                const float distance = rows.v[i][lane] - mean[r];
                return distance * distance;
              },
              AddFloats{});
#pragma unroll
    for (int r = 0; r < kRows; ++r) factor[r] = ait::rsqrt(factor[r] / size + Kernel::kEps);
    rows.finish([&](int i, int lane, int r) { return (rows.v[i][lane] - mean[r]) * factor[r]; }, use);
  }

  /// The squares are those of distances from the mean of the part, so that nothing cancels.
  struct State {
    float count, mean, squares;
  };

  static __device__ __forceinline__ State nothing() { return {0.0f, 0.0f, 0.0f}; }

  template <int Count>
  static __device__ __forceinline__ void add(State& state, const float (&v)[Count]) {
    State part = nothing();
    part.count = static_cast<float>(Count);
#pragma unroll
    for (int i = 0; i < Count; ++i) part.mean += v[i];
    part.mean /= part.count;
#pragma unroll
    for (int i = 0; i < Count; ++i) part.squares += (v[i] - part.mean) * (v[i] - part.mean);
    state = merge(state, part);
  }

  static __device__ __forceinline__ State merge(const State& a, const State& b) {
    State both;
    both.count = a.count + b.count;
    const float per_element = both.count > 0.0f ? ait::detail::quotient(1.0f, both.count) : 0.0f;
    const float distance = a.mean - b.mean;
    // Written so that both orders give the same bits.
    both.mean = (a.mean * a.count + b.mean * b.count) * per_element;
    both.squares = (a.squares + b.squares) + distance * distance * (a.count * b.count * per_element);
    return both;
  }

  template <class Kernel>
  static __device__ __forceinline__ void close(State& state, int64_t count) {
    state.squares = ait::rsqrt(state.squares / static_cast<float>(count) + Kernel::kEps);
  }
  static __device__ __forceinline__ float make(const State& state, float v) {
    return (v - state.mean) * state.squares;
  }
};

struct RmsNorm {
  template <class Kernel, class Use>
  static __device__ __forceinline__ void keep(const KeptRows<Kernel>& rows, const Use& use) {
    constexpr int kRows = KeptRows<Kernel>::kRows;
    float factor[kRows];
    rows.fold(factor, 0.0f,
              [&](int i, int lane, int) { return rows.v[i][lane] * rows.v[i][lane]; }, AddFloats{});
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      factor[r] = ait::rsqrt(factor[r] / static_cast<float>(rows.count) + Kernel::kEps);
    }
    rows.finish([&](int i, int lane, int r) { return rows.v[i][lane] * factor[r]; }, use);
  }

  struct State {
    float squares;
  };

  static __device__ __forceinline__ State nothing() { return {0.0f}; }

  template <int Count>
  static __device__ __forceinline__ void add(State& state, const float (&v)[Count]) {
    float squares = 0.0f;
#pragma unroll
    for (int i = 0; i < Count; ++i) squares += v[i] * v[i];
    state.squares += squares;
  }

  static __device__ __forceinline__ State merge(const State& a, const State& b) {
    return State{a.squares + b.squares};
  }

  template <class Kernel>
  static __device__ __forceinline__ void close(State& state, int64_t count) {
    state.squares = ait::rsqrt(state.squares / static_cast<float>(count) + Kernel::kEps);
  }
  static __device__ __forceinline__ float make(const State& state, float v) {
    return v * state.squares;
  }
};

template <class Kernel, class Kind>
__device__ __forceinline__ void kept_rows(const typename Kernel::Arguments& arguments, int64_t row,
                                          bool is_row) {
  using Index = typename Kernel::Index;
  const Index first = static_cast<Index>(row);
  KeptRows<Kernel> rows;
  rows.count = arguments.cols;
#pragma unroll
  for (int i = 0; i < Kernel::kItems; ++i) {
    // No branch around the loads, so that all are under way before the first is waited for.
    const auto col = static_cast<Index>(rows.holds(i) ? element_of<Kernel>(i) : 0);
    Kernel::value(arguments, first, col, Kernel::read(arguments, first, col), rows.v[i]);
  }
  Kind::keep(rows, [&](int i, const float (&y)[Kernel::kVector]) {
    if (!is_row || !rows.holds(i)) return;
    Kernel::epilogue(arguments, first, static_cast<Index>(element_of<Kernel>(i)), rows.v[i], y);
  });
}

// Rows that registers do not keep -----------------------------------------------------------------

/// Packs whose elements a thread has at once of rows that it does not keep in registers.
template <class Kernel>
constexpr int kPacksAtOnce = (Kernel::kIsShared ? 32 : 16) / (Kernel::kVector > 4 ? 8 : 2 * Kernel::kVector);

/// Rows in two passes, and what a thread keeps of them in shared memory (`kIsShared`).
template <class Kernel, class Kind>
struct StreamedRows {
  using Index = typename Kernel::Index;
  using State = typename Kind::State;
  using Reads = typename Kernel::Reads;
  static constexpr int kRows = kRowsPerThread<Kernel>, kVector = Kernel::kVector;
  static constexpr int kLanes = kVector / kRows;  // of a pack, in one row
  static constexpr int kThreads = Kernel::kTeam * Kernel::kRows;
  static constexpr unsigned kSharedBytes =
      Kernel::kIsShared ? Kernel::kItems * kThreads * sizeof(Reads) : 0;

  const typename Kernel::Arguments& arguments;
  Index row;
  WholePacks whole;
  State states[kRows];

  __device__ __forceinline__ Index col_of(int64_t n) const {
    return static_cast<Index>(whole.begin + element_of<Kernel>(n));
  }

  static __device__ __forceinline__ Reads& kept(int64_t n) {
    return reinterpret_cast<Reads*>(dynamic_shared())[n * kThreads + threadIdx.x];
  }

  /// Calls use(n, integral constant of packs) for the packs from n = 0 on that the thread has.
  template <class Use>
  __device__ __forceinline__ void each(const Use& use) const {
    constexpr int kPacks = kPacksAtOnce<Kernel>;
    int64_t n = 0;
    for (; whole.begin + element_of<Kernel>(n + kPacks - 1) < whole.end; n += kPacks) {
      use(n, std::integral_constant<int, kPacks>{});
    }
    for (; whole.begin + element_of<Kernel>(n) < whole.end; ++n) {
      use(n, std::integral_constant<int, 1>{});
    }
  }

  /// Values of packs from the n-th on, all of whose loads are under way at once.
  template <bool IsFirstPass, int Packs>
  __device__ __forceinline__ void values(int64_t n, float (&v)[Packs][kVector]) const {
    Reads reads[Packs];
#pragma unroll
    for (int i = 0; i < Packs; ++i) {
      if constexpr (Kernel::kIsCopied || (Kernel::kIsShared && !IsFirstPass)) {
        reads[i] = kept(n + i);
      } else {
        reads[i] = Kernel::read(arguments, row, col_of(n + i));
      }
    }
#pragma unroll
    for (int i = 0; i < Packs; ++i) {
      if constexpr (Kernel::kIsShared && !Kernel::kIsCopied && IsFirstPass) kept(n + i) = reads[i];
      Kernel::value(arguments, row, col_of(n + i), reads[i], v[i]);
    }
  }

  __device__ __forceinline__ void gather() {
#pragma unroll
    for (int r = 0; r < kRows; ++r) states[r] = Kind::nothing();
    each([&](int64_t n, auto packs) {
      constexpr int kPacks = decltype(packs)::value;
      float v[kPacks][kVector];
      values<true>(n, v);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float elements[kPacks * kLanes];
#pragma unroll
        for (int i = 0; i < kPacks; ++i) {
#pragma unroll
          for (int lane = 0; lane < kLanes; ++lane) {
            elements[i * kLanes + lane] = v[i][r * kLanes + lane];
          }
        }
        Kind::add(states[r], elements);
      }
    });
  }

  /// The rows are known now. `Sharing`: see OwnRows.
  template <class Sharing>
  __device__ __forceinline__ void combine() {
    Sharing::combine(states, [](const State& a, const State& b) { return Kind::merge(a, b); });
#pragma unroll
    for (int r = 0; r < kRows; ++r) Kind::template close<Kernel>(states[r], arguments.cols);
  }

  __device__ __forceinline__ void finish() const {
    each([&](int64_t n, auto packs) {
      constexpr int kPacks = decltype(packs)::value;
      float v[kPacks][kVector];
      values<false>(n, v);
#pragma unroll
      for (int i = 0; i < kPacks; ++i) {
        float y[kVector];
#pragma unroll
        for (int lane = 0; lane < kVector; ++lane) {
          y[lane] = Kind::make(states[row_of<Kernel>(lane)], v[i][lane]);
        }
        Kernel::epilogue(arguments, row, col_of(n + i), v[i], y);
      }
    });
  }
};

/// Blocks that have their rows to themselves: `part` of the packs of a row is what a block has of them,
/// `has_singles` whether it has what is before and behind them, `bring` what is done before `rows` are
/// looked at, and `combine` makes of what its threads know of their rows what is known of the whole rows.
template <class Kernel>
struct OwnRows {
  static __device__ __forceinline__ WholePacks part(const WholePacks& whole) { return whole; }
  static __device__ __forceinline__ bool has_singles() { return true; }
  template <class Rows>
  static __device__ __forceinline__ void bring(const Rows&) {}
  template <class State, int Count, class Combine>
  static __device__ __forceinline__ void combine(State (&states)[Count], const Combine& combine) {
    TeamOf<Kernel>::combine(states, combine);
  }
};

template <class Kernel, class Kind, class Sharing = OwnRows<Kernel>>
__device__ __forceinline__ void streamed_rows(const typename Kernel::Arguments& arguments,
                                              int64_t row, bool is_row) {
  using Index = typename Kernel::Index;
  const auto whole = WholePacks::of<Kernel>(arguments, row);
  StreamedRows<Kernel, Kind> rows{arguments, static_cast<Index>(row), Sharing::part(whole), {}};
  if constexpr (Kernel::kIsShifted) {
    using Single = typename Kernel::Single;
    const int64_t col =
        Sharing::has_singles() ? whole.template single<Kernel>(arguments.cols) : -1;
    const auto at = static_cast<Index>(col < 0 ? 0 : col);
    float v[1], y[1];
    Single::value(arguments, rows.row, at, Single::read(arguments, rows.row, at), v);
    Sharing::bring(rows);
    rows.gather();
    if (col >= 0) Kind::add(rows.states[0], v);
    rows.template combine<Sharing>();
    if (!is_row) return;
    y[0] = Kind::make(rows.states[0], v[0]);
    if (col >= 0) Single::epilogue(arguments, rows.row, at, v, y);
  } else {
    Sharing::bring(rows);
    rows.gather();
    rows.template combine<Sharing>();
    if (!is_row) return;
  }
  rows.finish();
}

/// `Kernel` is generated: `Index`, `Arguments` (pointers, extents, `rows` and `cols`), the constants
/// `kVector`, `kTeam`, `kRows`, `kAcross`, `kItems` (packs of a row that a thread keeps; 0: none),
/// `kIsShared` (it keeps them in shared memory, not in registers), `kIsCopied` (they are there before
/// they are looked at), `kIsFull` (all threads have as many as they keep), `kIsShifted` and `kEps`, and
/// for the `kVector` elements from (row, col) on, along the row or across rows: `Reads`, what
/// `read(arguments, row, col)` gives, `value(arguments, row, col, reads, v)` and
/// `epilogue(arguments, row, col, v, y)`. If rows are shifted, `before_packs(arguments, row)` elements
/// come before the first pack, and `Single` has these functions of one element.
template <class Kernel, class Kind>
__global__ void __launch_bounds__(Kernel::kTeam* Kernel::kRows)
    rowwise(const __grid_constant__ typename Kernel::Arguments arguments) {
  wait_for_inputs();
  let_next_start();
  const int64_t first = first_row<Kernel>(arguments);
  const bool is_row = first < arguments.rows;
  // The last teams of the last block may have no row: they go along and store nothing.
  const int64_t row = is_row ? first : 0;
  if constexpr (Kernel::kItems > 0 && !Kernel::kIsShared) {
    kept_rows<Kernel, Kind>(arguments, row, is_row);
  } else {
    streamed_rows<Kernel, Kind>(arguments, row, is_row);
  }
}

template <class Kernel, class Kind>
ait::Status run_rowwise(const ait::Launch& launch, const typename Kernel::Arguments& arguments) {
  if (arguments.rows <= 0 || arguments.cols <= 0) return ait::ok();
  return run_rows<Kernel>(launch, rowwise<Kernel, Kind>, arguments,
                          StreamedRows<Kernel, Kind>::kSharedBytes);
}

}  // namespace ait::gpu
