// The inner loops of matrix products: register tiles, and packing of operands for them.
//
// All accumulate in float. The left operand is always rows of floats that are contiguous along k,
// so that it can often be used where it lies; the right operand is panels of kPanel columns, one
// row of a panel per k.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "ait/axis.hpp"
#include "ait/simd.hpp"

namespace ait::tile {

// Accumulators of a tile: 12 of 16 registers (x86-64 to v3), 24 of 32 (AVX-512, NEON).
#if AIT_VECTOR_BYTES == 64
inline constexpr int kRows = 12;
inline constexpr int kVectors = 2;
#elif defined(__aarch64__)
inline constexpr int kRows = 6;
inline constexpr int kVectors = 4;
#else
inline constexpr int kRows = 6;
inline constexpr int kVectors = 2;
#endif

/// Columns of a panel of the right operand.
inline constexpr int kPanel = kVectors * kLanes;

struct Panel {
  const float* data;   // row k begins at data + k * step
  std::int64_t step;
};

/// Fetches a piece of a matrix into the cache, a few lines at a time, while the piece
/// before it is being multiplied. The piece is `count` strips of `bytes` each, strip i at `strip(i)`,
/// and is complete after `turns` calls.
template <typename Strip>
class Prefetch {
 public:
  Prefetch(std::int64_t count, std::int64_t bytes, std::int64_t turns, const Strip& strip)
      : strip_(strip), count_(count), lines_(ceil_div(bytes, kLine)) {
    per_turn_ = ceil_div(count_ * lines_, turns);
  }

  void operator()() {
    for (std::int64_t i = 0; i < per_turn_ && at_ < count_; ++i) {
      if (line_ == 0) from_ = reinterpret_cast<const char*>(strip_(at_));
      __builtin_prefetch(from_ + line_ * kLine, 0, 3);
      if (++line_ < lines_) continue;
      line_ = 0;
      ++at_;
    }
  }

 private:
  static constexpr std::int64_t kLine = 64;

  const Strip& strip_;
  std::int64_t count_, lines_, per_turn_;
  std::int64_t at_ = 0, line_ = 0;
  const char* from_ = nullptr;
};

// ---------------------------------------------------------------------------------------------
// c[Rows, kPanel] (+)= a[Rows, depth] * panel[depth, kPanel]

// A function of its own: among a caller's variables, pointers to rows would not stay in registers.
template <int Rows>
__attribute__((noinline)) void multiply(const float* const* a, Panel panel, std::int64_t depth, float* c,
                     std::int64_t c_step, bool accumulate) {
  Vector sum[Rows][kVectors];
  AIT_UNROLL
  for (int i = 0; i < Rows; ++i) {
    AIT_UNROLL
    for (int j = 0; j < kVectors; ++j) {
      sum[i][j] = accumulate ? load_vector(c + i * c_step + j * kLanes) : Vector{};
    }
  }
  const float* row[Rows];
  AIT_UNROLL
  for (int i = 0; i < Rows; ++i) row[i] = a[i];
  const float* b = panel.data;
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector right[kVectors];
    AIT_UNROLL
    for (int j = 0; j < kVectors; ++j) right[j] = load_vector(b + j * kLanes);
    AIT_UNROLL
    for (int i = 0; i < Rows; ++i) {
      const Vector left = splat(row[i][k]);
      AIT_UNROLL
      for (int j = 0; j < kVectors; ++j) sum[i][j] = left * right[j] + sum[i][j];
    }
    b += panel.step;
  }
  AIT_UNROLL
  for (int i = 0; i < Rows; ++i) {
    AIT_UNROLL
    for (int j = 0; j < kVectors; ++j) store_vector(c + i * c_step + j * kLanes, sum[i][j]);
  }
}

namespace detail {

using Multiply = void (*)(const float* const*, Panel, std::int64_t, float*, std::int64_t, bool);

template <int... Rows>
constexpr auto multiply_table(std::integer_sequence<int, Rows...>) {
  struct Table {
    Multiply of[sizeof...(Rows)];
  };
  return Table{{&multiply<Rows + 1>...}};
}

inline constexpr auto kMultiply = multiply_table(std::make_integer_sequence<int, kRows>{});

}  // namespace detail

/// c[rows, kPanel] (+)= a * panel, for any number of rows. `between()` is called before each tile:
/// time to fetch what comes next.
template <typename Between>
inline void multiply_rows(const float* const* a, std::int64_t rows, Panel panel,
                          std::int64_t depth, float* c, std::int64_t c_step, bool accumulate,
                          Between&& between) {
  std::int64_t i = 0;
  for (; i + kRows <= rows; i += kRows) {
    between();
    multiply<kRows>(a + i, panel, depth, c + i * c_step, c_step, accumulate);
  }
  if (i < rows) {
    between();
    detail::kMultiply.of[rows - i - 1](a + i, panel, depth, c + i * c_step, c_step, accumulate);
  }
}

/// c[rows, panels * kPanel] (+)= a * panels
inline void multiply_block(const float* const* a, std::int64_t rows, const Panel* panels,
                           std::int64_t panel_count, std::int64_t depth, float* c,
                           std::int64_t c_step, bool accumulate) {
  for (std::int64_t j = 0; j < panel_count; ++j) {
    multiply_rows(a, rows, panels[j], depth, c + j * kPanel, c_step, accumulate, [] {});
  }
}

// ---------------------------------------------------------------------------------------------
// Dot products: both operands contiguous along k, nothing packed.

/// c[Rows, Columns] = a[Rows, depth] * b[Columns, depth]^T; fetches `next` columns if there are any.
template <int Rows, int Columns, bool kFetches, typename T>
inline void dot(const float* const* a, const T* const* b, [[maybe_unused]] const T* const* next,
                std::int64_t depth, float* c, std::int64_t c_step) {
  Vector sum[Rows][Columns];
  AIT_UNROLL
  for (int i = 0; i < Rows; ++i) {
    AIT_UNROLL
    for (int j = 0; j < Columns; ++j) sum[i][j] = Vector{};
  }
  std::int64_t k = 0;
  for (; k + kLanes <= depth; k += kLanes) {
    Vector right[Columns];
    AIT_UNROLL
    for (int j = 0; j < Columns; ++j) right[j] = load_vector(b[j] + k);
    if constexpr (kFetches) {
      AIT_UNROLL
      for (int j = 0; j < Columns; ++j) __builtin_prefetch(next[j] + k);
    }
    AIT_UNROLL
    for (int i = 0; i < Rows; ++i) {
      const Vector left = load_vector(a[i] + k);
      AIT_UNROLL
      for (int j = 0; j < Columns; ++j) sum[i][j] = left * right[j] + sum[i][j];
    }
  }
  AIT_UNROLL
  for (int i = 0; i < Rows; ++i) {
    AIT_UNROLL
    for (int j = 0; j < Columns; ++j) {
      float total = sum_lanes(sum[i][j]);
      for (std::int64_t rest = k; rest < depth; ++rest) {
        total += a[i][rest] * load<float>(b[j], rest);
      }
      c[i * c_step + j] = total;
    }
  }
}

namespace detail {

inline constexpr int kDotRows = 4;

/// All rows against Columns columns, which stay in the first cache; the next ones are fetched
/// meanwhile: columns are too short for the hardware to notice that they will be read.
template <int Columns, typename T>
inline void dot_columns(const float* const* a, std::int64_t rows, const T* const* b,
                        const T* const* next, std::int64_t depth, float* c, std::int64_t c_step) {
  const auto column = [next](std::int64_t j) { return next[j]; };
  const auto bytes = depth * static_cast<std::int64_t>(sizeof(T));
  Prefetch fetch(next == b ? 0 : Columns, bytes, rows / kDotRows, column);
  std::int64_t i = 0;
  for (; i + kDotRows <= rows; i += kDotRows) {
    fetch();
    dot<kDotRows, Columns, false>(a + i, b, next, depth, c + i * c_step, c_step);
  }
  for (; i < rows; ++i) dot<1, Columns, false>(a + i, b, next, depth, c + i * c_step, c_step);
}

template <int Rows, int Columns, bool kFetches, typename T>
inline void dot_row(const float* const* a, const T* const* b, std::int64_t columns,
                    std::int64_t depth, float* c, std::int64_t c_step) {
  std::int64_t j = 0;
  for (; j + Columns <= columns; j += Columns) {
    const std::int64_t next = std::min(j + Columns, columns - Columns);
    dot<Rows, Columns, kFetches>(a, b + j, b + next, depth, c + j, c_step);
  }
  for (; j < columns; ++j) dot<Rows, 1, false>(a, b + j, b, depth, c + j, c_step);
}

/// Fewer rows than a tile has leave registers for more columns: enough sums to hide the latency.
/// Fetching ahead pays between one row, which only loads, and columns too long for the cache.
template <int Rows, typename T>
inline void dot_few(const float* const* a, const T* const* b, std::int64_t columns,
                    std::int64_t depth, float* c, std::int64_t c_step) {
  constexpr std::int64_t kShort = 16 * 1024;
  if constexpr (Rows == 1) {
    dot_row<1, 8, false>(a, b, columns, depth, c, c_step);
  } else if (4 * depth * static_cast<std::int64_t>(sizeof(T)) <= kShort) {
    dot_row<Rows, 4, true>(a, b, columns, depth, c, c_step);
  } else {
    dot_row<Rows, 4, false>(a, b, columns, depth, c, c_step);
  }
}

}  // namespace detail

/// c[rows, columns] = a[rows, depth] * b[columns, depth]^T
template <typename T>
inline void dot_block(const float* const* a, std::int64_t rows, const T* const* b,
                      std::int64_t columns, std::int64_t depth, float* c, std::int64_t c_step) {
  switch (rows) {
    case 1: detail::dot_few<1>(a, b, columns, depth, c, c_step); return;
    case 2: detail::dot_few<2>(a, b, columns, depth, c, c_step); return;
    case 3: detail::dot_few<3>(a, b, columns, depth, c, c_step); return;
    default: break;
  }
  constexpr int kColumns = 3;
  std::int64_t j = 0;
  for (; j + kColumns <= columns; j += kColumns) {
    const std::int64_t next = std::min(j + kColumns, columns - kColumns);
    detail::dot_columns<kColumns>(a, rows, b + j, b + next, depth, c + j, c_step);
  }
  for (; j < columns; ++j) {
    detail::dot_columns<1>(a, rows, b + j, b + j, depth, c + j, c_step);
  }
}

// ---------------------------------------------------------------------------------------------
// Sums of scaled rows: few rows of a, b contiguous along n, nothing packed and b read once.

/// c[Rows, columns] += a[Rows, Depth] * b[Depth, columns]
template <int Rows, int Depth, typename T>
inline void add_scaled(const float* const* a, std::int64_t k, const T* b, std::int64_t b_step,
                       std::int64_t columns, float* c, std::int64_t c_step) {
  float scale[Rows][Depth];
  for (int i = 0; i < Rows; ++i) {
    for (int d = 0; d < Depth; ++d) scale[i][d] = a[i][k + d];
  }
  std::int64_t n = 0;
  for (; n + kLanes <= columns; n += kLanes) {
    Vector right[Depth];
    AIT_UNROLL
    for (int d = 0; d < Depth; ++d) right[d] = load_vector(b + d * b_step + n);
    AIT_UNROLL
    for (int i = 0; i < Rows; ++i) {
      Vector sum = load_vector(c + i * c_step + n);
      AIT_UNROLL
      for (int d = 0; d < Depth; ++d) sum = right[d] * scale[i][d] + sum;
      store_vector(c + i * c_step + n, sum);
    }
  }
  for (; n < columns; ++n) {
    for (int i = 0; i < Rows; ++i) {
      float sum = c[i * c_step + n];
      for (int d = 0; d < Depth; ++d) sum += load<float>(b, d * b_step + n) * scale[i][d];
      c[i * c_step + n] = sum;
    }
  }
}

/// Most rows for which `stream_block` is worth its while.
inline constexpr int kStreamRows = 4;

namespace detail {

template <int Rows, typename T>
inline void stream_rows(const float* const* a, const T* b, std::int64_t b_step, std::int64_t depth,
                        std::int64_t columns, float* c, std::int64_t c_step) {
  constexpr int kDepth = Rows <= 2 ? 4 : 2;
  std::int64_t k = 0;
  for (; k + kDepth <= depth; k += kDepth) {
    add_scaled<Rows, kDepth>(a, k, b + k * b_step, b_step, columns, c, c_step);
  }
  for (; k < depth; ++k) add_scaled<Rows, 1>(a, k, b + k * b_step, b_step, columns, c, c_step);
}

}  // namespace detail

/// c[rows, columns] += a[rows, depth] * b[depth, columns] for rows <= kStreamRows.
template <typename T>
inline void stream_block(const float* const* a, std::int64_t rows, const T* b, std::int64_t b_step,
                         std::int64_t depth, std::int64_t columns, float* c, std::int64_t c_step) {
  switch (rows) {
    case 1: detail::stream_rows<1>(a, b, b_step, depth, columns, c, c_step); break;
    case 2: detail::stream_rows<2>(a, b, b_step, depth, columns, c, c_step); break;
    case 3: detail::stream_rows<3>(a, b, b_step, depth, columns, c, c_step); break;
    case 4: detail::stream_rows<4>(a, b, b_step, depth, columns, c, c_step); break;
    default: break;
  }
}

// ---------------------------------------------------------------------------------------------
// Packing: conversion to float, any strides in.

namespace detail {

typedef float Quad __attribute__((vector_size(16)));
typedef float UnalignedQuad __attribute__((vector_size(16), aligned(4), may_alias));

AIT_INLINE Quad load_quad(const float* data) {
  return *reinterpret_cast<const UnalignedQuad*>(data);
}

template <typename T>
AIT_INLINE Quad load_quad(const T* data) {
  return Quad{load<float>(data, 0), load<float>(data, 1), load<float>(data, 2),
              load<float>(data, 3)};
}

AIT_INLINE void store_quad(float* data, Quad value) {
  *reinterpret_cast<UnalignedQuad*>(data) = value;
}

#if defined(__clang__)
#define AIT_SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef std::int32_t QuadIndex __attribute__((vector_size(16)));
#define AIT_SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, QuadIndex{i, j, k, l})
#endif

/// to[i, j] = from[j, i] for 4 x 4 elements; rows are `step` apart.
template <typename T>
AIT_INLINE void transpose_quad(const T* const from[4], float* to, std::int64_t to_step) {
  const Quad a = load_quad(from[0]), b = load_quad(from[1]);
  const Quad c = load_quad(from[2]), d = load_quad(from[3]);
  const Quad ab_low = AIT_SHUFFLE(a, b, 0, 4, 1, 5), ab_high = AIT_SHUFFLE(a, b, 2, 6, 3, 7);
  const Quad cd_low = AIT_SHUFFLE(c, d, 0, 4, 1, 5), cd_high = AIT_SHUFFLE(c, d, 2, 6, 3, 7);
  store_quad(to, AIT_SHUFFLE(ab_low, cd_low, 0, 1, 4, 5));
  store_quad(to + to_step, AIT_SHUFFLE(ab_low, cd_low, 2, 3, 6, 7));
  store_quad(to + 2 * to_step, AIT_SHUFFLE(ab_high, cd_high, 0, 1, 4, 5));
  store_quad(to + 3 * to_step, AIT_SHUFFLE(ab_high, cd_high, 2, 3, 6, 7));
}

#undef AIT_SHUFFLE

/// to[j * to_step + i] = from[i][j] for i < 4, j < count.
template <typename T>
inline void transpose_strip(const T* const from[4], std::int64_t count, float* to,
                            std::int64_t to_step) {
  std::int64_t j = 0;
  for (; j + 4 <= count; j += 4) {
    const T* const rows[4] = {from[0] + j, from[1] + j, from[2] + j, from[3] + j};
    transpose_quad(rows, to + j * to_step, to_step);
  }
  for (; j < count; ++j) {
    for (int i = 0; i < 4; ++i) to[j * to_step + i] = load<float>(from[i], j);
  }
}

}  // namespace detail

/// Rows of `left` [row, k] as contiguous floats: to[i * to_step + k] for i < rows, k < depth.
template <typename M>
inline void pack_rows(const M& left, std::int64_t batch, std::int64_t row0, std::int64_t rows,
                      std::int64_t k0, std::int64_t depth, float* to, std::int64_t to_step) {
  const auto* base = left.data + left.batch(batch);
  if (left.column.step() == 1) {
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto* from = base + left.row(row0 + i);
      for_runs(k0, depth, left.column.run(), [&](std::int64_t k, std::int64_t count) {
        load_row(from + left.column(k), count, to + i * to_step + (k - k0));
      });
    }
    return;
  }
  if (left.row.step() == 1) {
    std::int64_t k = 0;
    for (; k + 4 <= depth; k += 4) {
      const std::int64_t column[4] = {left.column(k0 + k), left.column(k0 + k + 1),
                                      left.column(k0 + k + 2), left.column(k0 + k + 3)};
      for_runs(row0, rows, left.row.run(), [&](std::int64_t row, std::int64_t count) {
        const auto* from = base + left.row(row);
        const typename M::Element* const columns[4] = {from + column[0], from + column[1],
                                                       from + column[2], from + column[3]};
        detail::transpose_strip(columns, count, to + (row - row0) * to_step + k, to_step);
      });
    }
    for (; k < depth; ++k) {
      const auto* from = base + left.column(k0 + k);
      for (std::int64_t i = 0; i < rows; ++i) {
        to[i * to_step + k] = load<float>(from, left.row(row0 + i));
      }
    }
    return;
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto* from = base + left.row(row0 + i);
    for (std::int64_t k = 0; k < depth; ++k) {
      to[i * to_step + k] = load<float>(from, left.column(k0 + k));
    }
  }
}

namespace detail {

/// Rows that are contiguous in memory, as in weights [N, K]: four columns at a time.
template <typename M>
inline void pack_quad_along_k(const M& right, const typename M::Element* base, std::int64_t k0,
                              std::int64_t depth, std::int64_t n, float* to) {
  const std::int64_t column[4] = {right.column(n), right.column(n + 1), right.column(n + 2),
                                  right.column(n + 3)};
  for_runs(k0, depth, right.row.run(), [&](std::int64_t k, std::int64_t count) {
    const auto* from = base + right.row(k);
    const typename M::Element* const rows[4] = {from + column[0], from + column[1],
                                                from + column[2], from + column[3]};
    transpose_strip(rows, count, to + (k - k0) * kPanel, kPanel);
  });
}

template <typename M>
inline void pack_column(const M& right, const typename M::Element* base, std::int64_t k0,
                        std::int64_t depth, std::int64_t n, float* to) {
  const std::int64_t step = right.row.step();
  for_runs(k0, depth, right.row.run(), [&](std::int64_t k, std::int64_t count) {
    const auto* from = base + right.column(n) + right.row(k);
    float* run = to + (k - k0) * kPanel;
    for (std::int64_t i = 0; i < count; ++i) run[i * kPanel] = load<float>(from, i * step);
  });
}

template <typename M>
inline void pack_panel(const M& right, const typename M::Element* base, std::int64_t k0,
                       std::int64_t depth, std::int64_t n, std::int64_t columns, float* to) {
  std::int64_t j = 0;
  if (right.row.step() == 1) {
    for (; j + 4 <= columns; j += 4) pack_quad_along_k(right, base, k0, depth, n + j, to + j);
  }
  for (; j < columns; ++j) pack_column(right, base, k0, depth, n + j, to + j);
  for (; j < kPanel; ++j) {
    for (std::int64_t k = 0; k < depth; ++k) to[k * kPanel + j] = 0.0f;
  }
}

}  // namespace detail

/// Columns [n, n + columns) of `right` [k, n] as panels `panel_step` floats apart; in each,
/// to[k * kPanel + j], zero where j is beyond the columns.
template <typename M>
inline void pack_panels(const M& right, std::int64_t batch, std::int64_t k0, std::int64_t depth,
                        std::int64_t n, std::int64_t columns, float* to, std::int64_t panel_step) {
  const auto* base = right.data + right.batch(batch);
  std::int64_t done = 0;
  if (right.column.step() == 1) {
    // Columns are contiguous, as in weights [K, N].
    const std::int64_t run = right.column.run();
    const std::int64_t reach = std::min(columns, run - n % run);
    for (; done + kPanel <= reach; done += kPanel) {
      const auto* from = base + right.column(n + done);
      float* panel = to + done / kPanel * panel_step;
      for (std::int64_t k = 0; k < depth; ++k) {
        const auto* row = from + right.row(k0 + k);
        AIT_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          store_vector(panel + k * kPanel + v * kLanes, load_vector(row + v * kLanes));
        }
      }
    }
  }
  for (; done < columns; done += kPanel) {
    detail::pack_panel(right, base, k0, depth, n + done,
                       std::min<std::int64_t>(kPanel, columns - done),
                       to + done / kPanel * panel_step);
  }
}

}  // namespace ait::tile
