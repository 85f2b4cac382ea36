// Products of which a block of whole rows is needed at once: by a row operation, or as the left
// factor of a second product.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/gemm.hpp"

namespace ait {

namespace row_product_detail {

/// Right factors up to this size, in all batches, are packed once for all threads.
inline constexpr std::int64_t kSharedFloats = 8 * 1024 * 1024;

/// Sums of a block of rows: they stay in the second cache.
inline constexpr std::int64_t kBlockFloats = 64 * 1024;
inline constexpr std::int64_t kBlockRows = 96;

inline constexpr std::int64_t kDepth = 256;  // rows of a panel that stay in the first cache

/// Memory of a thread that launches kernels, for the panels of its first and its second product.
inline float* panels_of_this_thread(int number, std::int64_t floats) {
  static thread_local detail::ScratchBlock blocks[2];
  return static_cast<float*>(blocks[number].at_least(static_cast<std::size_t>(floats) *
                                                     sizeof(float)));
}

/// Whether all batches are one matrix.
template <typename AnyAxis>
AIT_INLINE bool is_same(const AnyAxis&) {
  return false;
}
AIT_INLINE bool is_same(const Axis<0>&) { return true; }
AIT_INLINE bool is_same(const Axis<1>& axis) { return axis.stride == 0; }

}  // namespace row_product_detail

/// The cut of the rows of all batches into tasks.
class RowBlocks {
 public:
  /// `floats`: those of one row that a task holds; `unit`: the rows of a block are a multiple of it.
  RowBlocks(std::int64_t batch, std::int64_t m, std::int64_t floats, std::int64_t unit, int threads)
      : m_(m) {
    using namespace row_product_detail;
    const std::int64_t most = kBlockFloats / std::max<std::int64_t>(floats, 1);
    const std::int64_t largest = std::clamp<std::int64_t>(most, unit, kBlockRows);
    rows_ = round_up(ceil_div(m, ceil_div(m, largest)), unit);
    // A block costs as much to start as some rows: only so small that every thread has one.
    const std::int64_t share = round_up(ceil_div(batch * m, threads), unit);
    rows_ = std::max(unit, std::min(rows_, share));
    count_ = ceil_div(m, rows_);
    tasks_ = batch * count_;
  }

  struct Block {
    std::int64_t batch, m0, rows;
  };

  Block operator[](std::int64_t task) const {
    const std::int64_t m0 = task % count_ * rows_;
    return {task / count_, m0, std::min(rows_, m_ - m0)};
  }

  std::int64_t tasks() const { return tasks_; }

  /// The most rows of a block.
  std::int64_t rows() const { return rows_; }

 private:
  std::int64_t m_, rows_, count_, tasks_;
};

/// Multiplies blocks of rows by all columns of `b`, a Matrix with rows k and columns n.
template <typename B>
class RowProduct {
 public:
  /// Packs what is to be packed, on all threads. `number`: 0, or 1 for the second product of a kernel.
  RowProduct(const Launch& launch, const GemmShape& shape, const B& b, int number)
      : b_(b),
        shape_(shape),
        path_(gemm_detail::choose_path(b, shape)),
        in_place_(gemm_detail::panels_in_place(b, shape, shape.m)),
        matrices_(row_product_detail::is_same(b.batch) ? 1 : shape.batch) {
    const std::int64_t floats = matrices_ * shape.k * step();
    if (path_ == GemmPath::blocked && floats <= row_product_detail::kSharedFloats) {
      shared_ = row_product_detail::panels_of_this_thread(number, floats);
      pack(launch);
    }
  }

  struct Parts {
    Scratch::Part<float> panel;
    Scratch::Part<const float*> rows;
  };

  struct Buffers {
    float* panel;  // of a factor that is too large to be packed as a whole
    const float** rows;
  };

  Parts reserve(Scratch& scratch, std::int64_t rows) const {
    const bool packs = path_ == GemmPath::blocked && shared_ == nullptr;
    const std::int64_t depth = std::min(shape_.k, row_product_detail::kDepth);
    return {scratch.reserve<float>(packs ? depth * tile::kPanel : 0),
            scratch.reserve<const float*>(rows)};
  }

  Buffers get(const Scratch& scratch, const Parts& parts) const {
    return {scratch.get(parts.panel), scratch.get(parts.rows)};
  }

  /// Floats from one row of sums to the next.
  std::int64_t step() const { return round_up(shape_.n, tile::kPanel); }

  /// Rows in a block that suit the product.
  std::int64_t unit() const { return path_ == GemmPath::blocked ? tile::kRows : 1; }

  /// sums[i * step() + n] = sum over k of rows[i][k] * b[batch, k, n]
  void multiply(const Buffers& buffers, std::int64_t batch, const float* const* rows,
                std::int64_t count, float* sums) const {
    if constexpr (gemm_detail::can_stream<B>) {
      if (path_ == GemmPath::stream) return stream(batch, rows, count, sums);
    }
    if constexpr (gemm_detail::can_dot<B>) {
      if (path_ == GemmPath::dot) return dot(batch, rows, count, sums);
    }
    multiply_panels(buffers, batch, rows, count, sums);
  }

 private:
  void pack(const Launch& launch) const {
    const std::int64_t panels = step() / tile::kPanel;
    parallel_for(launch, matrices_ * panels, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t n = i % panels * tile::kPanel;
        if (!is_in_place(n)) pack_panel(i / panels, 0, shape_.k, n, shared_panel(i / panels, n));
      }
    });
  }

  float* shared_panel(std::int64_t matrix, std::int64_t n) const {
    return shared_ + shape_.k * (matrix * step() + n);
  }

  void pack_panel(std::int64_t batch, std::int64_t k, std::int64_t depth, std::int64_t n,
                  float* to) const {
    const std::int64_t columns = std::min<std::int64_t>(tile::kPanel, shape_.n - n);
    tile::pack_panels(b_, batch, k, depth, n, columns, to, 0);
  }

  /// Whether the panel that begins at column n can be used where it lies.
  bool is_in_place(std::int64_t n) const { return in_place_ && n + tile::kPanel <= shape_.n; }

  void stream(std::int64_t batch, const float* const* rows, std::int64_t count,
              float* sums) const {
    const auto* from = b_.data + b_.batch(batch) + b_.column(0);
    for (std::int64_t i = 0; i < count; i += tile::kStreamRows) {
      const std::int64_t few = std::min<std::int64_t>(tile::kStreamRows, count - i);
      float* to = sums + i * step();
      for (std::int64_t j = 0; j < few; ++j) std::fill_n(to + j * step(), shape_.n, 0.0f);
      tile::stream_block(rows + i, few, from, b_.row.step(), shape_.k, shape_.n, to, step());
    }
  }

  void dot(std::int64_t batch, const float* const* rows, std::int64_t count, float* sums) const {
    constexpr std::int64_t kColumns = 64;
    const typename B::Element* columns[kColumns];
    for (std::int64_t n = 0; n < shape_.n; n += kColumns) {
      const std::int64_t width = std::min(kColumns, shape_.n - n);
      for (std::int64_t j = 0; j < width; ++j) {
        columns[j] = b_.data + b_.batch(batch) + b_.column(n + j);
      }
      tile::dot_block(rows, count, columns, width, shape_.k, sums + n, step());
    }
  }

  void multiply_panels(const Buffers& buffers, std::int64_t batch, const float* const* rows,
                       std::int64_t count, float* sums) const {
    std::int64_t k = 0;
    do {
      const std::int64_t depth = std::min(row_product_detail::kDepth, shape_.k - k);
      for (std::int64_t i = 0; i < count; ++i) buffers.rows[i] = rows[i] + k;
      for (std::int64_t n = 0; n < shape_.n; n += tile::kPanel) {
        const tile::Panel panel = panel_at(buffers, batch, k, depth, n);
        tile::multiply_rows(buffers.rows, count, panel, depth, sums + n, step(), k > 0, [] {});
      }
      k += row_product_detail::kDepth;
    } while (k < shape_.k);
  }

  /// `depth` rows from k on of the panel that begins at column n.
  tile::Panel panel_at(const Buffers& buffers, std::int64_t batch, std::int64_t k,
                       std::int64_t depth, std::int64_t n) const {
    if constexpr (gemm_detail::is_float<B>) {
      if (is_in_place(n)) {
        return {b_.data + b_.batch(batch) + b_.row(k) + b_.column(n), b_.row.step()};
      }
    }
    if (shared_ != nullptr) {
      return {shared_panel(matrices_ == 1 ? 0 : batch, n) + k * tile::kPanel, tile::kPanel};
    }
    pack_panel(batch, k, depth, n, buffers.panel);
    return {buffers.panel, tile::kPanel};
  }

  const B& b_;
  GemmShape shape_;
  GemmPath path_;
  bool in_place_;
  std::int64_t matrices_;     // distinct right factors
  float* shared_ = nullptr;   // all panels, packed
};

}  // namespace ait
