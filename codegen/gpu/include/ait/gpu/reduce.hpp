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

/// The first of the largest elements; NaN is largest.
template <class T>
struct Argmax {
  struct State {
    int64_t index;
    T value;
  };
  using Result = int64_t;

  // Where no element exceeds the lowest value, all are that, and the first of them is element 0.
  static __device__ __forceinline__ State nothing() { return {0, lowest_value<T>()}; }
  static __device__ __forceinline__ int64_t result(const State& state) { return state.index; }

  static __device__ __forceinline__ bool exceeds(T a, T b) {
    return a > b || (a != a && b == b);
  }
  /// Few runs have a new largest element: only then is it worth to know which one it is.
  template <int Packs, int Lanes>
  static __device__ __forceinline__ void add(State& state, const Run<T, Packs, Lanes>& run) {
    T largest = lowest_value<T>();
#pragma unroll
    for (int i = 0; i < Packs; ++i) {
#pragma unroll
      for (int lane = 0; lane < Lanes; ++lane) {
        largest = run.is_held[i] ? ait::maximum(largest, run.value[i][lane]) : largest;
      }
    }
    if (!exceeds(largest, state.value)) return;
    int found = 0;  // the element of the run: its place in the row is computed once
#pragma unroll
    for (int i = Packs - 1; i >= 0; --i) {
#pragma unroll
      for (int lane = Lanes - 1; lane >= 0; --lane) {
        // NaN is there only if it is the largest.
        const T value = run.value[i][lane];
        const bool is_it = run.is_held[i] && (value == largest || value != value);
        found = is_it ? i * Lanes + lane : found;
      }
    }
    state.value = largest;
    state.index = run.first + found / Lanes * run.step + found % Lanes;
  }
  __device__ __forceinline__ State operator()(const State& a, const State& b) const {
    const bool is_a = exceeds(a.value, b.value) ||
                      (!exceeds(b.value, a.value) && a.index < b.index);
    // Field by field: a choice between whole structs goes through memory.
    return {is_a ? a.index : b.index, is_a ? a.value : b.value};
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
  for (int64_t n = 0; whole.begin + element_of<Kernel>(n) < whole.end; n += kRun) {
    typename Kernel::Value values[kRun][kVector];
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      // No branch around the loads, so that all are under way before the first is waited for.
      const int64_t red = whole.begin + element_of<Kernel>(n + i);
      Kernel::prologue(arguments, row, static_cast<Index>(red < whole.end ? red : whole.begin),
                       values[i]);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      Run<typename Kernel::Value, kRun, kLanes> run;
      run.first = whole.begin + element_of<Kernel>(n);
      run.step = element_of<Kernel>(n + 1) - element_of<Kernel>(n);
#pragma unroll
      for (int i = 0; i < kRun; ++i) {
        run.is_held[i] = run.first + i * run.step < whole.end;
#pragma unroll
        for (int lane = 0; lane < kLanes; ++lane) run.value[i][lane] = values[i][r * kLanes + lane];
      }
      Kind::add(states[r], run);
    }
  }
  if constexpr (Kernel::kIsShifted) {
    if (single >= whole.begin) add_single<Kernel, Kind>(arguments, row, single, states[0]);
  }
  TeamOf<Kernel>::combine(states, combine);
  if (!is_row || TeamOf<Kernel>::rank() != 0) return;
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
