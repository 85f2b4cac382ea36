// The engine on tensor cores of products of a matrix with up to sixteen vectors: f16 and bf16, packs
// along k. A warp multiplies sixteen columns of the matrix, or some times as many, by the vectors.
//
// The four threads that share a column read 16 bytes each of it, as they lie in memory: the order of
// the steps along k within a product means nothing, as long as both factors have the same one.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "ait/cuda/warp.hpp"
#include "ait/gpu/gemv.hpp"

namespace ait::cuda {

template <class Kernel>
struct TensorGemv {
  using Index = typename Kernel::Index;
  using Arguments = typename Kernel::Arguments;
  using Element = typename Kernel::Weight;
  static_assert(std::is_same_v<Element, typename Kernel::Row> && sizeof(Element) == 2);
  static_assert(Kernel::kVector == 8 && Kernel::kRowPacks && !Kernel::kAcross);
  static_assert(Kernel::kTeam % 32 == 0, "a team has whole warps");
  static constexpr int kQuad = 4;
  /// Threads that share the steps along k of a column.
  static constexpr int kSharers = Kernel::kTeam / 32 * kQuad;
  static constexpr int kRound = kSharers * Kernel::kVector;
  static constexpr int kRowBlocks = (Kernel::kRows + 7) / 8;
  static constexpr int kTeamColumns = 16 * Kernel::kColumns;
  static constexpr int kTile = Kernel::kTeams * kTeamColumns;
  static constexpr int kResults = Kernel::kRows * kTile;
  static constexpr int kParts = Kernel::kTeam / 32;
  static constexpr int kAhead = gpu::items_ahead(kRowBlocks * 4, Kernel::kItems);
  using Parts = float[kParts][Kernel::kFactors][kResults];
  using Pack = gpu::Pack<Element, Kernel::kVector>;

  /// The words of a pack: pairs along k.
  struct Words {
    std::uint32_t word[4];

    __device__ __forceinline__ explicit Words(const Pack& pack) { memcpy(word, &pack, 16); }
  };

  int rank, team, lane_column;
  Index batch, column;

  __device__ __forceinline__ TensorGemv(Index batch, Index first_column) : batch(batch) {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
    team = thread / Kernel::kTeam;
    rank = thread % Kernel::kTeam / 32 * kQuad + lane % kQuad;
    lane_column = lane / kQuad;
    column = first_column + static_cast<Index>(team * kTeamColumns + lane_column);
  }

  __device__ __forceinline__ Index step(Index n) const {
    return (n * kSharers + static_cast<Index>(rank)) * Kernel::kVector;
  }

  struct Item {
    Pack pack[Kernel::kFactors][Kernel::kColumns][2];

    __device__ __forceinline__ void fetch(const Arguments& arguments, const TensorGemv& mine,
                                          Index k, Index depth) {
#pragma unroll
      for (int factor = 0; factor < Kernel::kFactors; ++factor) {
#pragma unroll
        for (int c = 0; c < Kernel::kColumns; ++c) {
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const Index column = mine.column + static_cast<Index>(c * 16 + half * 8);
            pack[factor][c][half] = gpu::load_once<Kernel::kVector>(
                Kernel::weight(arguments, factor, mine.batch, column, k),
                k < depth && column < arguments.columns);
          }
        }
      }
    }
  };

  struct Rows {
    Pack pack[kRowBlocks];

    /// Beyond the depth, the rows are zero as the matrix is. Beyond the last row lies the first one,
    /// whose results nobody finishes.
    __device__ __forceinline__ void fetch(const Arguments& arguments, const TensorGemv& mine,
                                          Index k, Index depth) {
      const bool is_inside = k < depth;
#pragma unroll
      for (int block = 0; block < kRowBlocks; ++block) {
        const Index row = static_cast<Index>(block * 8 + mine.lane_column);
        const auto read = gpu::load_pack<Kernel::kVector>(Kernel::row(
            arguments, mine.batch, row < arguments.rows ? row : 0, is_inside ? k : 0));
        pack[block] = is_inside ? read : Pack{};
      }
    }
  };

  struct Sums {
    float value[Kernel::kFactors][Kernel::kColumns][kRowBlocks][4] = {};

    __device__ __forceinline__ void add(const Item& item, const Rows& rows, bool) {
#pragma unroll
      for (int factor = 0; factor < Kernel::kFactors; ++factor) {
#pragma unroll
        for (int c = 0; c < Kernel::kColumns; ++c) {
          const Words low(item.pack[factor][c][0]), high(item.pack[factor][c][1]);
#pragma unroll
          for (int i = 0; i < 4; i += 2) {
            const std::uint32_t a[4] = {low.word[i], high.word[i], low.word[i + 1],
                                        high.word[i + 1]};
#pragma unroll
            for (int block = 0; block < kRowBlocks; ++block) {
              const Words x(rows.pack[block]);
              multiply<Element>(value[factor][c][block], a, x.word[i], x.word[i + 1]);
            }
          }
        }
      }
    }

    /// The products have added up what the threads of a column have.
    __device__ __forceinline__ void combine() {}

    __device__ __forceinline__ void give(const TensorGemv& mine, Parts& parts) const {
      const int part = static_cast<int>(threadIdx.x) % Kernel::kTeam / 32;
      const int first_row = static_cast<int>(threadIdx.x) % kQuad * 2;
#pragma unroll
      for (int factor = 0; factor < Kernel::kFactors; ++factor) {
#pragma unroll
        for (int c = 0; c < Kernel::kColumns; ++c) {
#pragma unroll
          for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              const int row = block * 8 + first_row + i % 2;
              const int at = mine.team * kTeamColumns + c * 16 + i / 2 * 8 + mine.lane_column;
              if (row < Kernel::kRows) {
                parts[part][factor][row * kTile + at] = value[factor][c][block][i];
              }
            }
          }
        }
      }
    }
  };
};

}  // namespace ait::cuda
