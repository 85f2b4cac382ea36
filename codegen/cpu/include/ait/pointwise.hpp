// Loops over n-dimensional domains in parallel, the innermost dim as a plain loop of generated code.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/axis.hpp"
#include "ait/launch.hpp"

namespace ait {

namespace pointwise_detail {

/// Elements that one thread should at least have.
inline constexpr std::int64_t kGrain = 16384;

/// The row-major index of `linear` in a box of R sizes.
template <int R>
AIT_INLINE void unravel(std::int64_t linear, const std::int64_t* sizes, std::int64_t* index) {
  for (int d = R - 1; d >= 0; --d) {
    index[d] = linear % sizes[d];
    linear /= sizes[d];
  }
}

template <int R>
AIT_INLINE void advance(const std::int64_t* sizes, std::int64_t* index) {
  for (int d = R - 1; d >= 0; --d) {
    if (++index[d] < sizes[d]) return;
    index[d] = 0;
  }
}

}  // namespace pointwise_detail

/// The outer dims of a domain, the last one fastest.
template <int R>
struct Outer {
  std::int64_t sizes[R > 0 ? R : 1];

  std::int64_t count() const {
    std::int64_t product = 1;
    for (int d = 0; d < R; ++d) product *= sizes[d];
    return product;
  }
};

/// Calls `body(index, begin, end)` for rows of a domain, or pieces of long ones: `index` is an array
/// of R outer indices, [begin, end) the range of the inner dim. `cost` is the work of an element,
/// 1 for an addition.
template <int R, typename Body>
inline void for_each_row(const Launch& launch, const Outer<R>& outer, std::int64_t inner,
                         std::int64_t cost, const Body& body) {
  const std::int64_t rows = outer.count();
  if (rows <= 0 || inner <= 0) return;
  const std::int64_t grain = std::max<std::int64_t>(pointwise_detail::kGrain / cost, 256);
  if (inner >= 2 * grain) {
    const std::int64_t pieces = ceil_div(inner, grain);
    parallel_for(launch, rows * pieces, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t task = first; task < last; ++task) {
        std::int64_t index[R > 0 ? R : 1] = {};
        pointwise_detail::unravel<R>(task / pieces, outer.sizes, index);
        const std::int64_t begin = task % pieces * grain;
        body(index, begin, std::min(inner, begin + grain));
      }
    });
    return;
  }
  parallel_for(launch, rows, ceil_div(grain, inner), [&](std::int64_t first, std::int64_t last) {
    std::int64_t index[R > 0 ? R : 1] = {};
    pointwise_detail::unravel<R>(first, outer.sizes, index);
    for (std::int64_t r = first; r < last; ++r) {
      body(index, std::int64_t{0}, inner);
      pointwise_detail::advance<R>(outer.sizes, index);
    }
  });
}

/// As for_each_row, for domains whose operands are contiguous along different dims: the inner dim is
/// cut into short pieces and the *last outer* dim runs inside, so that both stay in the cache.
template <int R, typename Body>
inline void for_each_tile(const Launch& launch, const Outer<R>& outer, std::int64_t inner,
                          std::int64_t cost, const Body& body) {
  static_assert(R >= 1, "a tile needs two dims");
  constexpr std::int64_t kPiece = 32;
  if (outer.count() <= 0 || inner <= 0) return;
  const std::int64_t across = outer.sizes[R - 1];
  const std::int64_t pieces = ceil_div(inner, kPiece);
  const std::int64_t grain = ceil_div(pointwise_detail::kGrain, cost * across * kPiece);
  const std::int64_t tasks = outer.count() / across * pieces;
  parallel_for(launch, tasks, grain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task) {
      std::int64_t index[R] = {};
      pointwise_detail::unravel<R - 1>(task / pieces, outer.sizes, index);
      const std::int64_t begin = task % pieces * kPiece;
      const std::int64_t end = std::min(inner, begin + kPiece);
      for (index[R - 1] = 0; index[R - 1] < across; ++index[R - 1]) body(index, begin, end);
    }
  });
}

}  // namespace ait
