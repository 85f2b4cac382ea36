// Products of a matrix with a few vectors, between memory and a generated epilogue. Each element of the
// matrix is used for a few operations only: what counts is how many of its bytes are on their way at
// once.
//
// A *team* of threads shares the steps along k of its columns, and has `kItems` items under way, each
// of a pack of every column of a thread; an item that was used is replaced at once. Neighbours of a
// pack lie along k, or (*across*) they are neighbouring columns. Parts of a sum are added up in an
// order that is always the same.
//
// `Kernel` is generated. It names the vectors rows and what each gives columns, and has
//   Weight, Row (stored elements), Index, Arguments (with `rows`, `columns`, `depth`, `batches`);
//   kRows (most vectors), kFactors (matrices), kVector, kTeam, kTeams, kColumns, kItems, kAcross;
//   kDepth: the depth, or 0 where it is known at run time only; kConstant: no kernel writes a matrix;
//   kRowPacks: a vector can be read in packs, too;
//   weight(arguments, factor, batch, column, k) and row(arguments, batch, row, k): addresses;
//   Loaded, load(arguments, batch, row, column): what the region reads for a result;
//   finish(arguments, batch, row, column, loaded, sums [kFactors]): the region and its stores.
//
// An *engine* says which part of the block's columns and of the depth a thread has, and multiplies.
// It is made of the block's batch and first column, and has
//   kTile (columns of a block), kResults, kParts (of each sum, by warps), kAhead (items whose rows are
//   read at once), kRound (steps along k of an item of the whole team);
//   step(n): the first k of the thread's n-th item;
//   Item and Rows: what a thread reads of the matrices and of the vectors, fetch(arguments, engine, k,
//   depth); zeros, or something that is not used, beyond the depth;
//   Sums: add(item, rows, is_inside), combine() within the warp, give(engine, parts).
#pragma once

#include <cstdint>

#include "ait/gpu/access.hpp"
#include "ait/gpu/team.hpp"

namespace ait::gpu {

/// How many items of so many words are read ahead: as many as a few registers hold.
constexpr int items_ahead(int words, int items) {
  int ahead = items;
  while (ahead > 1 && ahead * words > 32) ahead /= 2;
  return ahead;
}

/// The engine that multiplies f32 values, of any stored types.
template <class Kernel>
struct ScalarGemv {
  using Index = typename Kernel::Index;
  using Arguments = typename Kernel::Arguments;
  static constexpr int kWarp = 32;
  static constexpr int kThreads = Kernel::kTeam * Kernel::kTeams;
  /// Steps along k of a pack; columns of a thread; packs of them that lie side by side.
  static constexpr int kSteps = Kernel::kAcross ? 1 : Kernel::kVector;
  static constexpr int kOwn = Kernel::kAcross ? Kernel::kVector : Kernel::kColumns;
  static constexpr int kPacks = Kernel::kAcross ? 1 : Kernel::kColumns;
  static_assert(!Kernel::kAcross || Kernel::kColumns == 1, "the columns across are those of a pack");
  static constexpr int kTile = Kernel::kTeams * kOwn;
  static constexpr int kResults = Kernel::kRows * kTile;
  static constexpr int kAhead =
      items_ahead(Kernel::kRows * static_cast<int>(kSteps * sizeof(typename Kernel::Row) + 3) / 4,
                  Kernel::kItems);
  /// Threads of a warp that differ in the bits from kLow to kHigh / 2 share their columns.
  static constexpr int kLow = Kernel::kAcross ? Kernel::kTeams : 1;
  static constexpr int kHigh = Kernel::kAcross || Kernel::kTeam > kWarp ? kWarp : Kernel::kTeam;
  /// Threads that are the same warp to those who share columns.
  static constexpr int kGroup = kLow > kWarp ? kLow : kWarp;
  static constexpr int kParts =
      Kernel::kAcross ? kThreads / kGroup : (Kernel::kTeam + kWarp - 1) / kWarp;
  using Parts = float[kParts][Kernel::kFactors][kResults];
  /// Steps along k of an item of the whole team.
  static constexpr int kRound = Kernel::kTeam * kSteps;

  int rank, team;
  Index batch, column;

  __device__ __forceinline__ ScalarGemv(Index batch, Index first_column) : batch(batch) {
    const int thread = static_cast<int>(threadIdx.x);
    rank = Kernel::kAcross ? thread / Kernel::kTeams : thread % Kernel::kTeam;
    team = Kernel::kAcross ? thread % Kernel::kTeams : thread / Kernel::kTeam;
    column = first_column + static_cast<Index>(team * kOwn);
  }

  __device__ __forceinline__ Index step(Index n) const {
    return (n * Kernel::kTeam + static_cast<Index>(rank)) * kSteps;
  }

  struct Item {
    Pack<typename Kernel::Weight, Kernel::kVector> pack[Kernel::kFactors][kPacks];

    __device__ __forceinline__ void fetch(const Arguments& arguments, const ScalarGemv& mine,
                                          Index k, Index depth) {
#pragma unroll
      for (int factor = 0; factor < Kernel::kFactors; ++factor) {
#pragma unroll
        for (int c = 0; c < kPacks; ++c) {
          const Index column = mine.column + static_cast<Index>(c);
          pack[factor][c] =
              load_once<Kernel::kVector>(Kernel::weight(arguments, factor, mine.batch, column, k),
                                         k < depth && column < arguments.columns);
        }
      }
    }
  };

  struct Rows {
    Pack<typename Kernel::Row, kSteps> pack[Kernel::kRows];

    /// Reads elsewhere beyond the depth: no branch stands between the loads of several items.
    __device__ __forceinline__ void fetch(const Arguments& arguments, const ScalarGemv& mine,
                                          Index k, Index depth) {
      const Index at = k < depth ? k : 0;
#pragma unroll
      for (int row = 0; row < Kernel::kRows; ++row) {
        const Index from = row == 0 || row < arguments.rows ? static_cast<Index>(row) : 0;
        if constexpr (Kernel::kRowPacks) {
          pack[row] = load_pack<kSteps>(Kernel::row(arguments, mine.batch, from, at));
        } else {
#pragma unroll
          for (int i = 0; i < kSteps; ++i) {
            pack[row].value[i] = *Kernel::row(arguments, mine.batch, from, at + i);
          }
        }
      }
    }
  };

  struct Sums {
    float value[Kernel::kFactors][Kernel::kRows][kOwn] = {};

    __device__ __forceinline__ void add(const Item& item, const Rows& rows, bool is_inside) {
#pragma unroll
      for (int row = 0; row < Kernel::kRows; ++row) {
        float x[kSteps];
#pragma unroll
        for (int i = 0; i < kSteps; ++i) x[i] = ait::convert<float>(rows.pack[row].value[i]);
#pragma unroll
        for (int factor = 0; factor < Kernel::kFactors; ++factor) {
#pragma unroll
          for (int c = 0; c < kOwn; ++c) {
            const auto& pack = item.pack[factor][Kernel::kAcross ? 0 : c];
            float part = 0.0f;
#pragma unroll
            for (int i = 0; i < kSteps; ++i) {
              part += x[i] * ait::convert<float>(pack.value[Kernel::kAcross ? c : i]);
            }
            value[factor][row][c] += is_inside ? part : 0.0f;
          }
        }
      }
    }

    /// Adds up the parts of the threads of a warp that share columns; all of them get the sums.
    __device__ __forceinline__ void combine() {
#pragma unroll
      for (int mask = kHigh / 2; mask >= kLow; mask /= 2) {
#pragma unroll
        for (int factor = 0; factor < Kernel::kFactors; ++factor) {
#pragma unroll
          for (int row = 0; row < Kernel::kRows; ++row) {
#pragma unroll
            for (int c = 0; c < kOwn; ++c) {
              float& mine = value[factor][row][c];
              mine += shuffle(mine, mask);
            }
          }
        }
      }
    }

    __device__ __forceinline__ void give(const ScalarGemv& mine, Parts& parts) const {
      const int thread = static_cast<int>(threadIdx.x);
      const bool gives = Kernel::kAcross ? thread % kGroup < Kernel::kTeams : mine.rank % kGroup == 0;
      const int part = (Kernel::kAcross ? thread : mine.rank) / kGroup;
      if (!gives) return;
#pragma unroll
      for (int factor = 0; factor < Kernel::kFactors; ++factor) {
#pragma unroll
        for (int row = 0; row < Kernel::kRows; ++row) {
#pragma unroll
          for (int c = 0; c < kOwn; ++c) {
            parts[part][factor][row * kTile + mine.team * kOwn + c] = value[factor][row][c];
          }
        }
      }
    }
  };
};

template <class Kernel, class Engine>
__global__ void __launch_bounds__(Kernel::kTeam* Kernel::kTeams)
    gemv(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Index = typename Kernel::Index;
  constexpr int kThreads = Kernel::kTeam * Kernel::kTeams, kTile = Engine::kTile;
  constexpr int kItems = Kernel::kItems, kAhead = Engine::kAhead;
  __shared__ float parts[Engine::kParts][Kernel::kFactors][Engine::kResults];
  let_next_start();
  const auto tiles = static_cast<unsigned>((arguments.columns + kTile - 1) / kTile);
  const auto batch = static_cast<Index>(blockIdx.x / tiles);
  const Index first_column = static_cast<Index>(blockIdx.x % tiles) * kTile;
  const Index depth = Kernel::kDepth > 0 ? static_cast<Index>(Kernel::kDepth)
                                         : static_cast<Index>(arguments.depth);
  const Engine mine(batch, first_column);

  typename Engine::Item items[kItems];
  const auto fetch_first = [&] {
#pragma unroll
    for (int i = 0; i < kItems; ++i) items[i].fetch(arguments, mine, mine.step(i), depth);
  };
  // Weights do not depend on the kernel before: they are on their way while it ends.
  if constexpr (Kernel::kConstant) fetch_first();
  wait_for_inputs();
  if constexpr (!Kernel::kConstant) fetch_first();

  // What the thread will finish.
  constexpr int kFinished = (Engine::kResults + kThreads - 1) / kThreads;
  typename Kernel::Loaded loaded[kFinished];
  Index row[kFinished], column[kFinished];
  bool finishes[kFinished];
#pragma unroll
  for (int i = 0; i < kFinished; ++i) {
    const int result = static_cast<int>(threadIdx.x) + i * kThreads;
    row[i] = static_cast<Index>(result / kTile);
    column[i] = first_column + static_cast<Index>(result % kTile);
    finishes[i] =
        result < Engine::kResults && row[i] < arguments.rows && column[i] < arguments.columns;
    if (finishes[i]) loaded[i] = Kernel::load(arguments, batch, row[i], column[i]);
  }

  typename Engine::Sums sums;
  // The first thread of the block has the most items.
  for (Index first = 0; first * Engine::kRound < depth; first += kItems) {
#pragma unroll
    for (int ahead = 0; ahead < kItems; ahead += kAhead) {
      typename Engine::Rows rows[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        rows[i].fetch(arguments, mine, mine.step(first + ahead + i), depth);
      }
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const Index n = first + ahead + i;
        sums.add(items[ahead + i], rows[i], mine.step(n) < depth);
        items[ahead + i].fetch(arguments, mine, mine.step(n + kItems), depth);
      }
    }
  }
  sums.combine();
  sums.give(mine, parts);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kFinished; ++i) {
    if (!finishes[i]) continue;
    const int result = static_cast<int>(threadIdx.x) + i * kThreads;
    float totals[Kernel::kFactors];
#pragma unroll
    for (int factor = 0; factor < Kernel::kFactors; ++factor) {
      totals[factor] = parts[0][factor][result];
#pragma unroll 8
      for (int part = 1; part < Engine::kParts; ++part) {
        totals[factor] += parts[part][factor][result];
      }
    }
    Kernel::finish(arguments, batch, row[i], column[i], loaded[i], totals);
  }
}

template <class Kernel, class Engine>
Status run_gemv(const Launch& launch, const typename Kernel::Arguments& arguments) {
  if (arguments.batches <= 0 || arguments.rows <= 0 || arguments.columns <= 0) return ok();
  const std::int64_t tiles = (arguments.columns + Engine::kTile - 1) / Engine::kTile;
  if (tiles > INT32_MAX / arguments.batches) {
    return Status{AIT_INVALID_INPUT, "a product has too many columns for one launch"};
  }
  return gpu::launch(launch, gemv<Kernel, Engine>,
                     dim3(static_cast<unsigned>(tiles * arguments.batches)),
                     dim3(Kernel::kTeam * Kernel::kTeams), arguments);
}

}  // namespace ait::gpu
