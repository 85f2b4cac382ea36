// Attention on Hopper's tensor cores (wgmma), fed by its copy engine (TMA). A block has 64 queries for
// each of its warpgroups; keys and values stream through a ring of stages in shared memory. Scores stay
// in registers, where they become weights, which are the left factor of the second product as they are.
// Shah et al., "FlashAttention-3", 2024: the products of one tile run while the softmax of the tile
// before is computed, by the same warpgroup (`kOverlapped`) or by others, in turns or not.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "ait/cuda/hopper.hpp"
#include "ait/cuda/tensor_map.hpp"
#include "ait/gpu/own_attention.hpp"

namespace ait::cuda {

/// Queries, keys and values as the copy engine sees them: [depth, row, head, batch]; maybe also what is
/// added to products of queries with keys: [column, row, head, batch].
struct AttentionMaps {
  CUtensorMap queries, keys, values, mask;
};

/// The sizes of a block. `Kernel` is generated: see `attention_hopper` below.
template <class Kernel>
struct HopperAttention {
  using Element = typename Kernel::Element;
  static constexpr int kRows = Kernel::kTileRows, kColumns = Kernel::kTileColumns;
  static constexpr int kWarpgroups = kRows / 64;
  // Queries come for all warpgroups at once, or where keys are kept (attention_kept.hpp), for each.
  static constexpr int kQueryRows = Kernel::kKept ? 64 : kRows;
  static constexpr int kQueryStages = Kernel::kKept ? 2 * kWarpgroups : Kernel::kPersistent ? 2 : 1;
  static constexpr int kStages = Kernel::kStages;
  static_assert(kRows % 64 == 0 && kColumns % 16 == 0, "a warpgroup multiplies 64 rows, 16 steps");
  static constexpr int kThreads = 128 * (kWarpgroups + (Kernel::kProducer ? 1 : 0));

  // A panel is 64 elements wide: 128 bytes, which is as far as a swizzle reaches. What of it lies
  // beyond the head reads as zero; products take whole steps of 16 of the depth, 8 of the values.
  static constexpr int kPanel = 64, kPanelBytes = kPanel * sizeof(Element);
  static constexpr int kSteps = (Kernel::kDepth + 15) / 16;
  static constexpr int kDepthPanels = (Kernel::kDepth + kPanel - 1) / kPanel;
  static constexpr int kSums = (Kernel::kValue + 7) / 8 * 8;
  static constexpr int kValuePanels = (Kernel::kValue + kPanel - 1) / kPanel;

  static constexpr int kQueryBytes = kDepthPanels * kQueryRows * kPanelBytes;
  static constexpr int kKeyBytes = kDepthPanels * kColumns * kPanelBytes;
  static constexpr int kValueBytes = kValuePanels * kColumns * kPanelBytes;
  // What products with keys are added to, whatever the query, comes with the keys.
  static constexpr bool kStagesStarts = Kernel::kStartsOfKeys && Kernel::kProducer;
  // Pairs of them twice: a thread has the same pair of columns of two rows.
  static constexpr int kStartBytes = kStagesStarts ? 2 * kColumns * sizeof(float) : 0;
  // Or it comes as a tile of 16-bit elements, in panels as wide as those of the factors.
  static_assert(!Kernel::kStagesMask || (Kernel::kStarts && Kernel::kProducer && !Kernel::kKept),
                "tiles of a mask are of the queries and keys of a block");
  static constexpr int kMaskPanels = Kernel::kStagesMask ? (kColumns + kPanel - 1) / kPanel : 0;
  static constexpr int kMaskBytes = kMaskPanels * kRows * kPanelBytes;
  // Totals of weights are sums of one more panel of values, all of which are one, where values fill the
  // first panel: its 16 lines are those of every step.
  static constexpr bool kCounts = Kernel::kValue == kPanel && Kernel::kSplits == 1;
  static constexpr int kOnesBytes = kCounts ? 16 * kPanelBytes : 0;
  static constexpr int kProducts = kSums + (kCounts ? 8 : 0);
  static constexpr int kBarriers =
      kQueryStages * kQueryBytes + kStages * (kKeyBytes + kValueBytes + kMaskBytes + kStartBytes) +
      kOnesBytes;
  static constexpr unsigned kSharedBytes =
      kBarriers + (2 * kQueryStages + 4 * kStages) * sizeof(Barrier);

  // A thread's registers: at launch all have the same, then the producer gives what it can.
  static constexpr int kLaunched = 65536 / Kernel::kBlocks / kThreads / 8 * 8;
  static constexpr int kProducers = kLaunched * (kWarpgroups + 1) >= 512 ? 32 : 24;
  static constexpr int kConsumers = std::min(
      240, (kLaunched * (kWarpgroups + 1) - kProducers) / std::max(1, kWarpgroups) / 8 * 8);

  // Where a cluster's blocks share the keys of a place, each leaves its sums in shared memory: lines of
  // f32, then the largest score and the total weight of each query.
  static constexpr int kSumBytes = kRows * (kSums + 4) * sizeof(float);
  static_assert(Kernel::kSplits == 1 || (kSumBytes <= kBarriers && !Kernel::kProducer),
                "sums take the place of what was multiplied, when all of a block's threads are done");

  using Rows = SharedMatrix<kPanelBytes, Major::K>;
  using Lines = SharedMatrix<kPanelBytes, Major::MN>;
  using Scores = float[kColumns / 2];
  using Weights = std::uint32_t[kColumns / 16][4];
  using Sums = float[kProducts / 2];
};

/// The keys of a place that a block multiplies: which head's, and which tiles of them.
struct KeySpan {
  int group, first, tiles;
};

/// A number of buffers that are filled and emptied in turn, and where one stands: at its n-th use.
template <int Buffers>
struct Turn {
  int index = 0;
  unsigned parity = 0;

  __device__ __forceinline__ void advance() {
    if (++index == Buffers) {
      index = 0;
      parity ^= 1u;
    }
  }
};

/// What products with a tile of keys are added to, by a warp: -inf for no key.
template <class Kernel, class Index>
__device__ __forceinline__ void stage_starts(const typename Kernel::Arguments& arguments,
                                             const gpu::AttentionPlace<Index>& place, Index column,
                                             float* staged) {
  constexpr int kPack = Kernel::kScorePack, kColumns = HopperAttention<Kernel>::kColumns;
#pragma unroll
  for (int first = 0; first < kColumns; first += 32 * kPack) {
    const int at = first + threadIdx.x % 32 * kPack;
    if (at >= kColumns) break;
    float starts[kPack];
#pragma unroll
    for (int i = 0; i < kPack; ++i) starts[i] = -std::numeric_limits<float>::infinity();
    if (column + at < static_cast<Index>(arguments.columns)) {
      typename Kernel::StartReads reads;
      Kernel::read_start(arguments, place.batch, place.head, 0, column + at, reads);
      Kernel::start(arguments, place.batch, place.head, 0, column + at, reads, starts);
    }
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
      float* const own = staged + (at + i) / 2 * 4 + (at + i) % 2;
      own[0] = own[2] = starts[i];
    }
  }
}

/// The shared memory of a block, and the copies to it.
template <class Kernel>
struct AttentionRing {
  using Tiles = HopperAttention<Kernel>;
  using Stage = Turn<Tiles::kStages>;
  using QueryStage = Turn<Tiles::kQueryStages>;
  char* memory;

  __device__ __forceinline__ char* queries(int stage) const {
    return memory + stage * Tiles::kQueryBytes;
  }
  __device__ __forceinline__ char* keys(int stage) const {
    return queries(Tiles::kQueryStages) + stage * Tiles::kKeyBytes;
  }
  __device__ __forceinline__ char* values(int stage) const {
    return keys(Tiles::kStages) + stage * Tiles::kValueBytes;
  }
  __device__ __forceinline__ char* mask(int stage) const {
    return values(Tiles::kStages) + stage * Tiles::kMaskBytes;
  }
  __device__ __forceinline__ char* ones() const { return mask(Tiles::kStages); }
  __device__ __forceinline__ float* starts(int stage) const {
    return reinterpret_cast<float*>(ones() + Tiles::kOnesBytes + stage * Tiles::kStartBytes);
  }
  __device__ __forceinline__ Barrier* queries_full(int stage) const {
    return reinterpret_cast<Barrier*>(memory + Tiles::kBarriers) + stage;
  }
  __device__ __forceinline__ Barrier* queries_empty(int stage) const {
    return queries_full(stage) + Tiles::kQueryStages;
  }
  __device__ __forceinline__ Barrier* keys_full(int stage) const {
    return queries_empty(Tiles::kQueryStages) + stage;
  }
  __device__ __forceinline__ Barrier* values_full(int stage) const {
    return keys_full(stage) + Tiles::kStages;
  }
  __device__ __forceinline__ Barrier* keys_empty(int stage) const {
    return values_full(stage) + Tiles::kStages;
  }
  __device__ __forceinline__ Barrier* values_empty(int stage) const {
    return keys_empty(stage) + Tiles::kStages;
  }

  /// By all threads, before they meet.
  __device__ __forceinline__ void fill_ones() const {
    if constexpr (Tiles::kCounts) {
      auto* const words = reinterpret_cast<std::uint32_t*>(ones());
      const std::uint32_t pair = pair_of<typename Kernel::Element>(1.0f, 1.0f);
      for (int i = threadIdx.x; i < Tiles::kOnesBytes / 4; i += Tiles::kThreads) words[i] = pair;
      fence_shared_for_engines();
    }
  }

  __device__ __forceinline__ void init() const {
    // One thread of each warp that reads says when a buffer is empty.
    constexpr int kWarps = 4 * Tiles::kWarpgroups, kQueryWarps = Tiles::kQueryRows / 16;
    for (int stage = 0; stage < Tiles::kQueryStages; ++stage) {
      init_barrier(queries_full(stage), 1);
      init_barrier(queries_empty(stage), kQueryWarps);
    }
    for (int stage = 0; stage < Tiles::kStages; ++stage) {
      init_barrier(keys_full(stage), Tiles::kStagesStarts ? 2 : 1);
      init_barrier(values_full(stage), 1);
      init_barrier(keys_empty(stage), kWarps);
      init_barrier(values_empty(stage), kWarps);
    }
    fence_barriers();
  }

  template <class Place>
  __device__ __forceinline__ void load_queries(const AttentionMaps& maps, const Place& place,
                                               int stage) const {
    arrive_expecting(queries_full(stage), Tiles::kQueryBytes);
#pragma unroll
    for (int panel = 0; panel < Tiles::kDepthPanels; ++panel) {
      load_tile(queries(stage) + panel * Tiles::kQueryRows * Tiles::kPanelBytes, &maps.queries,
                queries_full(stage), panel * Tiles::kPanel, static_cast<int>(place.first),
                static_cast<int>(place.head) * Kernel::kQueryHead,
                static_cast<int>(place.batch) * Kernel::kQueryBatch, cache::kEvictFirst);
    }
  }

  /// By a warp: for the next stage, when it is empty.
  template <class Place>
  __device__ __forceinline__ void load_starts(const typename Kernel::Arguments& arguments,
                                              const Place& place, int tile, Stage& next) const {
    using Index = typename Kernel::Index;
    if constexpr (Tiles::kStagesStarts) {
      wait_barrier(keys_empty(next.index), next.parity ^ 1u);
      stage_starts<Kernel>(arguments, place, static_cast<Index>(tile) * Tiles::kColumns,
                           starts(next.index));
      __syncwarp();
      if (threadIdx.x % 32 == 0) arrive(keys_full(next.index));
      next.advance();
    }
  }

  template <class Place>
  __device__ __forceinline__ void load_keys(const AttentionMaps& maps, const Place& place,
                                            const KeySpan& span, int tile, int stage) const {
    arrive_expecting(keys_full(stage), Tiles::kKeyBytes + Tiles::kMaskBytes);
#pragma unroll
    for (int panel = 0; panel < Tiles::kDepthPanels; ++panel) {
      load_tile(keys(stage) + panel * Tiles::kColumns * Tiles::kPanelBytes, &maps.keys,
                keys_full(stage), panel * Tiles::kPanel, (span.first + tile) * Tiles::kColumns,
                span.group * Kernel::kKeyHead, static_cast<int>(place.batch) * Kernel::kKeyBatch);
    }
#pragma unroll
    for (int panel = 0; panel < Tiles::kMaskPanels; ++panel) {
      load_tile(mask(stage) + panel * Tiles::kRows * Tiles::kPanelBytes, &maps.mask,
                keys_full(stage), (span.first + tile) * Tiles::kColumns + panel * Tiles::kPanel,
                static_cast<int>(place.first), static_cast<int>(place.head) * Kernel::kMaskHead,
                static_cast<int>(place.batch) * Kernel::kMaskBatch);
    }
  }

  template <class Place>
  __device__ __forceinline__ void load_values(const AttentionMaps& maps, const Place& place,
                                              const KeySpan& span, int tile, int stage) const {
    arrive_expecting(values_full(stage), Tiles::kValueBytes);
#pragma unroll
    for (int panel = 0; panel < Tiles::kValuePanels; ++panel) {
      load_tile(values(stage) + panel * Tiles::kColumns * Tiles::kPanelBytes, &maps.values,
                values_full(stage), panel * Tiles::kPanel, (span.first + tile) * Tiles::kColumns,
                span.group * Kernel::kValueHead, static_cast<int>(place.batch) * Kernel::kValueBatch);
    }
  }
};

/// The softmax of a thread's two rows (`lane / 4`, and eight more), which four threads share, and the
/// sums of the values that it weighs.
template <class Kernel>
struct WeightedSums {
  using Tiles = HopperAttention<Kernel>;
  using Element = typename Kernel::Element;
  static constexpr float kNothing = -std::numeric_limits<float>::infinity();
  /// From a score to the exponent of two of its weight.
  static constexpr float kScale = Kernel::kScale * 1.4426950408889634f;
  /// A larger score than the largest so far takes its place only when weights would exceed 2^8:
  /// sums are rescaled seldom, and what is stored of a weight is as exact at any scale.
  static constexpr float kSlack = 8.0f / kScale;
  /// Times `kScale`, larger scores are rounded by more than weights may be wrong.
  static constexpr float kHuge = 1048576.0f / kScale;

  float largest[2] = {kNothing, kNothing};
  /// A score above it takes the place of the largest one.
  float limit[2] = {kNothing, kNothing};
  /// What is subtracted from scores times `kScale`.
  float base[2] = {};
  /// Of a thread's own columns, where totals are no products.
  float total[2] = {};
  float change[2];
  typename Tiles::Sums sums = {};

  /// Prepares for the weights of these scores. Whether `rescale` must follow before the next product, for all
  /// of the warp.
  __device__ __forceinline__ bool bound(typename Tiles::Scores& scores) {
    float high[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float own[2] = {scores[half * 2], scores[half * 2 + 1]};
#pragma unroll
      for (int j = 1; j < Tiles::kColumns / 8; ++j) {
        own[0] = fmaxf(own[0], scores[j * 4 + half * 2]);
        own[1] = fmaxf(own[1], scores[j * 4 + half * 2 + 1]);
      }
      high[half] = fmaxf(own[0], own[1]);
    }
    bool grows = false;
    if (__any_sync(0xffffffffu, high[0] > limit[0] || high[1] > limit[1])) {
      grows = raise(high, scores);
    }
    if constexpr (!Tiles::kCounts) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        // What rounding does to the largest weight, which may be most of the total, belongs there too.
        const float weight = fast_exp2(fmaf(high[half], kScale, -base[half]));
        total[half] += ait::convert<float>(ait::convert<Element>(weight)) - weight;
      }
    }
    return grows;
  }

  /// Scores to weights, those of 16 columns, the `step`-th ones.
  __device__ __forceinline__ void weigh(typename Tiles::Scores& scores, int step) {
    float* const part = &scores[step * 8];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float score = part[i];
      part[i] = fast_exp2(fmaf(score, kScale, -base[i / 2 % 2]));
    }
    if constexpr (!Tiles::kCounts) {
      // Each lane adds up its own columns; the four meet at the end.
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float* const own = part + half * 2;
        total[half] += (own[0] + own[1]) + (own[4] + own[5]);
      }
    }
  }

  __device__ __forceinline__ void weigh(typename Tiles::Scores& scores) {
#pragma unroll
    for (int step = 0; step < Tiles::kColumns / 16; ++step) weigh(scores, step);
  }

  /// Larger scores take the place of the largest ones.
  __device__ __forceinline__ bool raise(float (&high)[2], typename Tiles::Scores& scores) {
    bool grows = false;
    float shift[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float next = high[half];
      next = fmaxf(next, other_lane(next, 1));
      next = fmaxf(next, other_lane(next, 2));
      const bool larger = next > largest[half] + kSlack;
      next = larger ? next : largest[half];
      change[half] = larger ? fast_exp2((largest[half] - next) * kScale) : 1.0f;
      largest[half] = next;
      total[half] *= change[half];
      grows |= larger;
      // Where all scores are -inf so far, so are their differences from 0.
      const bool is_huge = next != kNothing && fabsf(next) > kHuge;
      shift[half] = is_huge ? next : 0.0f;
      high[half] -= shift[half];
      base[half] = next == kNothing || is_huge ? 0.0f : next * kScale;
      // Each tile of huge scores is shifted.
      limit[half] = is_huge ? kNothing : next + kSlack;
    }
    if (__any_sync(0xffffffffu, shift[0] != 0.0f || shift[1] != 0.0f)) {
#pragma unroll
      for (int i = 0; i < Tiles::kColumns / 2; ++i) scores[i] -= shift[i / 2 % 2];
    }
    return __any_sync(0xffffffffu, grows);
  }

  __device__ __forceinline__ void rescale() {
#pragma unroll
    for (int i = 0; i < Tiles::kProducts / 2; ++i) sums[i] *= change[i / 2 % 2];
  }

  /// Totals of rows, of what the four threads of each have.
  __device__ __forceinline__ void complete_totals() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if constexpr (Tiles::kCounts) {
        total[half] = sums[Tiles::kSums / 2 + half * 2];
      } else {
        total[half] += other_lane(total[half], 1);
        total[half] += other_lane(total[half], 2);
      }
    }
  }

  __device__ __forceinline__ void normalise() {
    complete_totals();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      change[half] = total[half] == 0.0f ? 0.0f : 1.0f / total[half];
    }
    rescale();
  }

  /// Calls `store(row, d, pack)` for packs of neighbours along d of the warp's 16 rows.
  template <class Store>
  __device__ __forceinline__ void each(const Store& store) const {
    using Pack = gpu::Pack<typename Kernel::Result, Kernel::kPack>;
    const int lane = threadIdx.x % 32, part = lane % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int line = lane / 4 + half * 8;
      if constexpr (Kernel::kPack == 8) {
        constexpr int kPacks = Tiles::kSums / 8;
#pragma unroll
        for (int first = 0; first < kPacks; first += 4) {
          std::uint32_t words[4];
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            const int at = std::min(first + j, kPacks - 1) * 4 + half * 2;
            words[j] = pair_of<typename Kernel::Result>(sums[at], sums[at + 1]);
          }
          transpose_quad(words, part);
          Pack pack;
          static_assert(sizeof(pack) == sizeof(words));
          memcpy(&pack, words, sizeof(pack));
          if (first + part < kPacks) store(line, (first + part) * 8, pack);
        }
      } else {
#pragma unroll
        for (int j = 0; j < Tiles::kSums / 8; ++j) {
#pragma unroll
          for (int e = 0; e < 2; e += Kernel::kPack) {
            Pack pack;
#pragma unroll
            for (int v = 0; v < Kernel::kPack; ++v) {
              pack.value[v] = ait::convert<typename Kernel::Result>(sums[j * 4 + half * 2 + e + v]);
            }
            store(line, j * 8 + part * 2 + e, pack);
          }
        }
      }
    }
  }

  /// Four threads with four words each: thread i gets word i of all, in their order.
  static __device__ __forceinline__ void transpose_quad(std::uint32_t (&words)[4], int part) {
    const bool upper = part & 2, odd = part & 1;
    // First with the thread two away: it gets the words 0, 1 or 2, 3 that it will need.
    const std::uint32_t a0 = upper ? words[2] : words[0], a1 = upper ? words[3] : words[1];
    const std::uint32_t b0 = gpu::shuffle_word(upper ? words[0] : words[2], 2);
    const std::uint32_t b1 = gpu::shuffle_word(upper ? words[1] : words[3], 2);
    // Then with the neighbour.
    const std::uint32_t mine = odd ? a1 : a0, mine2 = odd ? b1 : b0;
    const std::uint32_t next = gpu::shuffle_word(odd ? a0 : a1, 1);
    const std::uint32_t next2 = gpu::shuffle_word(odd ? b0 : b1, 1);
    const std::uint32_t low = odd ? next : mine, high = odd ? mine : next;
    const std::uint32_t low2 = odd ? next2 : mine2, high2 = odd ? mine2 : next2;
    words[0] = upper ? low2 : low;
    words[1] = upper ? high2 : high;
    words[2] = upper ? low : low2;
    words[3] = upper ? high : high2;
  }
};

/// What is added to a product before it is scaled, from what is added to a score. `IsHuge`: it may be so
/// large that it would become infinite.
template <bool IsHuge>
__device__ __forceinline__ float unscaled(float addend, float scale) {
  const float start = addend * (1.0f / scale);
  if constexpr (!IsHuge) return start;
  constexpr float kLargest = std::numeric_limits<float>::max();
  return fabsf(addend) <= kLargest ? fminf(fmaxf(start, -kLargest), kLargest) : start;
}

/// The region on a warp's scores of rows from `row` and columns from `column` on. With `Edge`, some of
/// them may be of no key, or of one that is hidden; the first `kSureColumns` of the last tile are not.
template <class Kernel, bool Edge, class Index>
__device__ __forceinline__ void finish_scores(const typename Kernel::Arguments& arguments,
                                              const gpu::AttentionPlace<Index>& place, Index row,
                                              Index column,
                                              typename HopperAttention<Kernel>::Scores& scores) {
  constexpr float kNothing = WeightedSums<Kernel>::kNothing;
  const int lane = threadIdx.x % 32;
  Index queries[2];
  int visible[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const Index mine = row + lane / 4 + half * 8;
    // Queries beyond the last one are computed and not stored: what they read must be there.
    const Index last = static_cast<Index>(arguments.rows) - 1;
    queries[half] = mine < last ? mine : last;
    Index end = static_cast<Index>(arguments.columns);
    if (Kernel::kCausal) end = mine + place.reach + 1 < end ? mine + place.reach + 1 : end;
    visible[half] = static_cast<int>(end - column) - lane % 4 * 2;
  }
#pragma unroll
  for (int j = 0; j < HopperAttention<Kernel>::kColumns / 8; ++j) {
    const bool edge = Edge && (Kernel::kCausal || j * 8 + 8 > Kernel::kSureColumns);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float* const own = &scores[j * 4 + half * 2];
      if constexpr (!Kernel::kScales) {
        constexpr int kPack = Kernel::kScorePack;
#pragma unroll
        for (int e = 0; e < 2; e += kPack) {
          const Index key = column + j * 8 + lane % 4 * 2 + e;
          float pack[kPack];
#pragma unroll
          for (int i = 0; i < kPack; ++i) pack[i] = own[e + i];
          if (!edge || key < static_cast<Index>(arguments.columns)) {
            Kernel::score(arguments, place.batch, place.head, queries[half], key, pack);
          }
#pragma unroll
          for (int i = 0; i < kPack; ++i) own[e + i] = pack[i];
        }
      }
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        if (edge && j * 8 + e >= visible[half]) own[e] = kNothing;
      }
    }
  }
}

/// What a warpgroup does with 64 queries and a tile of keys and values in shared memory.
template <class Kernel>
struct AttentionSteps {
  using Tiles = HopperAttention<Kernel>;
  using Index = typename Kernel::Index;
  using Element = typename Kernel::Element;
  using Place = gpu::AttentionPlace<Index>;
  using Ring = AttentionRing<Kernel>;
  static constexpr int kColumns = Tiles::kColumns;

  static __device__ __forceinline__ void pin_all(float* values, int count) {
#pragma unroll
    for (int i = 0; i < count; ++i) pin(values[i]);
  }

  /// Starts the products of queries with keys. They are added to what `start` gives, if anything.
  static __device__ __forceinline__ void multiply_keys(typename Tiles::Scores& scores,
                                                       const char* queries, const char* keys) {
    const std::uint64_t left = Tiles::Rows::describe(queries);
    const std::uint64_t right = Tiles::Rows::describe(keys);
#pragma unroll
    for (int step = 0; step < Tiles::kSteps; ++step) {
      const int panel = step / 4;
      const std::uint64_t along = step % 4 * Tiles::Rows::kNextK;
      multiply_shared<Element, kColumns>(
          scores, left + along + (panel * Tiles::kQueryRows * Tiles::kPanelBytes >> 4),
          right + along + (panel * kColumns * Tiles::kPanelBytes >> 4),
          Kernel::kStarts || step > 0);
    }
    commit_products();
  }

  /// Starts a step of the products of weights with values; without `adds`, they are the first ones.
  static __device__ __forceinline__ void multiply_values(WeightedSums<Kernel>& rows,
                                                         const std::uint32_t (&weights)[4],
                                                         const Ring& ring, int stage, int step,
                                                         bool adds) {
    const char* const values = ring.values(stage);
    constexpr std::uint64_t kNext = Tiles::Lines::kNextK;
    // The panel of ones stays where it is from step to step.
    const std::uint64_t right = Tiles::Lines::describe(
        values, Tiles::kCounts ? static_cast<int>(ring.ones() - values)
                               : kColumns * Tiles::kPanelBytes);
    constexpr std::uint64_t kStep = Tiles::kCounts ? kNext - (kNext << 16) : kNext;
    multiply_registers<Element, Tiles::kProducts, Major::MN>(rows.sums, weights,
                                                             right + step * kStep, adds || step > 0);
  }

  /// Starts all of them.
  static __device__ __forceinline__ void multiply_values(WeightedSums<Kernel>& rows,
                                                         const typename Tiles::Weights& weights,
                                                         const Ring& ring, int stage, bool adds) {
#pragma unroll
    for (int step = 0; step < kColumns / 16; ++step) {
      multiply_values(rows, weights[step], ring, stage, step, adds);
    }
    commit_products();
  }

  /// Scores to weights, each of whose products with values are started as soon as they are there: few products
  /// can wait in line, and a warp that starts another one stands still.
  static __device__ __forceinline__ void weigh_values(WeightedSums<Kernel>& rows,
                                                      typename Tiles::Scores& scores,
                                                      const Ring& ring, int stage, bool adds) {
    typename Tiles::Weights weights;
#pragma unroll
    for (int step = 0; step < kColumns / 16; ++step) {
      rows.weigh(scores, step);
      pack(weights[step], scores, step);
      fence_products();
      multiply_values(rows, weights[step], ring, stage, step, adds);
    }
    commit_products();
  }

  static __device__ __forceinline__ void pack(std::uint32_t (&weights)[4],
                                              const typename Tiles::Scores& scores, int step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      weights[i] = pair_of<Element>(scores[step * 8 + i * 2], scores[step * 8 + i * 2 + 1]);
      pin(weights[i]);
    }
  }

  static __device__ __forceinline__ void pack(typename Tiles::Weights& weights,
                                              const typename Tiles::Scores& scores) {
#pragma unroll
    for (int step = 0; step < kColumns / 16; ++step) pack(weights[step], scores, step);
  }

  /// What products of the warpgroup's queries, those from `first` on, with a tile of keys are added to.
  /// `staged`: what came with the keys, of all queries or of the warpgroup's.
  static __device__ __forceinline__ void start(const typename Kernel::Arguments& arguments,
                                               const Place& place, Index first, int tile,
                                               const void* staged,
                                               typename Tiles::Scores& scores) {
    if constexpr (Tiles::kStagesStarts) {
      const float* const own = static_cast<const float*>(staged) + threadIdx.x % 4 * 4;
#pragma unroll
      for (int j = 0; j < kColumns / 8; ++j) {
        const auto pairs = gpu::load_pack<4>(own + j * 16);
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[j * 4 + i] = pairs.value[i];
      }
    } else {
      const int line = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4;
      const Index column = static_cast<Index>(tile) * kColumns + threadIdx.x % 4 * 2;
#pragma unroll
      for (int j = 0; j < kColumns / 8; ++j) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          start_pair(arguments, place, first, line + half * 8, column, j * 8, staged,
                     &scores[j * 4 + half * 2]);
        }
      }
    }
    pin_all(scores, kColumns / 2);
  }

  /// The same for two neighbours, `next` after `column`.
  static __device__ __forceinline__ void start_pair(const typename Kernel::Arguments& arguments,
                                                    const Place& place, Index first, int line,
                                                    Index column, int next, const void* staged,
                                                    float* scores) {
    constexpr int kPack = Kernel::kScorePack;
    // Queries beyond the last one are computed and not stored: what they read must be there.
    const Index last = static_cast<Index>(arguments.rows) - 1;
    const Index query = first + line < last ? first + line : last;
#pragma unroll
    for (int e = 0; e < 2; e += kPack) {
      const Index key = column + next + e;
      float starts[kPack] = {};
      typename Kernel::StartReads reads;
      if constexpr (Kernel::kStagesMask) {
        static_assert(sizeof(reads) == 4, "the mask's pair of elements is all that is read");
        const char* const panel =
            static_cast<const char*>(staged) + next / 64 * Tiles::kRows * Tiles::kPanelBytes;
        memcpy(&reads,
               panel + swizzled<Tiles::kPanelBytes>(line * Tiles::kPanelBytes + next % 64 * 2 +
                                                    threadIdx.x % 4 * 4),
               4);
        Kernel::start(arguments, place.batch, place.head, query, key, reads, starts);
      } else if (!Kernel::kEdges || key < static_cast<Index>(arguments.columns)) {
        // The number of keys is a multiple of the pack: all of it has keys, or none.
        Kernel::read_start(arguments, place.batch, place.head, query, key, reads);
        Kernel::start(arguments, place.batch, place.head, query, key, reads, starts);
      }
#pragma unroll
      for (int i = 0; i < kPack; ++i) scores[e + i] = starts[i];
    }
  }

  /// The scores of the warpgroup's queries, which are those from `first` on, and a tile of keys.
  static __device__ __forceinline__ void finish(const typename Kernel::Arguments& arguments,
                                                const Place& place, Index first, int tile,
                                                typename Tiles::Scores& scores) {
    const Index row = first + threadIdx.x / 32 % 4 * 16;
    const Index column = static_cast<Index>(tile) * kColumns;
    // Products with no key were added to -inf, where starts are staged.
    const bool ends = Kernel::kEdges && !Tiles::kStagesStarts &&
                      column + kColumns > static_cast<Index>(arguments.columns);
    if (ends || (Kernel::kCausal && column + kColumns - 1 > first + place.reach)) {
      finish_scores<Kernel, true>(arguments, place, row, column, scores);
    } else if constexpr (!Kernel::kScales) {
      finish_scores<Kernel, false>(arguments, place, row, column, scores);
    }
  }

  /// The results of the warpgroup's queries, those from `first` on.
  static __device__ __forceinline__ void store(const typename Kernel::Arguments& arguments,
                                               const Place& place, Index first,
                                               WeightedSums<Kernel>& rows) {
    rows.normalise();
    const Index row = first + threadIdx.x / 32 % 4 * 16;
    rows.each([&](int line, int d, const auto& pack) {
      if (row + line < static_cast<Index>(arguments.rows) && d < Kernel::kValue) {
        Kernel::store(arguments, place.batch, place.head, row + line, d, pack);
      }
    });
  }
};

/// The part of a block that multiplies: one warpgroup, 64 queries of each place.
template <class Kernel>
struct AttentionConsumer {
  using Tiles = HopperAttention<Kernel>;
  using Ring = AttentionRing<Kernel>;
  using Steps = AttentionSteps<Kernel>;
  using Index = typename Kernel::Index;
  using Place = gpu::AttentionPlace<Index>;
  static constexpr int kColumns = Tiles::kColumns;

  const typename Kernel::Arguments& arguments;
  const AttentionMaps& maps;
  const Ring& ring;
  const int own;
  typename Ring::Stage keys, values;
  typename Ring::QueryStage queries;

  /// Warpgroups take turns in starting products: one computes weights while another multiplies.
  __device__ __forceinline__ void take_turn() const {
    if constexpr (Kernel::kTurns) sync_threads(1 + own, 256);
  }
  __device__ __forceinline__ void pass_turn() const {
    if constexpr (Kernel::kTurns) {
      arrive_threads(own + 1 < Tiles::kWarpgroups ? own + 2 : 1, 256);
    }
  }

  /// Starts the products of the queries with the next keys, which must be there.
  __device__ __forceinline__ void multiply_keys(typename Tiles::Scores& scores) const {
    Steps::multiply_keys(
        scores, ring.queries(queries.index) + own * 64 * Tiles::kPanelBytes,
        ring.keys(keys.index));
  }

  /// Starts the products of weights with the next values, which must be there.
  __device__ __forceinline__ void multiply_values(WeightedSums<Kernel>& rows,
                                                  const typename Tiles::Weights& weights) const {
    Steps::multiply_values(rows, weights, ring, values.index, true);
  }

  /// Without a producer, the first thread fills the buffers again that all warps have done with.
  __device__ __forceinline__ void release_keys(const Place& place, const KeySpan& span, int tile) {
    if (threadIdx.x % 32 == 0) arrive(ring.keys_empty(keys.index));
    if (!Kernel::kProducer && tile + Tiles::kStages < span.tiles) {
      if (threadIdx.x == 0) {
        wait_barrier(ring.keys_empty(keys.index), keys.parity);
        ring.load_keys(maps, place, span, tile + Tiles::kStages, keys.index);
      }
      __syncwarp();
    }
    keys.advance();
  }
  __device__ __forceinline__ void release_values(const Place& place, const KeySpan& span, int tile) {
    if (threadIdx.x % 32 == 0) arrive(ring.values_empty(values.index));
    if (!Kernel::kProducer && tile + Tiles::kStages < span.tiles) {
      if (threadIdx.x == 0) {
        wait_barrier(ring.values_empty(values.index), values.parity);
        ring.load_values(maps, place, span, tile + Tiles::kStages, values.index);
      }
      __syncwarp();
    }
    values.advance();
  }
  __device__ __forceinline__ void release_queries() {
    if (threadIdx.x % 32 == 0) arrive(ring.queries_empty(queries.index));
    queries.advance();
  }

  /// Waits for the next keys; scores are what products with them are added to.
  __device__ __forceinline__ void start(typename Tiles::Scores& scores, const Place& place,
                                        int tile) const {
    const Index first = place.first + own * 64;
    if constexpr (Kernel::kStarts && !Tiles::kStagesStarts && !Kernel::kStagesMask) {
      Steps::start(arguments, place, first, tile, nullptr, scores);
    }
    wait_barrier(ring.keys_full(keys.index), keys.parity);
    if constexpr (Tiles::kStagesStarts) {
      Steps::start(arguments, place, first, tile, ring.starts(keys.index), scores);
    } else if constexpr (Kernel::kStagesMask) {
      const char* const mask = ring.mask(keys.index) + own * 64 * Tiles::kPanelBytes;
      Steps::start(arguments, place, first, tile, mask, scores);
    }
  }

  __device__ __forceinline__ void finish(typename Tiles::Scores& scores, const Place& place,
                                         int tile) const {
    Steps::finish(arguments, place, place.first + own * 64, tile, scores);
  }

  /// One tile after the other; what overlaps is left to the other warpgroups.
  __device__ __forceinline__ void run_plain(WeightedSums<Kernel>& rows, const Place& place,
                                            const KeySpan& span) {
#pragma unroll 1
    for (int tile = 0; tile < span.tiles; ++tile) {
      typename Tiles::Scores scores;
      start(scores, place, span.first + tile);
      fence_products();
      multiply_keys(scores);
      wait_for_products<0>();
      Steps::pin_all(scores, kColumns / 2);
      release_keys(place, span, tile);
      if (tile + 1 == span.tiles) release_queries();
      finish(scores, place, span.first + tile);
      if (rows.bound(scores)) rows.rescale();
      wait_barrier(ring.values_full(values.index), values.parity);
      Steps::weigh_values(rows, scores, ring, values.index, tile > 0);
      wait_for_products<0>();
      Steps::pin_all(rows.sums, Tiles::kProducts / 2);
      release_values(place, span, tile);
    }
  }

  /// Products of a tile's keys and of the last tile's values run while weights are computed.
  __device__ __forceinline__ void run_overlapped(WeightedSums<Kernel>& rows, const Place& place,
                                                 const KeySpan& span) {
    typename Tiles::Weights weights;
    {
      typename Tiles::Scores scores;
      start(scores, place, span.first);
      take_turn();
      fence_products();
      multiply_keys(scores);
      pass_turn();
      wait_for_products<0>();
      Steps::pin_all(scores, kColumns / 2);
      release_keys(place, span, 0);
      finish(scores, place, span.first);
      rows.bound(scores);
      rows.weigh(scores);
      Steps::pack(weights, scores);
    }
#pragma unroll 1
    for (int tile = 1; tile < span.tiles; ++tile) {
      typename Tiles::Scores scores;
      start(scores, place, span.first + tile);
      take_turn();
      fence_products();
      multiply_keys(scores);
      wait_barrier(ring.values_full(values.index), values.parity);
      fence_products();
      multiply_values(rows, weights);
      pass_turn();
      wait_for_products<1>();
      Steps::pin_all(scores, kColumns / 2);
      release_keys(place, span, tile);
      finish(scores, place, span.first + tile);
      const bool grows = rows.bound(scores);
      rows.weigh(scores);
      wait_for_products<0>();
      Steps::pin_all(rows.sums, Tiles::kProducts / 2);
      release_values(place, span, tile - 1);
      if (grows) rows.rescale();
      Steps::pack(weights, scores);
    }
    release_queries();
    wait_barrier(ring.values_full(values.index), values.parity);
    fence_products();
    multiply_values(rows, weights);
    wait_for_products<0>();
    Steps::pin_all(rows.sums, Tiles::kProducts / 2);
    release_values(place, span, span.tiles - 1);
  }

  /// All keys of a place, and its results.
  __device__ __forceinline__ void run(const Place& place, const KeySpan& span) {
    WeightedSums<Kernel> rows;
    if (span.tiles > 0) {
      wait_barrier(ring.queries_full(queries.index), queries.parity);
      if constexpr (Kernel::kOverlapped) {
        run_overlapped(rows, place, span);
      } else {
        run_plain(rows, place, span);
      }
    }
    if constexpr (Kernel::kSplits > 1) {
      combine(rows, place);
    } else {
      Steps::store(arguments, place, place.first + own * 64, rows);
    }
  }

  /// The results of a place whose keys the blocks of the cluster have shared, in the blocks' order.
  __device__ __forceinline__ void combine(WeightedSums<Kernel>& rows, const Place& place) const {
    constexpr int kPitch = Tiles::kSums + 4, kPacks = Tiles::kSums / 8;
    float* const lines = reinterpret_cast<float*>(ring.memory);
    const int lane = threadIdx.x % 32;
    rows.complete_totals();
    __syncthreads();  // nobody reads from the ring any more
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float* const line = lines + (threadIdx.x / 32 * 16 + lane / 4 + half * 8) * kPitch;
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        gpu::store_pack<2>(line + j * 8 + lane % 4 * 2,
                           {rows.sums[j * 4 + half * 2], rows.sums[j * 4 + half * 2 + 1]});
      }
      if (lane % 4 == 0) {
        gpu::store_pack<2>(line + Tiles::kSums, {rows.largest[half], rows.total[half]});
      }
    }
    sync_cluster();
    for (int piece = threadIdx.x + cluster_rank() * Tiles::kThreads; piece < Tiles::kRows * kPacks;
         piece += Tiles::kThreads * Kernel::kSplits) {
      const Index row = place.first + piece / kPacks;
      if (row >= static_cast<Index>(arguments.rows)) break;
      const float* const line = lines + piece / kPacks * kPitch;
      const int d = piece % kPacks * 8;
      float weights[Kernel::kSplits], totals[Kernel::kSplits];
      float largest = WeightedSums<Kernel>::kNothing;
#pragma unroll
      for (int i = 0; i < Kernel::kSplits; ++i) {
        const float4 state = load_remote(remote_address(line + Tiles::kSums, i));
        weights[i] = state.x;
        totals[i] = state.y;
        largest = fmaxf(largest, state.x);
      }
      float total = 0.0f, values[8] = {};
#pragma unroll
      for (int i = 0; i < Kernel::kSplits; ++i) {
        const bool any = weights[i] != WeightedSums<Kernel>::kNothing;
        weights[i] = any ? fast_exp2((weights[i] - largest) * WeightedSums<Kernel>::kScale) : 0.0f;
        total = fmaf(weights[i], totals[i], total);
#pragma unroll
        for (int e = 0; e < 8; e += 4) {
          // Nothing would wait for what no result is made of: see below.
          if (Tiles::kSums > Kernel::kValue && d + e >= Kernel::kValue) continue;
          const float4 part = load_remote(remote_address(line + d + e, i));
          values[e] = fmaf(weights[i], part.x, values[e]);
          values[e + 1] = fmaf(weights[i], part.y, values[e + 1]);
          values[e + 2] = fmaf(weights[i], part.z, values[e + 2]);
          values[e + 3] = fmaf(weights[i], part.w, values[e + 3]);
        }
      }
      const float factor = total == 0.0f ? 0.0f : 1.0f / total;
#pragma unroll
      for (int e = 0; e < 8; e += Kernel::kPack) {
        gpu::Pack<typename Kernel::Result, Kernel::kPack> pack;
#pragma unroll
        for (int v = 0; v < Kernel::kPack; ++v) {
          pack.value[v] = ait::convert<typename Kernel::Result>(values[e + v] * factor);
        }
        if (d + e < Kernel::kValue) {
          Kernel::store(arguments, place.batch, place.head, row, static_cast<Index>(d + e), pack);
        }
      }
    }
    // No block leaves while others read its part. What was read of theirs is stored by now.
    meet_cluster();
  }
};

/// `Kernel` is generated: `Element` of all factors, `Index`, `Arguments` (with `batches`, `heads`,
/// `rows`, `columns`), the constants used here, `group(arguments, head)`, the region, and
/// `store(arguments, batch, head, row, d, values)` of `kPack` results. The region is `kScale` times the
/// product (`kScales`), which may begin with `start(arguments, batch, head, row, column, reads, starts)` of
/// `kScorePack` keys (`kStarts`), or `score(arguments, batch, head, row, column, products)`. `reads` is what
/// `read_start` reads, which does not differ between queries (`kStartsOfKeys`), or comes as a tile
/// (`kStagesMask`). `kPersistent`: as many blocks as fit at once share all
/// places; the copies for the next one run while the results of one are written.
template <class Kernel>
__device__ __forceinline__ void attention_block(const typename Kernel::Arguments& arguments,
                                                const AttentionMaps& maps, unsigned places) {
  using Tiles = HopperAttention<Kernel>;
  using Ring = AttentionRing<Kernel>;
  using Index = typename Kernel::Index;
  static_assert(Kernel::kProducer || !Kernel::kPersistent, "copies for the next place need a thread");
  const Ring ring{dynamic_shared_tiles()};
  if (threadIdx.x == 0) {
    ring.init();
    prefetch_map(&maps.queries);
    prefetch_map(&maps.keys);
    prefetch_map(&maps.values);
    if (Kernel::kStagesMask) prefetch_map(&maps.mask);
  }
  ring.fill_ones();
  __syncthreads();
  gpu::wait_for_inputs();
  gpu::let_next_start();

  // Calls `use(place, span)` for each of the block's places.
  const auto each_place = [&](const auto& use) {
    unsigned index = blockIdx.x / Kernel::kSplits;
    do {
      // Causal places have an order of their own: the longest come first.
      const unsigned number =
          Kernel::kCausal ? index : gpu::in_order(index, places, arguments.backwards);
      const auto place = gpu::attention_place<Index>(arguments, static_cast<Index>(number),
                                                     Tiles::kRows, Kernel::kCausal);
      KeySpan span{static_cast<int>(Kernel::group(arguments, place.head)), 0,
                   static_cast<int>((place.keys + Tiles::kColumns - 1) / Tiles::kColumns)};
      if constexpr (Kernel::kSplits > 1) {
        const int share = (span.tiles + Kernel::kSplits - 1) / Kernel::kSplits;
        span.first = cluster_rank() * share;
        const int left = span.tiles - span.first;
        span.tiles = left < 0 ? 0 : left < share ? left : share;
      }
      use(place, span);
      index += gridDim.x;
    } while (Kernel::kPersistent && index < places);
  };

  // The shuffle tells the compiler that this is the same in all lanes.
  const int warpgroup = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);
  if (Kernel::kProducer && warpgroup == Tiles::kWarpgroups) {
    give_registers<Tiles::kProducers>();
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32 % 4, 0);
    typename Ring::Stage next;
    if (Tiles::kStagesStarts && warp == 1) {
      each_place([&](const auto& place, const KeySpan& span) {
        for (int tile = 0; tile < span.tiles; ++tile) ring.load_starts(arguments, place, tile, next);
      });
    }
    if (threadIdx.x != Tiles::kWarpgroups * 128) return;
    typename Ring::QueryStage queries;
    each_place([&](const auto& place, const KeySpan& span) {
      if (span.tiles == 0) return;
      wait_barrier(ring.queries_empty(queries.index), queries.parity ^ 1u);
      ring.load_queries(maps, place, queries.index);
      queries.advance();
      for (int tile = 0; tile < span.tiles; ++tile) {
        wait_barrier(ring.keys_empty(next.index), next.parity ^ 1u);
        ring.load_keys(maps, place, span, tile, next.index);
        wait_barrier(ring.values_empty(next.index), next.parity ^ 1u);
        ring.load_values(maps, place, span, tile, next.index);
        next.advance();
      }
    });
    return;
  }

  if constexpr (Kernel::kProducer) take_registers<Tiles::kConsumers>();
  AttentionConsumer<Kernel> consumer{arguments, maps, ring, warpgroup};
  if (Kernel::kTurns && warpgroup == Tiles::kWarpgroups - 1) arrive_threads(1, 256);
  each_place([&](const auto& place, const KeySpan& span) {
    if (!Kernel::kProducer && threadIdx.x == 0 && span.tiles > 0) {
      ring.load_queries(maps, place, 0);
      for (int tile = 0; tile < Tiles::kStages && tile < span.tiles; ++tile) {
        ring.load_keys(maps, place, span, tile, tile);
        ring.load_values(maps, place, span, tile, tile);
      }
    }
    consumer.run(place, span);
  });
}

template <class Kernel>
__global__ void __launch_bounds__(HopperAttention<Kernel>::kThreads, Kernel::kBlocks)
    attention_hopper(const __grid_constant__ typename Kernel::Arguments arguments,
                     const __grid_constant__ AttentionMaps maps, const unsigned places) {
  attention_block<Kernel>(arguments, maps, places);
}

/// A cluster of blocks shares the keys of each place.
template <class Kernel>
__global__ void __cluster_dims__(Kernel::kSplits, 1, 1)
    __launch_bounds__(HopperAttention<Kernel>::kThreads, Kernel::kBlocks)
        attention_hopper_split(const __grid_constant__ typename Kernel::Arguments arguments,
                               const __grid_constant__ AttentionMaps maps, const unsigned places) {
  attention_block<Kernel>(arguments, maps, places);
}

template <class Kernel>
ait::Status run_attention_hopper(const ait::Launch& launch,
                                 const typename Kernel::Arguments& arguments) {
  using Tiles = HopperAttention<Kernel>;
  unsigned blocks = 0;
  AIT_TRY(gpu::attention_blocks(arguments, Tiles::kRows, blocks));
  if (blocks == 0) return ait::ok();
  AttentionMaps maps;
  AIT_TRY(Kernel::describe(arguments, maps));
  if constexpr (Kernel::kSplits > 1) {
    if (blocks > static_cast<unsigned>(INT32_MAX / Kernel::kSplits)) {
      return Status{AIT_INVALID_INPUT, "an attention has too many queries for one launch"};
    }
    return gpu::launch_with_shared(launch, attention_hopper_split<Kernel>,
                                   dim3(blocks * Kernel::kSplits), dim3(Tiles::kThreads),
                                   Tiles::kSharedBytes, arguments, maps, blocks);
  } else {
    const unsigned resident = static_cast<unsigned>(gpu::multiprocessors()) * Kernel::kBlocks;
    const unsigned grid = Kernel::kPersistent ? std::min(blocks, resident) : blocks;
    return gpu::launch_with_shared(launch, attention_hopper<Kernel>, dim3(grid),
                                   dim3(Tiles::kThreads), Tiles::kSharedBytes, arguments, maps,
                                   blocks);
  }
}

}  // namespace ait::cuda
