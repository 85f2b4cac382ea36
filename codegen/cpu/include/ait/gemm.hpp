// Matrix products with any operand layout and a fused epilogue.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "ait/axis.hpp"
#include "ait/launch.hpp"
#include "ait/scratch.hpp"
#include "ait/tile.hpp"

namespace ait {

struct GemmShape {
  std::int64_t batch;
  std::int64_t m;
  std::int64_t n;
  std::int64_t k;
};

/// How a product is computed. `automatic` chooses among the others by shape and strides. `dot` needs
/// a UnitAxis along the rows of b, `stream` one along its columns; without it they mean `blocked`.
enum class GemmPath {
  automatic,
  blocked,  // tiles of packed panels
  dot,      // both operands contiguous along k, nothing packed: few rows or few columns
  stream,   // at most tile::kStreamRows rows, b contiguous along n and read once
};

struct GemmTile {
  std::int64_t tile_m = 96;
  std::int64_t tile_n = 256;  // of all right factors together
  std::int64_t tile_k = 256;
};

namespace gemm_detail {

using tile::pack_rows;

/// Packed panels of one block of columns are kept for the next block of rows up to this size.
inline constexpr std::int64_t kKeptFloats = 256 * 1024;

/// Rows up to which reading [N, K] weights in place beats transposing them.
inline constexpr std::int64_t kDotRows = 48;
inline constexpr std::int64_t kConvertingDotRows = 8;  // which converts weights for every 4 rows
inline constexpr std::int64_t kDotDepth = 128;         // below it adding up the lanes costs too much

inline constexpr std::int64_t kRowPadding = 16;  // floats between packed rows, against aliasing

/// The right factors of products that share a left one.
template <typename... Bs>
class Rights {
 public:
  static constexpr int kCount = sizeof...(Bs);

  explicit Rights(const Bs&... factors) : factors_(factors...) {}

  /// Calls `function(i, factor)` for each of them.
  template <typename Function>
  AIT_INLINE void each(Function&& function) const {
    each(function, kIndices);
  }

  /// Calls the epilogue for one piece of a row; the sums of factor i begin at `sums + i * step`.
  template <typename Epilogue>
  AIT_INLINE static void finish(const Epilogue& epilogue, std::int64_t batch, std::int64_t m,
                                std::int64_t n0, std::int64_t count, const float* sums,
                                std::int64_t step) {
    finish(epilogue, batch, m, n0, count, sums, step, kIndices);
  }

 private:
  using Indices = std::index_sequence_for<Bs...>;
  static constexpr Indices kIndices{};

  template <typename Function, std::size_t... I>
  AIT_INLINE void each(Function& function, std::index_sequence<I...>) const {
    (function(static_cast<std::int64_t>(I), std::get<I>(factors_)), ...);
  }

  template <typename Epilogue, std::size_t... I>
  AIT_INLINE static void finish(const Epilogue& epilogue, std::int64_t batch, std::int64_t m,
                                std::int64_t n0, std::int64_t count, const float* sums,
                                std::int64_t step, std::index_sequence<I...>) {
    epilogue(batch, m, n0, count, (sums + static_cast<std::int64_t>(I) * step)...);
  }

  std::tuple<const Bs&...> factors_;
};

/// The cut of the result into tasks; each multiplies by as many columns of each of `rights` factors.
struct Blocks {
  std::int64_t m_size, n_size;
  std::int64_t m_count, n_count;

  Blocks(const GemmShape& shape, const GemmTile& config, int threads, int rights) {
    m_size = balanced(shape.m, config.tile_m, tile::kRows);
    n_size = balanced(shape.n, config.tile_n / rights, tile::kPanel);
    count(shape);
    // Few tasks leave threads idle at the end, more of them cost little: first narrower ones, which
    // pack no more; then, if there are still not enough, lower ones.
    const std::int64_t narrow = 64 / rights;
    while (threads > 1 && tasks(shape) < 4 * threads && n_size > narrow && n_size > tile::kPanel) {
      halve_n(shape);
    }
    while (threads > 1 && tasks(shape) < 2 * threads && m_size > 4 * tile::kRows) halve_m(shape);
    while (threads > 1 && tasks(shape) < threads && n_size > 2 * tile::kPanel) halve_n(shape);
  }

  std::int64_t tasks(const GemmShape& shape) const { return shape.batch * m_count * n_count; }

 private:
  void halve_n(const GemmShape& shape) {
    n_size = round_up(ceil_div(n_size, 2), tile::kPanel);
    count(shape);
  }

  void halve_m(const GemmShape& shape) {
    m_size = round_up(ceil_div(m_size, 2), tile::kRows);
    count(shape);
  }

  void count(const GemmShape& shape) {
    m_count = ceil_div(shape.m, m_size);
    n_count = ceil_div(shape.n, n_size);
  }

  /// About equal blocks no larger than `largest`, each a multiple of `unit`.
  static std::int64_t balanced(std::int64_t extent, std::int64_t largest, std::int64_t unit) {
    const std::int64_t blocks = ceil_div(extent, std::max(largest, unit));
    return round_up(ceil_div(extent, blocks), unit);
  }
};

template <typename M>
inline constexpr bool is_float = std::is_same_v<typename M::Element, float>;

template <typename A>
inline bool rows_in_place(const A& a, const GemmShape& shape) {
  return is_float<A> && a.has_contiguous_rows(shape.k);
}

/// Whether whole panels of b can be used where they lie, and packing them would not pay: it does
/// when many rows use panels whose rows are far apart (each in a page, few in the first cache).
template <typename B>
inline bool panels_in_place(const B& b, const GemmShape& shape, std::int64_t rows) {
  constexpr std::int64_t kNearStep = 64;
  constexpr std::int64_t kFewRows = 24;
  const bool whole_panels =
      is_contiguous(b.column, shape.n) ||
      (b.column.step() == 1 && b.column.run() % tile::kPanel == 0);
  return is_float<B> && whole_panels && b.row.run() >= shape.k &&
         (b.row.step() <= kNearStep || rows <= kFewRows);
}

/// Which right block the thread's scratch holds packed; a call has its own number.
struct Packed {
  std::uint64_t call = 0;
  std::int64_t block = -1;
};

inline std::uint64_t next_call() {
  static std::atomic<std::uint64_t> count{0};
  return count.fetch_add(1, std::memory_order_relaxed) + 1;
}

inline Packed& packed_by_this_thread() {
  static thread_local Packed packed;
  return packed;
}

/// One call of the blocked path.
template <typename A, typename Epilogue, typename... Bs>
class Blocked {
 public:
  Blocked(const GemmShape& shape, const GemmTile& config, int threads, const A& a,
          const Epilogue& epilogue, const Bs&... rights)
      : shape_(shape),
        a_(a),
        rights_(rights...),
        epilogue_(epilogue),
        blocks_(shape, config, threads, kRights),
        depth_(balanced_depth(shape.k, config.tile_k)),
        call_(next_call()),
        a_in_place_(rows_in_place(a, shape)),
        b_in_place_{panels_in_place(rights, shape, blocks_.m_size)...} {
    keeps_b_ = kRights * shape.k * blocks_.n_size <= kKeptFloats;
  }

  std::int64_t tasks() const { return blocks_.tasks(shape_); }

  void run(std::int64_t begin, std::int64_t end) const {
    Buffers buffers(*this);
    for (std::int64_t task = begin; task < end; ++task) run_task(buffers, task);
  }

 private:
  static constexpr int kRights = sizeof...(Bs);

  struct Buffers {
    explicit Buffers(const Blocked& call) {
      const std::int64_t m = call.blocks_.m_size;
      Scratch scratch;
      // The kept panels come first: they must stay where they are from one range to the next.
      const auto b_part = scratch.reserve<float>(kRights * call.b_size());
      const auto c_part = scratch.reserve<float>(kRights * call.c_size());
      const auto a_part = scratch.reserve<float>(call.a_in_place_ ? 0 : m * call.a_step());
      const auto row_part = scratch.reserve<const float*>(m);
      scratch.allocate();
      b = scratch.get(b_part);
      c = scratch.get(c_part);
      a = scratch.get(a_part);
      rows = scratch.get(row_part);
    }

    float* a;
    float* b;
    float* c;
    const float** rows;
  };

  struct Task {
    std::int64_t batch, m0, rows, n0, columns;
    std::int64_t right_block;  // tasks with the same number share b's block
  };

  Task task_of(std::int64_t index) const {
    const std::int64_t m_block = index % blocks_.m_count;
    const std::int64_t right_block = index / blocks_.m_count;
    const std::int64_t m0 = m_block * blocks_.m_size;
    const std::int64_t n0 = right_block % blocks_.n_count * blocks_.n_size;
    return {right_block / blocks_.n_count,
            m0,
            std::min(blocks_.m_size, shape_.m - m0),
            n0,
            std::min(blocks_.n_size, shape_.n - n0),
            right_block};
  }

  std::int64_t a_step() const { return depth_ + kRowPadding; }

  static std::int64_t balanced_depth(std::int64_t k, std::int64_t largest) {
    constexpr std::int64_t kUnit = 8;
    const std::int64_t blocks = std::max<std::int64_t>(ceil_div(k, largest), 1);
    return std::max(round_up(ceil_div(k, blocks), kUnit), kUnit);
  }

  void run_task(Buffers& buffers, std::int64_t index) const {
    const Task task = task_of(index);
    Packed& packed = packed_by_this_thread();
    const bool is_packed =
        keeps_b_ && packed.call == call_ && packed.block == task.right_block;
    std::int64_t k = 0;
    do {
      const std::int64_t depth = std::min(depth_, shape_.k - k);
      find_rows(buffers, task, k, depth);
      rights_.each([&](std::int64_t i, const auto& b) {
        for (std::int64_t n = 0; n < task.columns; n += tile::kPanel) {
          multiply_panel(buffers, task, i, b, k, depth, n, is_packed);
        }
      });
      k += depth_;
    } while (k < shape_.k);
    packed = {call_, task.right_block};
    for (std::int64_t i = 0; i < task.rows; ++i) {
      rights_.finish(epilogue_, task.batch, task.m0 + i, task.n0, task.columns,
                     buffers.c + i * blocks_.n_size, c_size());
    }
  }

  /// Adds the product with `depth` rows of one panel of right factor `number`, `b`; the panel begins
  /// at column n of the task.
  template <typename B>
  void multiply_panel(Buffers& buffers, const Task& task, std::int64_t number, const B& b,
                      std::int64_t k, std::int64_t depth, std::int64_t n, bool is_packed) const {
    float* packed = buffers.b + number * b_size() + n * kept_depth() +
                    (keeps_b_ ? k * tile::kPanel : 0);
    float* c = buffers.c + number * c_size() + n;
    tile::Panel panel{packed, tile::kPanel};
    const bool in_place = b_in_place_[number] && n + tile::kPanel <= task.columns;
    if (in_place) {
      if constexpr (is_float<B>) panel = {at(b, task, k, n), b.row.step()};
    } else if (!is_packed) {
      const std::int64_t columns = std::min<std::int64_t>(tile::kPanel, task.columns - n);
      tile::pack_panels(b, task.batch, k, depth, task.n0 + n, columns, packed, 0);
    }
    const auto multiply = [&](auto&& between) {
      tile::multiply_rows(buffers.rows, task.rows, panel, depth, c, blocks_.n_size, k > 0, between);
    };
    // The next panel comes from memory if this one did.
    const std::int64_t next = n + tile::kPanel;
    const bool is_new = in_place ? task.m0 == 0 : !is_packed;
    const std::int64_t columns = std::min<std::int64_t>(tile::kPanel, task.columns - next);
    const std::int64_t turns = ceil_div(task.rows, tile::kRows);
    constexpr std::int64_t size = sizeof(typename B::Element);
    if constexpr (is_unit<typename B::RowAxis>) {
      const auto column = [&](std::int64_t i) { return at(b, task, k, next + i); };
      multiply(tile::Prefetch(is_new ? columns : 0, depth * size, turns, column));
    } else if constexpr (is_unit<typename B::ColumnAxis>) {
      const auto row = [&](std::int64_t i) { return at(b, task, k + i, next); };
      multiply(tile::Prefetch(is_new && columns > 0 ? depth : 0, columns * size, turns, row));
    } else {
      multiply([] {});
    }
  }

  template <typename B>
  static const typename B::Element* at(const B& b, const Task& task, std::int64_t k,
                                       std::int64_t n) {
    return b.data + b.batch(task.batch) + b.row(k) + b.column(task.n0 + n);
  }

  std::int64_t kept_depth() const { return keeps_b_ ? shape_.k : depth_; }

  /// Floats of the packed panels, and of the sums, of one right factor.
  std::int64_t b_size() const { return kept_depth() * blocks_.n_size; }
  std::int64_t c_size() const { return blocks_.m_size * blocks_.n_size; }

  void find_rows(Buffers& buffers, const Task& task, std::int64_t k, std::int64_t depth) const {
    if constexpr (is_float<A>) {
      if (a_in_place_) {
        for (std::int64_t i = 0; i < task.rows; ++i) {
          buffers.rows[i] = a_.row_at(task.batch, task.m0 + i) + k;
        }
        return;
      }
    }
    pack_rows(a_, task.batch, task.m0, task.rows, k, depth, buffers.a, a_step());
    for (std::int64_t i = 0; i < task.rows; ++i) buffers.rows[i] = buffers.a + i * a_step();
  }

  GemmShape shape_;
  const A& a_;
  Rights<Bs...> rights_;
  const Epilogue& epilogue_;
  Blocks blocks_;
  std::int64_t depth_;
  std::uint64_t call_;
  bool a_in_place_;
  bool b_in_place_[kRights];
  bool keeps_b_;
};

/// The rows of a block of `a` as pointers to all k of each; packs them where it must.
template <typename A>
inline void whole_rows(const A& a, const GemmShape& shape, std::int64_t batch, std::int64_t m0,
                       std::int64_t rows, float* packed, const float** to) {
  if constexpr (is_float<A>) {
    if (rows_in_place(a, shape)) {
      for (std::int64_t i = 0; i < rows; ++i) to[i] = a.row_at(batch, m0 + i);
      return;
    }
  }
  pack_rows(a, batch, m0, rows, 0, shape.k, packed, shape.k);
  for (std::int64_t i = 0; i < rows; ++i) to[i] = packed + i * shape.k;
}

/// The common frame of the paths that do not pack b: `compute(b, batch, rows, n0, columns, ...)`.
template <typename A, typename Epilogue, typename Compute, typename... Bs>
inline void run_unpacked(const Launch& launch, const GemmShape& shape, std::int64_t m_size,
                         std::int64_t n_size, const A& a, const Epilogue& epilogue,
                         const Compute& compute, const Bs&... factors) {
  const Rights<Bs...> rights(factors...);
  const std::int64_t threads = thread_count(launch);
  const std::int64_t m_count = ceil_div(shape.m, m_size);
  // A few tasks a thread, but no fewer than 16 columns each.
  const std::int64_t tasks = threads > 1 ? 4 * threads : 1;
  const std::int64_t wanted = ceil_div(shape.n * m_count * shape.batch, tasks);
  n_size = std::min(n_size, round_up(std::max<std::int64_t>(wanted, 16), 16));
  const std::int64_t n_count = ceil_div(shape.n, n_size);
  const std::int64_t c_size = m_size * n_size;
  const bool packs_a = !rows_in_place(a, shape);
  parallel_for(launch, shape.batch * m_count * n_count, 1, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch;
    const auto c_part = scratch.reserve<float>(rights.kCount * c_size);
    const auto a_part = scratch.reserve<float>(packs_a ? m_size * shape.k : 0);
    const auto row_part = scratch.reserve<const float*>(m_size);
    scratch.allocate();
    float* c = scratch.get(c_part);
    const float** rows = scratch.get(row_part);
    std::int64_t last = -1;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t n0 = task % n_count * n_size;
      const std::int64_t row_block = task / n_count;
      const std::int64_t m0 = row_block % m_count * m_size;
      const std::int64_t batch = row_block / m_count;
      const std::int64_t row_count = std::min(m_size, shape.m - m0);
      const std::int64_t columns = std::min(n_size, shape.n - n0);
      if (row_block != last) {
        whole_rows(a, shape, batch, m0, row_count, scratch.get(a_part), rows);
        last = row_block;
      }
      rights.each([&](std::int64_t i, const auto& b) {
        compute(b, batch, rows, row_count, n0, columns, c + i * c_size, n_size);
      });
      for (std::int64_t i = 0; i < row_count; ++i) {
        rights.finish(epilogue, batch, m0 + i, n0, columns, c + i * n_size, c_size);
      }
    }
  });
}

template <typename A, typename Epilogue, typename... Bs>
inline void run_dot(const Launch& launch, const GemmShape& shape, const A& a,
                    const Epilogue& epilogue, const Bs&... rights) {
  constexpr std::int64_t kRows = 32;
  constexpr std::int64_t kColumns = 64;
  const auto compute = [&](const auto& b, std::int64_t batch, const float* const* rows,
                           std::int64_t row_count, std::int64_t n0, std::int64_t columns, float* c,
                           std::int64_t c_step) {
    decltype(b.data) weights[kColumns];
    for (std::int64_t j = 0; j < columns; ++j) {
      weights[j] = b.data + b.batch(batch) + b.column(n0 + j);
    }
    tile::dot_block(rows, row_count, weights, columns, shape.k, c, c_step);
  };
  run_unpacked(launch, shape, std::min(shape.m, kRows), kColumns, a, epilogue, compute, rights...);
}

template <typename A, typename Epilogue, typename... Bs>
inline void run_stream(const Launch& launch, const GemmShape& shape, const A& a,
                       const Epilogue& epilogue, const Bs&... rights) {
  constexpr std::int64_t kColumns = 4096;
  const auto compute = [&](const auto& b, std::int64_t batch, const float* const* rows,
                           std::int64_t row_count, std::int64_t n0, std::int64_t columns, float* c,
                           std::int64_t c_step) {
    for (std::int64_t i = 0; i < row_count; ++i) std::fill_n(c + i * c_step, columns, 0.0f);
    const auto* from = b.data + b.batch(batch) + b.column(n0);
    tile::stream_block(rows, row_count, from, b.row.step(), shape.k, columns, c, c_step);
  };
  run_unpacked(launch, shape, shape.m, kColumns, a, epilogue, compute, rights...);
}

template <typename B>
inline constexpr bool can_dot = is_unit<typename B::RowAxis>;

template <typename B>
inline constexpr bool can_stream = is_unit<typename B::ColumnAxis>;

template <typename B>
inline GemmPath choose_path(const B& b, const GemmShape& shape) {
  if constexpr (can_stream<B>) {
    constexpr std::int64_t rows = is_float<B> ? 2 : tile::kStreamRows;
    if (shape.m <= rows && b.row.run() >= shape.k) return GemmPath::stream;
  }
  if constexpr (can_dot<B>) {
    const bool is_deep = is_float<B> && shape.k >= kDotDepth;
    const std::int64_t rows = is_deep ? kDotRows : kConvertingDotRows;
    if (shape.m <= rows || shape.n < tile::kPanel / 2) return GemmPath::dot;
  }
  return GemmPath::blocked;
}

/// The path that suits all right factors: their own, if they agree.
template <typename B, typename... Others>
inline GemmPath common_path(const GemmShape& shape, const B& b, const Others&... others) {
  const GemmPath path = choose_path(b, shape);
  return ((choose_path(others, shape) == path) && ...) ? path : GemmPath::blocked;
}

template <GemmPath kPath, typename A, typename Epilogue, typename... Bs>
inline void multiply(const Launch& launch, const GemmShape& shape, const A& a,
                     const Epilogue& epilogue, const GemmTile& tile, const Bs&... rights) {
  constexpr bool is_automatic = kPath == GemmPath::automatic;
  constexpr bool all_stream = (can_stream<Bs> && ...);
  constexpr bool all_dot = (can_dot<Bs> && ...);
  if (shape.batch <= 0 || shape.m <= 0 || shape.n <= 0) return;
  [[maybe_unused]] const GemmPath path = is_automatic ? common_path(shape, rights...) : kPath;
  if constexpr (all_stream && (is_automatic || kPath == GemmPath::stream)) {
    const bool fits = shape.m <= tile::kStreamRows && ((rights.row.run() >= shape.k) && ...);
    if (path == GemmPath::stream && fits) {
      run_stream(launch, shape, a, epilogue, rights...);
      return;
    }
  }
  if constexpr (all_dot && (is_automatic || kPath == GemmPath::dot)) {
    if (path == GemmPath::dot) {
      run_dot(launch, shape, a, epilogue, rights...);
      return;
    }
  }
  if constexpr (!(all_dot && kPath == GemmPath::dot)) {
    const Blocked<A, Epilogue, Bs...> call(shape, tile, thread_count(launch), a, epilogue,
                                           rights...);
    parallel_for(launch, call.tasks(), 1,
                 [&](std::int64_t begin, std::int64_t end) { call.run(begin, end); });
  }
}

}  // namespace gemm_detail

/// For all b, m, n: `epilogue(b, m, n0, count, sums)` receives, for pieces that cover each row,
/// sums[i] = sum over k of a[b, m, k] * b[b, k, n0 + i], and writes the results. It is called from
/// many threads, once per element. An empty k gives zeros.
///
/// `a` is a Matrix with rows m and columns k, `b` one with rows k and columns n. In place of a Matrix,
/// `a` may be any type with its `Element`, `row_at`, `has_contiguous_rows` and a `pack_rows`.
template <GemmPath kPath = GemmPath::automatic, typename A, typename B, typename Epilogue>
inline void gemm(const Launch& launch, const GemmShape& shape, const A& a, const B& b,
                 const Epilogue& epilogue, const GemmTile& tile = {}) {
  gemm_detail::multiply<kPath>(launch, shape, a, epilogue, tile, b);
}

/// Two products of one left factor: `epilogue(b, m, n0, count, sums, second_sums)` receives those
/// with `b` and those with `c`, which is like `b`. A path is taken only if both factors allow it.
template <GemmPath kPath = GemmPath::automatic, typename A, typename B, typename C,
          typename Epilogue>
inline void dual_gemm(const Launch& launch, const GemmShape& shape, const A& a, const B& b,
                      const C& c, const Epilogue& epilogue, const GemmTile& tile = {}) {
  gemm_detail::multiply<kPath>(launch, shape, a, epilogue, tile, b, c);
}

}  // namespace ait
