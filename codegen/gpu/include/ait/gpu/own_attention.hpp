// Attention for everything that matrix units do not take: any float types, any strides, in f32. A block
// has sixteen queries with sixteen threads each; keys and values pass through shared memory sixteen at a
// time, and the softmax is rescaled whenever a larger score comes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/gpu/access.hpp"

namespace ait::gpu {

/// Which queries and keys a block of attention has, along the rows of one head of one batch.
template <class Index>
struct AttentionPlace {
  Index batch, head, first;
  /// No key from here on is visible to any of the block's queries.
  Index keys;
  /// Query i sees the keys up to i + `reach`.
  Index reach;
};

/// The place of block `block`, of `rows` queries. Blocks of one head are neighbours, and those that
/// see the most keys come first.
template <class Index, class Arguments>
__device__ __forceinline__ AttentionPlace<Index> attention_place(const Arguments& arguments,
                                                                 Index block, int rows,
                                                                 bool causal) {
  const Index tiles = (static_cast<Index>(arguments.rows) + rows - 1) / rows;
  const Index heads = static_cast<Index>(arguments.heads);
  const Index tile = block % tiles;
  AttentionPlace<Index> place;
  place.first = (causal ? tiles - 1 - tile : tile) * rows;
  place.head = block / tiles % heads;
  place.batch = block / tiles / heads;
  place.reach = static_cast<Index>(arguments.columns - arguments.rows);
  place.keys = static_cast<Index>(arguments.columns);
  if (causal) {
    const Index seen = place.first + rows + place.reach;
    place.keys = seen < 0 ? 0 : seen < place.keys ? seen : place.keys;
  }
  return place;
}

/// The number of blocks, or an error if one launch does not take them.
template <class Arguments>
Status attention_blocks(const Arguments& arguments, int rows, unsigned& blocks) {
  const int64_t tiles = (arguments.rows + rows - 1) / rows;
  const int64_t count = tiles * arguments.heads * arguments.batches;
  if (count > INT32_MAX) {
    return Status{AIT_INVALID_INPUT, "an attention has too many queries for one launch"};
  }
  blocks = static_cast<unsigned>(count < 0 ? 0 : count);
  return ok();
}

/// `Kernel` is generated: `Index`, `Arguments` (with `batches`, `heads`, `rows`, `columns`), `kCausal`,
/// the head sizes `kDepth` and `kValue`, loads as float `query(arguments, batch, head, row, d)`,
/// `key(arguments, batch, head, column, d)`, `value(...)`, the region `score(arguments, batch, head,
/// row, column, dot)`, and `store(arguments, batch, head, row, d, values)`.
template <class Kernel>
__global__ void __launch_bounds__(256)
    own_attention(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Index = typename Kernel::Index;
  constexpr int kSide = 16;
  constexpr int kDepth = Kernel::kDepth, kValue = Kernel::kValue;
  constexpr int kWidth = std::max(kDepth, kValue) + 1;
  constexpr int kOwn = (kValue + kSide - 1) / kSide;
  __shared__ float queries[kSide][kDepth + 1];
  __shared__ float tile[kSide][kWidth];  // keys, then values
  __shared__ float scores[kSide][kSide];

  wait_for_inputs();
  let_next_start();
  const auto place = attention_place<Index>(arguments, static_cast<Index>(blockIdx.x), kSide,
                                            Kernel::kCausal);
  const Index batch = place.batch, head = place.head;
  const int line = threadIdx.x / kSide, lane = threadIdx.x % kSide;
  const Index row = place.first + line;
  const bool in_rows = row < arguments.rows;
  for (int d = lane; d < kDepth; d += kSide) {
    queries[line][d] = in_rows ? Kernel::query(arguments, batch, head, row, d) : 0.0f;
  }

  constexpr float kNothing = -std::numeric_limits<float>::infinity();
  float largest = kNothing, sum = 0.0f, sums[kOwn] = {};
  for (Index first = 0; first < place.keys; first += kSide) {
    // In this part of the loop the thread reads key `line`, and scores key `lane`.
    const bool in_columns = first + line < arguments.columns;
    __syncthreads();
    for (int d = lane; d < kDepth; d += kSide) {
      tile[line][d] = in_columns ? Kernel::key(arguments, batch, head, first + line, d) : 0.0f;
    }
    __syncthreads();
    float dot = 0.0f;
    for (int d = 0; d < kDepth; ++d) dot = fmaf(queries[line][d], tile[lane][d], dot);
    const Index column = first + lane;
    const bool visible = in_rows && column < arguments.columns &&
                         (!Kernel::kCausal || column <= row + place.reach);
    scores[line][lane] =
        visible ? Kernel::score(arguments, batch, head, row, column, dot) : kNothing;
    __syncthreads();
    for (int d = lane; d < kValue; d += kSide) {
      tile[line][d] = in_columns ? Kernel::value(arguments, batch, head, first + line, d) : 0.0f;
    }
    __syncthreads();
    float next = largest;
    for (int j = 0; j < kSide; ++j) next = fmaxf(next, scores[line][j]);
    const float base = next == kNothing ? 0.0f : next;
    const float scale = ait::exp(largest - base);
    largest = next;
    sum *= scale;
    for (int i = 0; i < kOwn; ++i) sums[i] *= scale;
    for (int j = 0; j < kSide; ++j) {
      const float weight = ait::exp(scores[line][j] - base);
      sum += weight;
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const int d = lane + i * kSide;
        if (d < kValue) sums[i] = fmaf(weight, tile[j][d], sums[i]);
      }
    }
  }
  if (!in_rows) return;
  const float factor = sum == 0.0f ? 0.0f : 1.0f / sum;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const int d = lane + i * kSide;
    const float values[] = {sums[i] * factor};
    if (d < kValue) Kernel::store(arguments, batch, head, row, d, values);
  }
}

template <class Kernel>
ait::Status run_own_attention(const ait::Launch& launch,
                              const typename Kernel::Arguments& arguments) {
  unsigned blocks = 0;
  AIT_TRY(attention_blocks(arguments, 16, blocks));
  return gpu::launch(launch, own_attention<Kernel>, dim3(blocks), dim3(256), arguments);
}

}  // namespace ait::gpu
