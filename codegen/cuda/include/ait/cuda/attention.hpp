// Attention on tensor cores (mma.sync): a block has a tile of queries, keys and values stream through
// two stages of shared memory, and scores stay in registers, where the softmax is rescaled whenever a
// larger score comes. The weights of a tile are the left factor of its second product as they are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "ait/cuda/fragments.hpp"
#include "ait/gpu/own_attention.hpp"

namespace ait::cuda {

constexpr int next_multiple(int value, int of) { return (value + of - 1) / of * of; }

/// Lines of `Depth` 16-bit elements in shared memory, and zeros up to a multiple of 16. Lines are an
/// odd number of 16-byte pieces apart, so that eight of them at one place lie in different banks.
template <class Element, int Lines, int Depth>
struct PaddedLines {
  static constexpr int kDepth = next_multiple(Depth, 16);
  static constexpr int kPitch = kDepth + 8;
  static constexpr int kSize = Lines * kPitch;

  /// Copies lines [first, first + Lines) of a matrix, zeros from line `count` on. `at(line, d)` is an
  /// element's address, `Vector` neighbours along d can be read at once.
  template <int Vector, int Threads, class Index, class Address>
  static __device__ __forceinline__ void fetch(Element* shared, const Element* data, Index first,
                                               Index count, const Address& at) {
    constexpr int kPiece = Vector == 1 ? 8 : Vector;
    constexpr int kPieces = kDepth / kPiece, kCount = (Lines * kPieces + Threads - 1) / Threads;
    constexpr bool kExact = Lines * kPieces % Threads == 0;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int index = threadIdx.x + i * Threads;
      if (!kExact && index >= Lines * kPieces) continue;
      const int line = index / kPieces, d = index % kPieces * kPiece;
      const bool inside = first + line < count;
      Element* const to = shared + line * kPitch + d;
      if constexpr (Vector > 1) {
        const bool copied = inside && d < Depth;
        copy_async<Vector * sizeof(Element)>(to, copied ? at(first + line, d) : data, copied);
      } else {
        gpu::Pack<Element, kPiece> pack;
#pragma unroll
        for (int j = 0; j < kPiece; ++j) {
          pack.value[j] = inside && d + j < Depth ? *at(first + line, d + j) : Element{0};
        }
        gpu::store_pack<kPiece>(to, pack);
      }
    }
  }
};

/// The sizes of a block. `Kernel` is generated: see `attention` below.
template <class Kernel>
struct AttentionTiles {
  using Element = typename Kernel::Element;
  static constexpr int kWarps = Kernel::kWarps, kThreads = kWarps * 32;
  static constexpr int kRows = Kernel::kTileRows, kColumns = Kernel::kTileColumns;
  static constexpr int kFragments = kRows / (16 * kWarps);
  static_assert(kRows % (16 * kWarps) == 0 && kColumns % 16 == 0, "fragments are of 16 x 16");
  using Queries = PaddedLines<Element, kRows, Kernel::kDepth>;
  using Keys = PaddedLines<Element, kColumns, Kernel::kDepth>;
  using Values = PaddedLines<Element, kColumns, Kernel::kValue>;
  static constexpr int kSteps = Queries::kDepth / 16;
  static constexpr int kScores = kColumns / 8, kSums = Values::kDepth / 8;
  static constexpr int kStage = Keys::kSize + Values::kSize;
  using Slab = cuda::Slab<kSums>;
  static constexpr unsigned kSharedBytes = std::max<unsigned>(
      (Queries::kSize + 2 * kStage) * sizeof(Element), kWarps * Slab::kBytes);
  /// Queries stay in registers where they fit beside all else; else each step reads them again.
  static constexpr bool kKeepsQueries = kFragments * kSteps <= 8;
};

/// The state of one fragment: two rows a thread, `lane / 4` and eight more.
template <class Kernel>
struct AttentionRows {
  using Tiles = AttentionTiles<Kernel>;
  static constexpr float kNothing = -std::numeric_limits<float>::infinity();
  static constexpr float kLog2E = 1.4426950408889634f;

  float largest[2] = {kNothing, kNothing};
  float total[2] = {};
  float sums[Tiles::kSums][4] = {};

  /// Scores to the weights of a softmax whose largest score may still grow; rescales what there is.
  __device__ __forceinline__ void weigh(float (&scores)[Tiles::kScores][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float next = largest[half];
#pragma unroll
      for (int j = 0; j < Tiles::kScores; ++j) {
        next = fmaxf(next, fmaxf(scores[j][half * 2], scores[j][half * 2 + 1]));
      }
      next = fmaxf(next, other_lane(next, 1));
      next = fmaxf(next, other_lane(next, 2));
      // Where all scores are -inf so far, so are their differences from 0.
      const float base = next == kNothing ? 0.0f : next * kLog2E;
      const float scale = fast_exp2(fmaf(largest[half], kLog2E, -base));
      largest[half] = next;
      float sum = 0.0f;
#pragma unroll
      for (int j = 0; j < Tiles::kScores; ++j) {
#pragma unroll
        for (int e = half * 2; e < half * 2 + 2; ++e) {
          scores[j][e] = fast_exp2(fmaf(scores[j][e], kLog2E, -base));
          sum += scores[j][e];
        }
      }
      // Each lane adds up its own columns; the four meet at the end.
      total[half] = fmaf(total[half], scale, sum);
#pragma unroll
      for (int j = 0; j < Tiles::kSums; ++j) {
        sums[j][half * 2] *= scale;
        sums[j][half * 2 + 1] *= scale;
      }
    }
  }

  __device__ __forceinline__ void normalise() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = total[half];
      sum += other_lane(sum, 1);
      sum += other_lane(sum, 2);
      const float factor = sum == 0.0f ? 0.0f : 1.0f / sum;
#pragma unroll
      for (int j = 0; j < Tiles::kSums; ++j) {
        sums[j][half * 2] *= factor;
        sums[j][half * 2 + 1] *= factor;
      }
    }
  }
};

/// The region on the scores of one fragment. With `Edge`, some of them may be of no key, or of one
/// that is hidden.
template <class Kernel, bool Edge, class Index>
__device__ __forceinline__ void apply_score(
    const typename Kernel::Arguments& arguments, const gpu::AttentionPlace<Index>& place, Index row,
    Index column, float (&scores)[AttentionTiles<Kernel>::kScores][4]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    // Queries beyond the last one are computed and not stored: what they read must be there.
    const Index mine = row + lane / 4 + half * 8;
    const Index last = static_cast<Index>(arguments.rows) - 1;
    const Index query = mine < last ? mine : last;
#pragma unroll
    for (int j = 0; j < AttentionTiles<Kernel>::kScores; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& score = scores[j][half * 2 + e];
        const Index key = column + j * 8 + lane % 4 * 2 + e;
        const bool hidden = Edge && (key >= static_cast<Index>(arguments.columns) ||
                                     (Kernel::kCausal && key > mine + place.reach));
        score = hidden ? AttentionRows<Kernel>::kNothing
                       : Kernel::score(arguments, place.batch, place.head, query, key, score);
      }
    }
  }
}

/// `Kernel` is generated: `Element` of all factors, `Index`, `Arguments` (with `batches`, `heads`,
/// `rows`, `columns`), the constants used here, `query(arguments, batch, head, row, d)`, `key(arguments,
/// batch, head, column, d)` and `value(...)`, which are addresses, the region `score(arguments, batch,
/// head, row, column, dot)`, and `store(arguments, batch, head, row, d, values)` of `kPack` results.
template <class Kernel>
__global__ void __launch_bounds__(AttentionTiles<Kernel>::kThreads)
    attention(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Tiles = AttentionTiles<Kernel>;
  using Rows = AttentionRows<Kernel>;
  using Index = typename Kernel::Index;
  using Element = typename Kernel::Element;
  constexpr int kFragments = Tiles::kFragments, kThreads = Tiles::kThreads;
  constexpr int kColumns = Tiles::kColumns;

  gpu::wait_for_inputs();
  gpu::let_next_start();
  const auto place = gpu::attention_place<Index>(arguments, static_cast<Index>(blockIdx.x),
                                                 Tiles::kRows, Kernel::kCausal);
  const int lane = threadIdx.x % 32;
  const int first_line = threadIdx.x / 32 * 16 * kFragments;
  Element* const queries = reinterpret_cast<Element*>(dynamic_shared());
  const auto stage = [&](int i) { return queries + Tiles::Queries::kSize + i % 2 * Tiles::kStage; };

  const auto fetch = [&](int tile) {
    const Index first = static_cast<Index>(tile) * kColumns;
    const Index columns = static_cast<Index>(arguments.columns);
    Tiles::Keys::template fetch<Kernel::kVectorK, kThreads>(
        stage(tile), Kernel::keys(arguments), first, columns, [&](Index column, int d) {
          return Kernel::key(arguments, place.batch, place.head, column, d);
        });
    Tiles::Values::template fetch<Kernel::kVectorV, kThreads>(
        stage(tile) + Tiles::Keys::kSize, Kernel::values(arguments), first, columns,
        [&](Index column, int d) {
          return Kernel::value(arguments, place.batch, place.head, column, d);
        });
  };
  Tiles::Queries::template fetch<Kernel::kVectorQ, kThreads>(
      queries, Kernel::queries(arguments), place.first, static_cast<Index>(arguments.rows),
      [&](Index row, int d) {
        return Kernel::query(arguments, place.batch, place.head, row, d);
      });
  const int tiles = static_cast<int>((place.keys + kColumns - 1) / kColumns);
  if (tiles > 0) fetch(0);
  commit_copies();

  const auto load_query = [&](std::uint32_t(&to)[4], int fragment, int step) {
    const int line = first_line + fragment * 16 + lane % 16;
    load_matrices(to, queries + line * Tiles::Queries::kPitch + step * 16 + lane / 16 * 8);
  };
  std::uint32_t kept[kFragments][Tiles::kKeepsQueries ? Tiles::kSteps : 1][4];
  Rows rows[kFragments];
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    if (tile + 1 < tiles) fetch(tile + 1);
    commit_copies();
    wait_for_copies<1>();
    __syncthreads();
    if constexpr (Tiles::kKeepsQueries) {
      if (tile == 0) {
#pragma unroll
        for (int f = 0; f < kFragments; ++f) {
#pragma unroll
          for (int step = 0; step < Tiles::kSteps; ++step) load_query(kept[f][step], f, step);
        }
      }
    }
    const Element* const keys = stage(tile);
    const Element* const values = keys + Tiles::Keys::kSize;

    float scores[kFragments][Tiles::kScores][4] = {};
#pragma unroll
    for (int step = 0; step < Tiles::kSteps; ++step) {
      std::uint32_t left[kFragments][4];
#pragma unroll
      for (int f = 0; f < kFragments; ++f) {
        if constexpr (Tiles::kKeepsQueries) {
#pragma unroll
          for (int i = 0; i < 4; ++i) left[f][i] = kept[f][step][i];
        } else {
          load_query(left[f], f, step);
        }
      }
#pragma unroll
      for (int j = 0; j < Tiles::kScores / 2; ++j) {
        std::uint32_t right[4];
        const int line = j * 16 + lane / 16 * 8 + lane % 8;
        load_matrices(right, keys + line * Tiles::Keys::kPitch + step * 16 + lane / 8 % 2 * 8);
#pragma unroll
        for (int f = 0; f < kFragments; ++f) {
          multiply<Element>(scores[f][j * 2], left[f], right[0], right[1]);
          multiply<Element>(scores[f][j * 2 + 1], left[f], right[2], right[3]);
        }
      }
    }

    const Index column = static_cast<Index>(tile) * kColumns;
    const bool edge = column + kColumns > static_cast<Index>(arguments.columns) ||
                      (Kernel::kCausal && column + kColumns - 1 > place.first + place.reach);
#pragma unroll
    for (int f = 0; f < kFragments; ++f) {
      const Index row = place.first + first_line + f * 16;
      if (edge) {
        apply_score<Kernel, true>(arguments, place, row, column, scores[f]);
      } else {
        apply_score<Kernel, false>(arguments, place, row, column, scores[f]);
      }
      rows[f].weigh(scores[f]);
    }

#pragma unroll
    for (int step = 0; step < kColumns / 16; ++step) {
      std::uint32_t left[kFragments][4];
#pragma unroll
      for (int f = 0; f < kFragments; ++f) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float(&pair)[4] = scores[f][step * 2 + i / 2];
          left[f][i] = pair_of<Element>(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
        }
      }
#pragma unroll
      for (int j = 0; j < Tiles::kSums / 2; ++j) {
        std::uint32_t right[4];
        const int line = step * 16 + lane % 16;
        load_transposed(right, values + line * Tiles::Values::kPitch + j * 16 + lane / 16 * 8);
#pragma unroll
        for (int f = 0; f < kFragments; ++f) {
          multiply<Element>(rows[f].sums[j * 2], left[f], right[0], right[1]);
          multiply<Element>(rows[f].sums[j * 2 + 1], left[f], right[2], right[3]);
        }
      }
    }
    __syncthreads();
  }
  wait_for_copies<0>();
  __syncthreads();

  auto* const slab = reinterpret_cast<float*>(dynamic_shared() + threadIdx.x / 32 * Tiles::Slab::kBytes);
#pragma unroll
  for (int f = 0; f < kFragments; ++f) {
    rows[f].normalise();
    Tiles::Slab::template each<Kernel::kPack>(
        rows[f].sums, slab, [&](int line, int d, const float(&values)[Kernel::kPack]) {
          const Index row = place.first + first_line + f * 16 + line;
          if (row < static_cast<Index>(arguments.rows) && d < Kernel::kValue) {
            Kernel::store(arguments, place.batch, place.head, row, d, values);
          }
        });
  }
}

template <class Kernel>
ait::Status run_attention(const ait::Launch& launch, const typename Kernel::Arguments& arguments) {
  using Tiles = AttentionTiles<Kernel>;
  unsigned blocks = 0;
  AIT_TRY(gpu::attention_blocks(arguments, Tiles::kRows, blocks));
  return gpu::launch_with_shared(launch, attention<Kernel>, dim3(blocks), dim3(Tiles::kThreads),
                                 Tiles::kSharedBytes, arguments);
}

}  // namespace ait::cuda
