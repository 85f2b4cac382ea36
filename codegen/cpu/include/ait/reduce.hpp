// Reductions over some dims of a domain, between a generated prologue and epilogue.
//
// Two orders: `reduce_rows` where the reduced dims are the contiguous ones, `reduce_columns` where a
// kept dim is. Both sum floats in short chains whose results are added in double, so the error does
// not grow with the length; the order of additions does not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "ait/axis.hpp"
#include "ait/launch.hpp"
#include "ait/row.hpp"
#include "ait/scratch.hpp"

namespace ait {

namespace reduce_detail {

template <typename T>
constexpr T lowest() {
  if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<T>::infinity();
  return std::numeric_limits<T>::lowest();
}

template <typename T>
constexpr T highest() {
  if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::infinity();
  return std::numeric_limits<T>::max();
}

inline constexpr std::int64_t kChunk = 1024;     // elements of a row at a time
inline constexpr std::int64_t kColumns = 256;    // columns at a time
inline constexpr std::int64_t kChain = 64;       // additions in float before one in double
inline constexpr std::int64_t kPart = 65536;     // elements of a row that are one task
inline constexpr std::int64_t kGrain = 16384;

}  // namespace reduce_detail

/// How values are combined. `Total` is the type in which results of chunks are combined.
struct Sum {
  template <typename T>
  using Total = std::conditional_t<std::is_floating_point_v<T>, double, T>;
  template <typename T>
  static constexpr T identity() { return T(0); }
  template <typename T>
  static AIT_INLINE T combine(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return a + b;
    else return add(a, b);
  }
};

struct Prod {
  template <typename T>
  using Total = T;
  template <typename T>
  static constexpr T identity() { return T(1); }
  template <typename T>
  static AIT_INLINE T combine(T a, T b) { return mul(a, b); }
};

struct Max {
  template <typename T>
  using Total = T;
  template <typename T>
  static constexpr T identity() { return reduce_detail::lowest<T>(); }
  template <typename T>
  static AIT_INLINE T combine(T a, T b) { return maximum(a, b); }
};

struct Min {
  template <typename T>
  using Total = T;
  template <typename T>
  static constexpr T identity() { return reduce_detail::highest<T>(); }
  template <typename T>
  static AIT_INLINE T combine(T a, T b) { return minimum(a, b); }
};

namespace reduce_detail {

/// One chunk of a row. Independent chains let it vectorise without reordering by the compiler.
template <typename Kind, typename T>
inline T fold_chunk(const T* v, std::int64_t count) {
  constexpr int kChains = 64 / sizeof(T) < 16 ? 16 : 64 / sizeof(T);
  T part[kChains];
  for (int j = 0; j < kChains; ++j) part[j] = Kind::template identity<T>();
  std::int64_t i = 0;
  for (; i + kChains <= count; i += kChains) {
    for (int j = 0; j < kChains; ++j) part[j] = Kind::combine(part[j], v[i + j]);
  }
  for (int j = 0; i < count; ++i, ++j) part[j] = Kind::combine(part[j], v[i]);
  for (int width = kChains / 2; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) part[j] = Kind::combine(part[j], part[j + width]);
  }
  return part[0];
}

/// [begin, end) of a row, in chunks that the prologue fills.
template <typename Kind, typename T, typename Prologue>
inline typename Kind::template Total<T> fold_range(const Prologue& prologue, std::int64_t keep,
                                                   std::int64_t begin, std::int64_t end) {
  using Total = typename Kind::template Total<T>;
  T chunk[kChunk];
  Total total = Kind::template identity<Total>();
  for (; begin < end; begin += kChunk) {
    const std::int64_t count = std::min(kChunk, end - begin);
    prologue(keep, begin, count, chunk);
    total = Kind::combine(total, static_cast<Total>(fold_chunk<Kind>(chunk, count)));
  }
  return total;
}

/// Few long rows: each is cut into parts, which are then combined in order.
template <typename Kind, typename T, typename Prologue, typename Epilogue>
inline void reduce_parts(const Launch& launch, std::int64_t keep, std::int64_t reduced,
                         const Prologue& prologue, const Epilogue& epilogue) {
  using Total = typename Kind::template Total<T>;
  const std::int64_t parts = ceil_div(reduced, kPart);
  std::vector<Total> totals(static_cast<std::size_t>(keep * parts));
  parallel_for(launch, keep * parts, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task) {
      const std::int64_t begin = task % parts * kPart;
      totals[static_cast<std::size_t>(task)] = fold_range<Kind, T>(
          prologue, task / parts, begin, std::min(reduced, begin + kPart));
    }
  });
  for (std::int64_t i = 0; i < keep; ++i) {
    Total total = Kind::template identity<Total>();
    for (std::int64_t part = 0; part < parts; ++part) {
      total = Kind::combine(total, totals[static_cast<std::size_t>(i * parts + part)]);
    }
    const T result = static_cast<T>(total);
    epilogue(i, std::int64_t{1}, &result);
  }
}

}  // namespace reduce_detail

/// For each kept index i: `prologue(i, begin, count, v)` writes elements [begin, begin + count) of
/// its row to v, and `epilogue(i, 1, &result)` takes the result.
template <typename Kind, typename T, typename Prologue, typename Epilogue>
inline void reduce_rows(const Launch& launch, std::int64_t keep, std::int64_t reduced,
                        const Prologue& prologue, const Epilogue& epilogue) {
  using namespace reduce_detail;
  constexpr std::int64_t kFewRows = 64;
  if (keep <= kFewRows && reduced >= 2 * kPart) {
    reduce_parts<Kind, T>(launch, keep, reduced, prologue, epilogue);
    return;
  }
  const std::int64_t grain = ceil_div(kGrain, std::max<std::int64_t>(reduced, 1));
  parallel_for(launch, keep, grain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const T result = static_cast<T>(fold_range<Kind, T>(prologue, i, 0, reduced));
      epilogue(i, std::int64_t{1}, &result);
    }
  });
}

namespace reduce_detail {

/// Calls `body(keep0, count)` for blocks of columns that do not cross a multiple of `run`.
template <typename Body>
inline void for_each_block(const Launch& launch, std::int64_t keep, std::int64_t run,
                           std::int64_t reduced, const Body& body) {
  if (keep <= 0) return;
  const std::int64_t blocks = ceil_div(run, kColumns);
  const std::int64_t width = std::min(kColumns, run);
  const std::int64_t grain = ceil_div(kGrain, width * std::max<std::int64_t>(reduced, 1));
  parallel_for(launch, keep / run * blocks, grain, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task) {
      const std::int64_t begin = task % blocks * kColumns;
      body(task / blocks * run + begin, std::min(kColumns, run - begin));
    }
  });
}

}  // namespace reduce_detail

/// For blocks of kept indices, `prologue(keep0, count, j, v)` writes element j of the reduced dims
/// for each of `count` kept indices from keep0 on, which are neighbours inside of a run of `run`
/// (the innermost kept dim); `epilogue(keep0, count, results)` takes the results.
template <typename Kind, typename T, typename Prologue, typename Epilogue>
inline void reduce_columns(const Launch& launch, std::int64_t keep, std::int64_t run,
                           std::int64_t reduced, const Prologue& prologue,
                           const Epilogue& epilogue) {
  using namespace reduce_detail;
  using Total = typename Kind::template Total<T>;
  for_each_block(launch, keep, run, reduced, [&](std::int64_t keep0, std::int64_t count) {
    T value[kColumns];
    T chain[kColumns];
    Total total[kColumns];
    for (std::int64_t i = 0; i < count; ++i) total[i] = Kind::template identity<Total>();
    for (std::int64_t begin = 0; begin < reduced; begin += kChain) {
      for (std::int64_t i = 0; i < count; ++i) chain[i] = Kind::template identity<T>();
      for (std::int64_t j = begin; j < std::min(reduced, begin + kChain); ++j) {
        prologue(keep0, count, j, value);
        for (std::int64_t i = 0; i < count; ++i) chain[i] = Kind::combine(chain[i], value[i]);
      }
      for (std::int64_t i = 0; i < count; ++i) {
        total[i] = Kind::combine(total[i], static_cast<Total>(chain[i]));
      }
    }
    for (std::int64_t i = 0; i < count; ++i) value[i] = static_cast<T>(total[i]);
    epilogue(keep0, count, static_cast<const T*>(value));
  });
}

namespace reduce_detail {

/// Whether `a` is larger than `b`, NaN being the largest.
template <typename T>
AIT_INLINE bool exceeds(T a, T b) {
  return a > b || (a != a && b == b);
}

}  // namespace reduce_detail

/// As reduce_rows; the result is the index of the first largest element, 0 of nothing.
template <typename T, typename Prologue, typename Epilogue>
inline void argmax_rows(const Launch& launch, std::int64_t keep, std::int64_t reduced,
                        const Prologue& prologue, const Epilogue& epilogue) {
  using namespace reduce_detail;
  const std::int64_t grain = ceil_div(kGrain, std::max<std::int64_t>(reduced, 1));
  parallel_for(launch, keep, grain, [&](std::int64_t first, std::int64_t last) {
    T chunk[kChunk];
    for (std::int64_t i = first; i < last; ++i) {
      T best{};
      std::int64_t where = 0;
      for (std::int64_t begin = 0; begin < reduced; begin += kChunk) {
        const std::int64_t count = std::min(kChunk, reduced - begin);
        prologue(i, begin, count, chunk);
        const T largest = fold_chunk<Max>(static_cast<const T*>(chunk), count);
        if (begin > 0 && !exceeds(largest, best)) continue;
        best = largest;
        std::int64_t j = 0;
        while (exceeds(largest, chunk[j])) ++j;
        where = begin + j;
      }
      epilogue(i, std::int64_t{1}, static_cast<const std::int64_t*>(&where));
    }
  });
}

/// As reduce_columns; the results are indices as of argmax_rows.
template <typename T, typename Prologue, typename Epilogue>
inline void argmax_columns(const Launch& launch, std::int64_t keep, std::int64_t run,
                           std::int64_t reduced, const Prologue& prologue,
                           const Epilogue& epilogue) {
  using namespace reduce_detail;
  for_each_block(launch, keep, run, reduced, [&](std::int64_t keep0, std::int64_t count) {
    T value[kColumns];
    T best[kColumns] = {};
    std::int64_t where[kColumns] = {};
    for (std::int64_t j = 0; j < reduced; ++j) {
      prologue(keep0, count, j, value);
      for (std::int64_t i = 0; i < count; ++i) {
        const bool better = j == 0 || exceeds(value[i], best[i]);
        best[i] = better ? value[i] : best[i];
        where[i] = better ? j : where[i];
      }
    }
    epilogue(keep0, count, static_cast<const std::int64_t*>(where));
  });
}

}  // namespace ait
