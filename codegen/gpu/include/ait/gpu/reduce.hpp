// Reductions over some dims of a domain, between a generated prologue and a generated epilogue.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "ait/gpu/access.hpp"
#include "ait/gpu/team.hpp"

namespace ait::gpu {

/// What a thread reads of a row at once: packs of elements, the first of them at `first`, each `step`
/// after the one before; those with `is_held[i]` count.
template <class T, int Packs, int Lanes>
struct Run {
  T value[Packs][Lanes];
  int64_t first, step;
  bool is_held[Packs];
};

// Kinds. `State` is what is known of a part, beginning with `nothing`; the call makes one of two
// parts, `add` extends one by elements, which come in order, and `result` is what the epilogue gets.
// If `kLocates`, `locate` is told the elements of the row's pack at the state's `index` before that.

template <class T>
constexpr T lowest_value() {
  if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<T>::infinity();
  return std::numeric_limits<T>::lowest();
}

template <class T>
constexpr T highest_value() {
  if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::infinity();
  return std::numeric_limits<T>::max();
}

template <class T>
struct Value {
  T value;
};

template <class T>
struct Sum {
  static __device__ __forceinline__ T start() { return T(0); }
  static __device__ __forceinline__ T apply(T a, T b) { return ait::add(a, b); }
};

template <class T>
struct Prod {
  static __device__ __forceinline__ T start() { return T(1); }
  static __device__ __forceinline__ T apply(T a, T b) { return ait::mul(a, b); }
};

template <class T>
struct Max {
  static __device__ __forceinline__ T start() { return lowest_value<T>(); }
  static __device__ __forceinline__ T apply(T a, T b) { return ait::maximum(a, b); }
};

template <class T>
struct Min {
  static __device__ __forceinline__ T start() { return highest_value<T>(); }
  static __device__ __forceinline__ T apply(T a, T b) { return ait::minimum(a, b); }
};

/// A kind that needs to know no more than one value.
template <class Operation, class T>
struct Fold {
  using State = Value<T>;
  using Result = T;
  static constexpr bool kLocates = false;
  static __device__ __forceinline__ State nothing() { return {Operation::start()}; }
  static __device__ __forceinline__ T result(const State& state) { return state.value; }
  /// Of floats, the sums of runs are added up, so that the error does not grow with the length.
  template <int Packs, int Lanes>
  static __device__ __forceinline__ void add(State& state, const Run<T, Packs, Lanes>& run) {
    T part = Operation::start();
#pragma unroll
    for (int i = 0; i < Packs; ++i) {
#pragma unroll
      for (int lane = 0; lane < Lanes; ++lane) {
        part = run.is_held[i] ? Operation::apply(part, run.value[i][lane]) : part;
      }
    }
    state.value = Operation::apply(state.value, part);
  }
  __device__ __forceinline__ State operator()(const State& a, const State& b) const {
    return {Operation::apply(a.value, b.value)};
  }
};

/// The first of the largest elements; NaN is largest. Until the end it is only known which pack has
/// it: `locate` looks there again.
template <class T, class Index>
struct Argmax {
  struct State {
    Index index;  // of the pack's first element
    T value;
  };
  using Result = int64_t;
  static constexpr bool kLocates = true;

  // Where no element exceeds the lowest value, all are that, and the first of them is element 0.
  static __device__ __forceinline__ State nothing() { return {0, lowest_value<T>()}; }
  static __device__ __forceinline__ int64_t result(const State& state) { return state.index; }

  // No branches, of which there would be one for each element: hence | and &.
  static __device__ __forceinline__ bool exceeds(T a, T b) {
    return (a > b) | ((a != a) & (b == b));
  }
  /// Whether a value is the largest one of those that it belongs to: NaN is there only if it is that.
  static __device__ __forceinline__ bool is_it(T value, T largest) {
    return (value == largest) | (value != value);
  }
  template <int Lanes>
  static __device__ __forceinline__ T largest_of(const T (&pack)[Lanes]) {
    T largest = pack[0];
#pragma unroll
    for (int lane = 1; lane < Lanes; ++lane) largest = ait::maximum(largest, pack[lane]);
    return largest;
  }

  template <int Packs, int Lanes>
  static __device__ __forceinline__ void add(State& state, const Run<T, Packs, Lanes>& run) {
#pragma unroll
    for (int i = 0; i < Packs; ++i) {
      const T largest = largest_of(run.value[i]);
      const bool is_new = run.is_held[i] & exceeds(largest, state.value);
      state.value = is_new ? largest : state.value;
      state.index = is_new ? static_cast<Index>(run.first + i * run.step) : state.index;
    }
  }
  /// Packs lie one behind the other: the first of those with equal values has the first element.
  __device__ __forceinline__ State operator()(const State& a, const State& b) const {
    const T largest = ait::maximum(a.value, b.value);
    const bool is_a = is_it(a.value, largest), is_b = is_it(b.value, largest);
    // Field by field: a choice between whole structs goes through memory.
    return {is_a & (!is_b | (a.index < b.index)) ? a.index : b.index, largest};
  }

  /// Makes of a pack's place that of its first element that is the largest one.
  template <int Lanes>
  static __device__ __forceinline__ void locate(State& state, const T (&pack)[Lanes]) {
    // Of the pack as it is here: code that computes elements may round otherwise than above.
    const T largest = largest_of(pack);
    int found = 0;
#pragma unroll
    for (int lane = Lanes - 1; lane >= 0; --lane) {
      found = is_it(pack[lane], largest) ? lane : found;
    }
    state.index += found;
  }
};

/// Packs of a run.
constexpr int kRun = 4;

/// Extends a state by the element at `at`; by none if that is negative.
template <class Kernel, class Kind>
__device__ __forceinline__ void add_single(const typename Kernel::Arguments& arguments,
                                           typename Kernel::Index row, int64_t at,
                                           typename Kind::State& state) {
  if (at < 0) return;
  Run<typename Kernel::Value, 1, 1> run;
  Kernel::Single::prologue(arguments, row, static_cast<typename Kernel::Index>(at), run.value[0]);
  run.first = at;
  run.step = 1;
  run.is_held[0] = true;
  Kind::add(state, run);
}

/// `Kernel` is generated: as for `rowwise`, with `Value`, the type of what is combined,
/// `prologue(arguments, row, col, values)`, and `epilogue(arguments, row, results)` for the rows of a
/// thread.
template <class Kernel, class Kind>
__global__ void __launch_bounds__(Kernel::kTeam* Kernel::kRows)
    reduce(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Index = typename Kernel::Index;
  using State = typename Kind::State;
  constexpr int kRows = kRowsPerThread<Kernel>, kVector = Kernel::kVector;
  wait_for_inputs();
  let_next_start();
  const int64_t first = first_row<Kernel>(arguments);
  const bool is_row = first < arguments.rows;
  const Index row = static_cast<Index>(is_row ? first : 0);
  const Kind combine{};
  State states[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) states[r] = Kind::nothing();
  constexpr int kLanes = kVector / kRows;  // of one row
  const auto whole = WholePacks::of<Kernel>(arguments, row);
  int64_t single = -1;
  if constexpr (Kernel::kIsShifted) {
    single = whole.template single<Kernel>(arguments.cols);
    // Elements come in order: those before the packs first.
    if (single < whole.begin) add_single<Kernel, Kind>(arguments, row, single, states[0]);
  }
  // Extends the states by the packs from the n-th on. `IsWhole`: there are as many as a run has.
  const auto add_run = [&](int64_t n, auto is_whole) {
    constexpr bool kIsWhole = decltype(is_whole)::value;
    const int64_t begin = whole.begin + element_of<Kernel>(n);
    const int64_t step = element_of<Kernel>(n + 1) - element_of<Kernel>(n);
    typename Kernel::Value values[kRun][kVector];
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      // No branch around the loads, so that all are under way before the first is waited for.
      const bool is_held = kIsWhole || begin + i * step < whole.end;
      const Index red = static_cast<Index>(begin) + i * static_cast<Index>(step);
      Kernel::prologue(arguments, row, is_held ? red : static_cast<Index>(whole.begin), values[i]);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      Run<typename Kernel::Value, kRun, kLanes> run;
      run.first = begin;
      run.step = step;
#pragma unroll
      for (int i = 0; i < kRun; ++i) {
        run.is_held[i] = kIsWhole || begin + i * step < whole.end;
#pragma unroll
        for (int lane = 0; lane < kLanes; ++lane) run.value[i][lane] = values[i][r * kLanes + lane];
      }
      Kind::add(states[r], run);
    }
  };
  int64_t n = 0;
  for (; whole.begin + element_of<Kernel>(n + kRun - 1) < whole.end; n += kRun) {
    add_run(n, std::true_type{});
  }
  if (whole.begin + element_of<Kernel>(n) < whole.end) add_run(n, std::false_type{});
  if constexpr (Kernel::kIsShifted) {
    if (single >= whole.begin) add_single<Kernel, Kind>(arguments, row, single, states[0]);
  }
  TeamOf<Kernel>::combine(states, combine);
  if (!is_row || TeamOf<Kernel>::rank() != 0) return;
  if constexpr (Kind::kLocates && kLanes > 1) {
    // A single element's place, or that of none, is known.
    if (whole.begin <= states[0].index && states[0].index < whole.end) {
      typename Kernel::Value pack[kVector];
      Kernel::prologue(arguments, row, states[0].index, pack);
      Kind::locate(states[0], pack);
    }
  }
  typename Kind::Result results[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) results[r] = Kind::result(states[r]);
  Kernel::epilogue(arguments, row, results);
}

template <class Kernel, class Kind>
ait::Status run_reduce(const ait::Launch& launch, const typename Kernel::Arguments& arguments) {
  if (arguments.rows <= 0) return ait::ok();
  return run_rows<Kernel>(launch, reduce<Kernel, Kind>, arguments);
}

}  // namespace ait::gpu
