// Attention on tensor cores (mma.sync): a block has a tile of queries, keys and values stream through
// two stages of shared memory, and scores stay in registers, where the softmax is rescaled whenever a
// larger score comes. The weights of a tile are the left factor of its second product as they are.
// Factors are of 16 bits, or f32, which is multiplied as TF32 numbers (mma_tiles.hpp says how).
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "ait/cuda/fragments.hpp"
#include "ait/gpu/own_attention.hpp"

namespace ait::cuda {

constexpr int next_multiple(int value, int of) { return (value + of - 1) / of * of; }

/// Lines of `Depth` elements in shared memory, and zeros up to a multiple of 32 bytes. Lines are an
/// odd number of 16-byte pieces apart, so that eight of them at one place lie in different banks.
template <class Element, int Lines, int Depth>
struct PaddedLines {
  /// Elements of 16 bytes: half of what one product has of each line.
  static constexpr int kHalf = 16 / sizeof(Element);
  static constexpr int kDepth = next_multiple(Depth, 2 * kHalf);
  static constexpr int kPitch = kDepth + kHalf;
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
  static constexpr bool kIsF32 = std::is_same_v<Element, float>;
  static constexpr int kHalf = Queries::kHalf, kSteps = Queries::kDepth / (2 * kHalf);
  static constexpr int kScores = kColumns / 8, kSums = Values::kDepth / 8;
  static constexpr int kStage = Keys::kSize + Values::kSize;
  using Slab = cuda::Slab<kSums>;
  static constexpr unsigned kSharedBytes = std::max<unsigned>(
      (Queries::kSize + 2 * kStage) * sizeof(Element), kWarps * Slab::kBytes);
  /// Queries stay in registers where they fit beside all else; else each step reads them again.
  static constexpr bool kKeepsQueries = !kIsF32 && kFragments * kSteps <= 8;

  /// The left factor of a step: of the warp's fragment `f` of queries.
  static __device__ __forceinline__ void load_query(std::uint32_t (&to)[4], const Element* queries,
                                                    int f, int step) {
    const int lane = threadIdx.x % 32;
    const int line = (threadIdx.x / 32 * kFragments + f) * 16 + lane % 16;
    load_matrices(to, queries + line * Queries::kPitch + (step * 2 + lane / 16) * kHalf);
  }

  /// The right factors of a step: of the keys 16 j and the next seven, and of eight more.
  static __device__ __forceinline__ void load_keys(std::uint32_t (&to)[4], const Element* keys, int j,
                                                   int step) {
    const int lane = threadIdx.x % 32;
    const int line = j * 16 + lane / 16 * 8 + lane % 8;
    load_matrices(to, keys + line * Keys::kPitch + (step * 2 + lane / 8 % 2) * kHalf);
  }
};

/// The state of one fragment: two rows a thread, `lane / 4` and eight more.
template <class Kernel>
struct AttentionRows {
  using Tiles = AttentionTiles<Kernel>;
  static constexpr float kNothing = -std::numeric_limits<float>::infinity();
  static constexpr float kLog2E = 1.4426950408889634f;
  /// Larger scores are rounded, times `kLog2E`, by more than weights may be wrong.
  static constexpr float kHuge = 1048576.0f;

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
      const float scale = next == kNothing ? 0.0f : fast_exp2((largest[half] - next) * kLog2E);
      // Where all scores are -inf so far, so are their differences from 0.
      const float shift = next != kNothing && fabsf(next) > kHuge ? next : 0.0f;
      const float base = next == kNothing || shift != 0.0f ? 0.0f : next * kLog2E;
      if (shift != 0.0f) {
#pragma unroll
        for (int j = 0; j < Tiles::kScores; ++j) {
          scores[j][half * 2] -= shift;
          scores[j][half * 2 + 1] -= shift;
        }
      }
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

/// The two products of a warp's fragments with a tile in shared memory, of 16-bit elements.
template <class Kernel>
struct HalfProducts {
  using Tiles = AttentionTiles<Kernel>;
  using Element = typename Kernel::Element;
  static constexpr int kFragments = Tiles::kFragments;

  /// Queries: kept from the first tile on, or read from shared memory at each step.
  std::uint32_t kept[kFragments][Tiles::kKeepsQueries ? Tiles::kSteps : 1][4];

  __device__ __forceinline__ void keep(const Element* queries) {
    if constexpr (Tiles::kKeepsQueries) {
#pragma unroll
      for (int f = 0; f < kFragments; ++f) {
#pragma unroll
        for (int step = 0; step < Tiles::kSteps; ++step) {
          Tiles::load_query(kept[f][step], queries, f, step);
        }
      }
    }
  }

  __device__ __forceinline__ void multiply_keys(float (&scores)[kFragments][Tiles::kScores][4],
                                                const Element* queries, const Element* keys) const {
#pragma unroll
    for (int step = 0; step < Tiles::kSteps; ++step) {
      std::uint32_t left[kFragments][4];
#pragma unroll
      for (int f = 0; f < kFragments; ++f) {
        if constexpr (Tiles::kKeepsQueries) {
#pragma unroll
          for (int i = 0; i < 4; ++i) left[f][i] = kept[f][step][i];
        } else {
          Tiles::load_query(left[f], queries, f, step);
        }
      }
#pragma unroll
      for (int j = 0; j < Tiles::kScores / 2; ++j) {
        std::uint32_t right[4];
        Tiles::load_keys(right, keys, j, step);
#pragma unroll
        for (int f = 0; f < kFragments; ++f) {
          multiply<Element>(scores[f][j * 2], left[f], right[0], right[1]);
          multiply<Element>(scores[f][j * 2 + 1], left[f], right[2], right[3]);
        }
      }
    }
  }

  __device__ __forceinline__ void multiply_values(
      AttentionRows<Kernel> (&rows)[kFragments],
      const float (&weights)[kFragments][Tiles::kScores][4], const Element* values) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int step = 0; step < Tiles::kScores / 2; ++step) {
      std::uint32_t left[kFragments][4];
#pragma unroll
      for (int f = 0; f < kFragments; ++f) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float(&pair)[4] = weights[f][step * 2 + i / 2];
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
  }
};

/// The same of f32, as TF32 numbers: three products of two such parts, or (`kSplits` is false) one.
template <class Kernel>
struct F32Products {
  using Tiles = AttentionTiles<Kernel>;
  static constexpr int kFragments = Tiles::kFragments;

  template <int Count>
  struct Parts {
    std::uint32_t big[Count], small[Count];

    __device__ __forceinline__ void set(int i, float x) {
      big[i] = tf32_of(x);
      if constexpr (Kernel::kSplits) small[i] = tf32_of(x - __uint_as_float(big[i]));
    }
  };

  /// Adds the products of the fragments with `Count` columns of eight to what `sums(f, j)` gives. Small
  /// products come first, and all sums take turns: one product does not wait for the last.
  template <int Count, class Sums>
  static __device__ __forceinline__ void add(const Parts<4> (&left)[kFragments],
                                             const Parts<2> (&right)[Count], const Sums& sums) {
    const auto each = [&](const auto& use) {
#pragma unroll
      for (int j = 0; j < Count; ++j) {
#pragma unroll
        for (int f = 0; f < kFragments; ++f) use(f, j);
      }
    };
    if constexpr (Kernel::kSplits) {
      constexpr float kZeros[4] = {};
      float step[Count][kFragments][4];
      each([&](int f, int j) { multiply_tf32(step[j][f], left[f].small, right[j].big, kZeros); });
      each([&](int f, int j) {
        multiply_tf32(step[j][f], left[f].big, right[j].small, step[j][f]);
      });
      each([&](int f, int j) { multiply_tf32(step[j][f], left[f].big, right[j].big, step[j][f]); });
      each([&](int f, int j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sums(f, j)[e] += step[j][f][e];
      });
    } else {
      each([&](int f, int j) {
        multiply_tf32(sums(f, j), left[f].big, right[j].big, sums(f, j));
      });
    }
  }

  /// Columns of eight whose sums take turns, of `all`.
  static constexpr int at_once(int all) {
    int count = 8 / kFragments;
    while (all % count != 0) count /= 2;
    return count;
  }

  __device__ __forceinline__ void keep(const float*) {}

  __device__ __forceinline__ void multiply_keys(float (&scores)[kFragments][Tiles::kScores][4],
                                                const float* queries, const float* keys) const {
    constexpr int kAtOnce = at_once(Tiles::kScores);
    static_assert(kAtOnce >= 2, "keys come by sixteen");
#pragma unroll 2
    for (int step = 0; step < Tiles::kSteps; ++step) {
      Parts<4> left[kFragments];
#pragma unroll
      for (int f = 0; f < kFragments; ++f) {
        std::uint32_t raw[4];
        Tiles::load_query(raw, queries, f, step);
#pragma unroll
        for (int i = 0; i < 4; ++i) left[f].set(i, __uint_as_float(raw[i]));
      }
#pragma unroll
      for (int first = 0; first < Tiles::kScores; first += kAtOnce) {
        Parts<2> right[kAtOnce];
#pragma unroll
        for (int j = 0; j < kAtOnce; j += 2) {
          std::uint32_t raw[4];
          Tiles::load_keys(raw, keys, (first + j) / 2, step);
#pragma unroll
          for (int i = 0; i < 4; ++i) right[j + i / 2].set(i % 2, __uint_as_float(raw[i]));
        }
        add(left, right, [&](int f, int j) -> float(&)[4] { return scores[f][first + j]; });
      }
    }
  }

  /// A lane has the weights of keys 2 t and 2 t + 1 (t = lane % 4) of each eight: they count as t and
  /// t + 4 of the product, and so do the values.
  __device__ __forceinline__ void multiply_values(
      AttentionRows<Kernel> (&rows)[kFragments],
      const float (&weights)[kFragments][Tiles::kScores][4], const float* values) const {
    constexpr int kPitch = Tiles::Values::kPitch, kAtOnce = at_once(Tiles::kSums);
    const int lane = threadIdx.x % 32;
    const float* const own = values + lane % 4 * 2 * kPitch + lane / 4;
#pragma unroll
    for (int step = 0; step < Tiles::kScores; ++step) {
      Parts<4> left[kFragments];
#pragma unroll
      for (int f = 0; f < kFragments; ++f) {
#pragma unroll
        for (int i = 0; i < 4; ++i) left[f].set(i, weights[f][step][i % 2 * 2 + i / 2]);
      }
#pragma unroll
      for (int first = 0; first < Tiles::kSums; first += kAtOnce) {
        Parts<2> right[kAtOnce];
#pragma unroll
        for (int j = 0; j < kAtOnce; ++j) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            right[j].set(i, own[(step * 8 + i) * kPitch + (first + j) * 8]);
          }
        }
        add(left, right, [&](int f, int j) -> float(&)[4] { return rows[f].sums[first + j]; });
      }
    }
  }
};

/// The results of a block by multiply-add, for factors that cannot be split: infinite ones, say.
template <class Kernel, class Index>
__device__ void attend_exactly(const typename Kernel::Arguments& arguments,
                               const gpu::AttentionPlace<Index>& place) {
  constexpr int kPack = Kernel::kPack, kPacks = Kernel::kValue / kPack;
  static_assert(Kernel::kValue % kPack == 0, "results are whole packs");
  constexpr float kNothing = AttentionRows<Kernel>::kNothing;
  for (int piece = threadIdx.x; piece < Kernel::kTileRows * kPacks;
       piece += AttentionTiles<Kernel>::kThreads) {
    const Index row = place.first + piece / kPacks;
    const Index first = static_cast<Index>(piece % kPacks * kPack);
    if (row >= static_cast<Index>(arguments.rows)) return;
    float largest = kNothing, total = 0.0f, sums[kPack] = {};
    for (Index column = 0; column < place.keys; ++column) {
      if (Kernel::kCausal && column > row + place.reach) break;
      float dot = 0.0f;
      for (int d = 0; d < Kernel::kDepth; ++d) {
        dot = fmaf(*Kernel::query(arguments, place.batch, place.head, row, d),
                   *Kernel::key(arguments, place.batch, place.head, column, d), dot);
      }
      const float score =
          Kernel::score(arguments, place.batch, place.head, row, column, dot);
      const float next = fmaxf(largest, score), base = next == kNothing ? 0.0f : next;
      const float change = ait::exp(largest - base), weight = ait::exp(score - base);
      largest = next;
      total = fmaf(total, change, weight);
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        const float value =
            *Kernel::value(arguments, place.batch, place.head, column, first + i);
        sums[i] = fmaf(weight, value, sums[i] * change);
      }
    }
#pragma unroll
    for (int i = 0; i < kPack; ++i) sums[i] = total == 0.0f ? 0.0f : sums[i] / total;
    Kernel::store(arguments, place.batch, place.head, row, first, sums);
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

  std::conditional_t<Tiles::kIsF32, F32Products<Kernel>, HalfProducts<Kernel>> products;
  Rows rows[kFragments];
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    if (tile + 1 < tiles) fetch(tile + 1);
    commit_copies();
    wait_for_copies<1>();
    __syncthreads();
    if (tile == 0) products.keep(queries);
    const Element* const keys = stage(tile);
    const Element* const values = keys + Tiles::Keys::kSize;

    float scores[kFragments][Tiles::kScores][4] = {};
    products.multiply_keys(scores, queries, keys);

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

    products.multiply_values(rows, scores, values);
    __syncthreads();
  }
  wait_for_copies<0>();
  __syncthreads();

#pragma unroll
  for (int f = 0; f < kFragments; ++f) rows[f].normalise();
  if constexpr (Kernel::kSplits) {
    bool is_nan = false;
#pragma unroll
    for (int f = 0; f < kFragments; ++f) {
#pragma unroll
      for (int j = 0; j < Tiles::kSums; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) is_nan |= rows[f].sums[j][e] != rows[f].sums[j][e];
      }
    }
    if (__syncthreads_or(is_nan)) {
      attend_exactly<Kernel>(arguments, place);
      return;
    }
  }

  auto* const slab = reinterpret_cast<float*>(dynamic_shared() + threadIdx.x / 32 * Tiles::Slab::kBytes);
#pragma unroll
  for (int f = 0; f < kFragments; ++f) {
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
