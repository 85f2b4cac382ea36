// Attention with an online softmax: scores exist for one block of queries and keys at a time
// (Dao et al., FlashAttention, 2022; the softmax after Milakov and Gimelshein, 2018).
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "ait/gemm.hpp"
#include "ait/row.hpp"

namespace ait {

struct AttentionShape {
  std::int64_t batch, heads, kv_heads, queries, keys, depth, value_depth;
  bool causal;  // query i sees key j if j <= i + (keys - queries)
};

/// A tensor [batch, head, sequence, depth] with any strides.
template <typename T>
struct Heads {
  const T* data;
  std::int64_t batch, head, sequence, depth;  // strides

  AIT_INLINE const T* at(std::int64_t b, std::int64_t h) const {
    return data + b * batch + h * head;
  }
};

namespace attention_detail {

inline constexpr std::int64_t kQueries = 96;
inline constexpr std::int64_t kKeys = 256;
inline constexpr std::int64_t kFewQueries = 8;  // up to which keys and values are read in place

/// One head: queries [i0, i0 + rows) against all keys they see.
template <typename Q, typename K, typename V, typename Score, typename Store>
class Attention {
 public:
  Attention(const AttentionShape& shape, const Heads<Q>& q, const Heads<K>& k, const Heads<V>& v,
            const Score& score, const Store& store)
      : shape_(shape), q_(q), k_(k), v_(v), score_(score), store_(store) {
    block_ = std::min(kQueries, round_up(shape.queries, tile::kRows));
    key_step_ = round_up(std::min(kKeys, shape.keys), tile::kPanel);
    value_step_ = round_up(shape.value_depth, tile::kPanel);
  }

  std::int64_t tasks() const {
    return shape_.batch * shape_.heads * ceil_div(shape_.queries, block_);
  }

  /// Smaller blocks if there are fewer of them than threads.
  void spread(int threads) {
    while (threads > 1 && tasks() < 2 * threads && block_ > 4 * tile::kRows) {
      block_ = round_up(block_ / 2, tile::kRows);
    }
  }

  void run(std::int64_t begin, std::int64_t end) const {
    Buffers buffers(*this);
    const std::int64_t blocks = ceil_div(shape_.queries, block_);
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t head = task / blocks;
      run_block(buffers, head / shape_.heads, head % shape_.heads, task % blocks * block_);
    }
  }

 private:
  struct Buffers {
    explicit Buffers(const Attention& call) {
      const std::int64_t rows = call.block_;
      Scratch scratch;
      const auto score_part = scratch.reserve<float>(rows * call.key_step_);
      const auto sum_part = scratch.reserve<float>(rows * call.value_step_);
      const auto query_part = scratch.reserve<float>(rows * call.shape_.depth);
      const auto packed_part = scratch.reserve<float>(
          std::max(call.key_step_ * call.shape_.depth, kKeys * call.value_step_));
      const auto max_part = scratch.reserve<float>(rows);
      const auto total_part = scratch.reserve<float>(rows);
      const auto query_row_part = scratch.reserve<const float*>(rows);
      const auto score_row_part = scratch.reserve<const float*>(rows);
      const auto panel_part = scratch.reserve<tile::Panel>(
          std::max(call.key_step_, call.value_step_) / tile::kPanel);
      scratch.allocate();
      scores = scratch.get(score_part);
      sums = scratch.get(sum_part);
      queries = scratch.get(query_part);
      packed = scratch.get(packed_part);
      largest = scratch.get(max_part);
      totals = scratch.get(total_part);
      query_rows = scratch.get(query_row_part);
      score_rows = scratch.get(score_row_part);
      panels = scratch.get(panel_part);
    }

    float* scores;   // [rows, key_step]: scores, then weights
    float* sums;     // [rows, value_step]: weighted values so far
    float* queries;
    float* packed;   // panels of keys, then of values
    float* largest;  // of each row's scores so far
    float* totals;   // of each row's weights so far
    const float** query_rows;
    const float** score_rows;
    tile::Panel* panels;
  };

  struct Block {
    std::int64_t b, h, i0, rows;
    const K* keys;
    const V* values;
  };

  /// One more than the last key that query i sees.
  std::int64_t visible(std::int64_t i) const {
    if (!shape_.causal) return shape_.keys;
    return std::clamp<std::int64_t>(i + shape_.keys - shape_.queries + 1, 0, shape_.keys);
  }

  void run_block(Buffers& buffers, std::int64_t b, std::int64_t h, std::int64_t i0) const {
    const std::int64_t group = h * shape_.kv_heads / shape_.heads;
    const Block block{b, h, i0, std::min(block_, shape_.queries - i0), k_.at(b, group),
                      v_.at(b, group)};
    const auto queries = matrix(q_.at(b, h), axis(), axis(q_.sequence), axis(q_.depth));
    // Side by side: rows of one head lie at strides that would share few lines of the first cache.
    tile::pack_rows(queries, 0, i0, block.rows, 0, shape_.depth, buffers.queries, shape_.depth);
    std::fill_n(buffers.sums, block.rows * value_step_, 0.0f);
    std::fill_n(buffers.totals, block.rows, 0.0f);
    std::fill_n(buffers.largest, block.rows, -std::numeric_limits<float>::infinity());
    for (std::int64_t i = 0; i < block.rows; ++i) {
      buffers.query_rows[i] = buffers.queries + i * shape_.depth;
      buffers.score_rows[i] = buffers.scores + i * key_step_;
    }
    const std::int64_t end = visible(i0 + block.rows - 1);
    for (std::int64_t j0 = 0; j0 < end; j0 += kKeys) {
      const std::int64_t keys = std::min(kKeys, end - j0);
      multiply_keys(buffers, block, j0, keys);
      for (std::int64_t i = 0; i < block.rows; ++i) weigh(buffers, block, i, j0, keys);
      multiply_values(buffers, block, j0, keys);
    }
    for (std::int64_t i = 0; i < block.rows; ++i) {
      float* sums = buffers.sums + i * value_step_;
      const float total = buffers.totals[i];
      row::scale(sums, shape_.value_depth, total == 0.0f ? 0.0f : 1.0f / total);
      store_(b, h, i0 + i, shape_.value_depth, static_cast<const float*>(sums));
    }
  }

  /// scores = queries * keys^T
  void multiply_keys(Buffers& buffers, const Block& block, std::int64_t j0,
                     std::int64_t keys) const {
    if (block.rows <= kFewQueries && (k_.depth == 1 || shape_.depth <= 1)) {
      const K* rows[kKeys];
      for (std::int64_t j = 0; j < keys; ++j) rows[j] = block.keys + (j0 + j) * k_.sequence;
      tile::dot_block(buffers.query_rows, block.rows, rows, keys, shape_.depth, buffers.scores,
                      key_step_);
      return;
    }
    const auto right = matrix(block.keys, axis(), axis(k_.depth), axis(k_.sequence));
    const std::int64_t step = shape_.depth * tile::kPanel;
    tile::pack_panels(right, 0, 0, shape_.depth, j0, keys, buffers.packed, step);
    const std::int64_t panels = ceil_div(keys, tile::kPanel);
    for (std::int64_t j = 0; j < panels; ++j) {
      buffers.panels[j] = {buffers.packed + j * step, tile::kPanel};
    }
    tile::multiply_block(buffers.query_rows, block.rows, buffers.panels, panels, shape_.depth,
                         buffers.scores, key_step_, false);
  }

  /// Turns a row of scores into weights, and rescales what was summed with a smaller maximum.
  void weigh(Buffers& buffers, const Block& block, std::int64_t i, std::int64_t j0,
             std::int64_t keys) const {
    constexpr float kNever = -std::numeric_limits<float>::infinity();
    float* scores = buffers.scores + i * key_step_;
    score_(block.b, block.h, block.i0 + i, j0, keys, scores);
    const std::int64_t seen = std::clamp<std::int64_t>(visible(block.i0 + i) - j0, 0, keys);
    std::fill(scores + seen, scores + keys, kNever);
    const float before = buffers.largest[i];
    const float largest = maximum(before, row::max(scores, seen));
    // A row that is masked so far has no maximum: any finite shift keeps its weights 0.
    const float shift = largest == kNever ? 0.0f : largest;
    row::exp_shifted(scores, keys, shift, scores);
    const float factor = exp(before - shift);
    buffers.largest[i] = largest;
    buffers.totals[i] = buffers.totals[i] * factor + row::sum(scores, seen);
    if (factor != 1.0f) row::scale(buffers.sums + i * value_step_, shape_.value_depth, factor);
  }

  /// sums += weights * values
  void multiply_values(Buffers& buffers, const Block& block, std::int64_t j0,
                       std::int64_t keys) const {
    const V* values = block.values + j0 * v_.sequence;
    if (block.rows <= tile::kStreamRows && v_.depth == 1) {
      tile::stream_block(buffers.score_rows, block.rows, values, v_.sequence, keys,
                         shape_.value_depth, buffers.sums, value_step_);
      return;
    }
    const auto right = matrix(values, axis(), axis(v_.sequence), axis(v_.depth));
    const std::int64_t step = keys * tile::kPanel;
    tile::pack_panels(right, 0, 0, keys, 0, shape_.value_depth, buffers.packed, step);
    const std::int64_t panels = ceil_div(shape_.value_depth, tile::kPanel);
    for (std::int64_t j = 0; j < panels; ++j) {
      buffers.panels[j] = {buffers.packed + j * step, tile::kPanel};
    }
    tile::multiply_block(buffers.score_rows, block.rows, buffers.panels, panels, keys,
                         buffers.sums, value_step_, true);
  }

  AttentionShape shape_;
  Heads<Q> q_;
  Heads<K> k_;
  Heads<V> v_;
  const Score& score_;
  const Store& store_;
  std::int64_t block_;
  std::int64_t key_step_;
  std::int64_t value_step_;
};

}  // namespace attention_detail

/// out[b, h, i] = softmax over j of score(q[b, h, i] . k[b, g, j]) times v[b, g], g the head's group.
/// `score(b, h, i, j0, count, s)` changes the dot products s of keys [j0, j0 + count) into scores;
/// `store(b, h, i, count, values)` stores a row of results. A row without a visible key is zeros.
template <typename Q, typename K, typename V, typename Score, typename Store>
inline void attention(const Launch& launch, const AttentionShape& shape, const Heads<Q>& q,
                      const Heads<K>& k, const Heads<V>& v, const Score& score,
                      const Store& store) {
  if (shape.batch <= 0 || shape.heads <= 0 || shape.queries <= 0 || shape.value_depth <= 0) return;
  attention_detail::Attention<Q, K, V, Score, Store> call(shape, q, k, v, score, store);
  call.spread(thread_count(launch));
  parallel_for(launch, call.tasks(), 1,
               [&](std::int64_t begin, std::int64_t end) { call.run(begin, end); });
}

}  // namespace ait
