// Reductions over some dims of a domain, between a generated prologue and a generated epilogue.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "ait/gpu/access.hpp"
#include "ait/gpu/team.hpp"

namespace ait::gpu {

// Kinds. `State` is what is known of a part, beginning with that of nothing; `of` is that of one
// value and the index of its element, `result` what the epilogue gets.

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
struct ValueKind {
  using State = Value<T>;
  using Result = T;
  static __device__ __forceinline__ State of(T value, int64_t) { return {value}; }
  static __device__ __forceinline__ T result(const State& state) { return state.value; }
};

template <class T>
struct Sum : ValueKind<T> {
  static __device__ __forceinline__ Value<T> nothing() { return {T(0)}; }
  __device__ __forceinline__ Value<T> operator()(Value<T> a, Value<T> b) const {
    return {ait::add(a.value, b.value)};
  }
};

template <class T>
struct Prod : ValueKind<T> {
  static __device__ __forceinline__ Value<T> nothing() { return {T(1)}; }
  __device__ __forceinline__ Value<T> operator()(Value<T> a, Value<T> b) const {
    return {ait::mul(a.value, b.value)};
  }
};

template <class T>
struct Max : ValueKind<T> {
  static __device__ __forceinline__ Value<T> nothing() { return {lowest_value<T>()}; }
  __device__ __forceinline__ Value<T> operator()(Value<T> a, Value<T> b) const {
    return {ait::maximum(a.value, b.value)};
  }
};

template <class T>
struct Min : ValueKind<T> {
  static __device__ __forceinline__ Value<T> nothing() { return {highest_value<T>()}; }
  __device__ __forceinline__ Value<T> operator()(Value<T> a, Value<T> b) const {
    return {ait::minimum(a.value, b.value)};
  }
};

/// The first of the largest elements; NaN is largest.
template <class T>
struct Argmax {
  struct State {
    int64_t index;  // -1: of no element
    T value;
  };
  using Result = int64_t;

  static __device__ __forceinline__ State nothing() { return {-1, T(0)}; }
  static __device__ __forceinline__ State of(T value, int64_t index) { return {index, value}; }
  static __device__ __forceinline__ int64_t result(const State& state) {
    return state.index < 0 ? 0 : state.index;
  }

  static __device__ __forceinline__ bool exceeds(T a, T b) {
    return a > b || (a != a && b == b);
  }
  __device__ __forceinline__ State operator()(const State& a, const State& b) const {
    const bool is_tie = !exceeds(a.value, b.value) && !exceeds(b.value, a.value);
    const bool is_a = a.index < 0   ? false
                      : b.index < 0 ? true
                      : is_tie      ? a.index < b.index
                                    : exceeds(a.value, b.value);
    // Field by field: a choice between whole structs goes through memory.
    return {is_a ? a.index : b.index, is_a ? a.value : b.value};
  }
};

/// What a thread has seen of its rows: of floats, sums of `kRun` packs are added up, so that the
/// error does not grow with the length.
constexpr int kRun = 4;

/// `Kernel` is generated: as for `rowwise`, with `Value`, the type of what is combined, `keep` for a
/// row's index and `red` for an element's, and `epilogue(arguments, row, results)` for the rows of a
/// thread.
template <class Kernel, class Kind>
__global__ void __launch_bounds__(Kernel::kTeam* Kernel::kRows)
    reduce(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Index = typename Kernel::Index;
  using State = typename Kind::State;
  constexpr int kRows = kRowsPerThread<Kernel>, kVector = Kernel::kVector;
  wait_for_inputs();
  let_next_start();
  const int64_t first = first_row<Kernel>();
  const bool is_row = first < arguments.rows;
  const Index row = static_cast<Index>(is_row ? first : 0);
  const Kind combine{};
  State states[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) states[r] = Kind::nothing();
  for (int64_t n = 0; element_of<Kernel>(n) < arguments.cols; n += kRun) {
    typename Kernel::Value values[kRun][kVector];
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      // No branch around the loads, so that all are under way before the first is waited for.
      const int64_t red = element_of<Kernel>(n + i);
      Kernel::prologue(arguments, row, static_cast<Index>(red < arguments.cols ? red : 0),
                       values[i]);
    }
    State parts[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) parts[r] = Kind::nothing();
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      const int64_t red = element_of<Kernel>(n + i);
      const bool is_held = red < arguments.cols;
#pragma unroll
      for (int lane = 0; lane < kVector; ++lane) {
        const int r = row_of<Kernel>(lane);
        const State next = combine(
            parts[r], Kind::of(values[i][lane], Kernel::kAcross ? red : red + lane));
        parts[r] = is_held ? next : parts[r];
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) states[r] = combine(states[r], parts[r]);
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
