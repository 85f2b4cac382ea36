// How an index of a group of dims turns into an offset, and how loops over such groups are cut.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "ait/scalar.hpp"

namespace ait {

/// A group of R dims seen as one: maps its linear (row-major) index to an offset in elements.
template <int R>
struct Axis {
  std::int64_t sizes[R];
  std::int64_t strides[R];

  AIT_INLINE std::int64_t operator()(std::int64_t index) const {
    std::int64_t offset = 0;
    for (int d = R - 1; d > 0; --d) {
      offset += index % sizes[d] * strides[d];
      index /= sizes[d];
    }
    return offset + index * strides[0];
  }

  /// Distance of neighbours within a run.
  AIT_INLINE std::int64_t step() const { return strides[R - 1]; }

  /// Indices from a multiple of this on are `step()` apart until the next multiple.
  AIT_INLINE std::int64_t run() const { return sizes[R - 1]; }
};

template <>
struct Axis<0> {
  AIT_INLINE std::int64_t operator()(std::int64_t) const { return 0; }
  AIT_INLINE std::int64_t step() const { return 0; }
  AIT_INLINE std::int64_t run() const { return std::numeric_limits<std::int64_t>::max(); }
};

template <>
struct Axis<1> {
  std::int64_t stride;

  AIT_INLINE std::int64_t operator()(std::int64_t index) const { return index * stride; }
  AIT_INLINE std::int64_t step() const { return stride; }
  AIT_INLINE std::int64_t run() const { return std::numeric_limits<std::int64_t>::max(); }
};

/// One dim whose elements are neighbours: what algorithms are chosen by at compile time.
struct UnitAxis {
  AIT_INLINE std::int64_t operator()(std::int64_t index) const { return index; }
  AIT_INLINE std::int64_t step() const { return 1; }
  AIT_INLINE std::int64_t run() const { return std::numeric_limits<std::int64_t>::max(); }
};

template <typename AnyAxis>
inline constexpr bool is_unit = std::is_same_v<AnyAxis, UnitAxis>;

/// `axis()`: one element; `unit_axis()`: one dim of neighbours; `axis(stride)`: one dim;
/// `axis<R>({sizes}, {strides})`: more.
AIT_INLINE Axis<0> axis() { return {}; }
AIT_INLINE UnitAxis unit_axis() { return {}; }
AIT_INLINE Axis<1> axis(std::int64_t stride) { return {stride}; }
template <int R>
AIT_INLINE Axis<R> axis(const std::int64_t (&sizes)[R], const std::int64_t (&strides)[R]) {
  Axis<R> result;
  for (int d = 0; d < R; ++d) {
    result.sizes[d] = sizes[d];
    result.strides[d] = strides[d];
  }
  return result;
}

/// Whether indices [0, count) are neighbours.
template <typename AnyAxis>
AIT_INLINE bool is_contiguous(const AnyAxis& axis, std::int64_t count) {
  return (axis.step() == 1 && axis.run() >= count) || count <= 1;
}

/// Calls `function(start, length)` for the pieces of [begin, begin + count) that do not cross a
/// multiple of `run`: inside one, the inner dim of an axis with that run advances by its step.
template <typename Function>
AIT_INLINE void for_runs(std::int64_t begin, std::int64_t count, std::int64_t run,
                         Function&& function) {
  for (const std::int64_t end = begin + count; begin < end;) {
    const std::int64_t length = std::min(end - begin, run - begin % run);
    function(begin, length);
    begin += length;
  }
}

/// A read-only operand of a product: element (b, r, c) is `data[batch(b) + row(r) + column(c)]`.
template <typename T, typename Batch, typename Row, typename Column>
struct Matrix {
  using Element = T;
  using RowAxis = Row;
  using ColumnAxis = Column;

  const T* data;
  Batch batch;
  Row row;
  Column column;

  /// The first element of a row.
  AIT_INLINE const T* row_at(std::int64_t b, std::int64_t r) const {
    return data + batch(b) + row(r);
  }

  /// Whether the first `columns` elements of every row are neighbours.
  AIT_INLINE bool has_contiguous_rows(std::int64_t columns) const {
    return is_contiguous(column, columns);
  }
};

template <typename T, typename Batch, typename Row, typename Column>
AIT_INLINE Matrix<T, Batch, Row, Column> matrix(const T* data, Batch batch, Row row,
                                                Column column) {
  return {data, batch, row, column};
}

AIT_INLINE std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
AIT_INLINE std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

}  // namespace ait
