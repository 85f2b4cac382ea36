// Kernels that read along one axis and write along another, where neither runs of what is read nor of
// what is written begin at whole packs of memory. A block reads the packs that its tile touches, as they
// lie, and writes the packs that begin in its tile; both tiles differ by less than a pack.
#pragma once

#include "ait/gpu/transpose.hpp"

namespace ait::gpu {

/// What a block has read of an operand: of each column the packs in which its part lies.
template <class Element>
struct ShiftedTile {
  static constexpr int kPack = 16 / static_cast<int>(sizeof(Element));
  /// Packs of a column that begins at one, and what such a column may touch.
  static constexpr int kSidePacks = 8, kTouched = kSidePacks + 1;
  static constexpr int kSide = kSidePacks * kPack;
  /// Packs that begin in a row of the tile, the last of which ends past it. Long runs are written: what
  /// they share with those of other tiles is a part of a sector at each end.
  static constexpr int kRowPacks = 16;
  static constexpr int kColumns = (kRowPacks + 1) * kPack;

  // A column's packs change places by its number, so that neighbours in a row of packs are in
  // different banks.
  Pack<Element, kPack> packs[kColumns][2 * kSidePacks];

  __device__ __forceinline__ Pack<Element, kPack>& pack(int column, int number) {
    return packs[column][number ^ (column / kPack % kSidePacks)];
  }
  /// The element that is `place` elements behind the begin of a column's first pack.
  __device__ __forceinline__ Element element(int column, int place) const {
    return packs[column][place / kPack ^ (column / kPack % kSidePacks)].value[place % kPack];
  }
};

/// Reads a block's part of an operand, from (first, origin) on, as far as there are `columns` and `rows`.
/// `offset(column)`: where the row `origin` of a column is; rows are neighbours.
template <class Element, class Index, class Offset>
__device__ __forceinline__ void read_shifted(const Element* from, const Offset& offset, Index first,
                                             Index columns, Index origin, Index rows,
                                             ShiftedTile<Element>& tile) {
  using Tile = ShiftedTile<Element>;
  constexpr int kPack = Tile::kPack, kCount = Tile::kColumns * Tile::kTouched;
  constexpr int kRounds = (kCount + kTransposeThreads - 1) / kTransposeThreads;
  Pack<Element, kPack> packs[kRounds];
  // All loads of whole packs are under way before the first is waited for.
#pragma unroll
  for (int i = 0; i < kRounds; ++i) {
    const int number = static_cast<int>(threadIdx.x) + i * kTransposeThreads;
    const Index column = first + number / Tile::kTouched;
    const Index at = offset(column < columns ? column : first), phase = at & (kPack - 1);
    const Index behind = number % Tile::kTouched * kPack - phase, row = origin + behind;
    const bool is_whole =
        number < kCount && column < columns && row >= 0 && row + kPack <= rows;
    packs[i] = load_once<kPack>(from + (at + behind), is_whole);
  }
#pragma unroll
  for (int i = 0; i < kRounds; ++i) {
    const int number = static_cast<int>(threadIdx.x) + i * kTransposeThreads;
    const Index column = first + number / Tile::kTouched;
    if (number >= kCount || column >= columns) continue;
    const Index at = offset(column), phase = at & (kPack - 1);
    const Index behind = number % Tile::kTouched * kPack - phase, row = origin + behind;
    if (row < 0 || row + kPack > rows) {
#pragma unroll
      for (int j = 0; j < kPack; ++j) {
        if (row + j >= 0 && row + j < rows) packs[i].value[j] = from[at + behind + j];
      }
    }
    tile.pack(number / Tile::kTouched, number % Tile::kTouched) = packs[i];
  }
}

/// Calls write_pack(column, row) for the packs that begin in a block's tile from (first, origin) on, and
/// write_one(column, row) for elements of rows that belong to no whole pack. `offset(row)`: where the
/// column `first` of a row is.
template <class Element, class Index, class Offset, class WritePack, class WriteOne>
__device__ __forceinline__ void write_shifted(const Offset& offset, Index first, Index columns,
                                              Index origin, Index rows,
                                              const WritePack& write_pack,
                                              const WriteOne& write_one) {
  using Tile = ShiftedTile<Element>;
  constexpr int kPack = Tile::kPack, kCount = Tile::kSide * Tile::kRowPacks;
  for (int number = threadIdx.x; number < kCount; number += kTransposeThreads) {
    const Index row = origin + number / Tile::kRowPacks;
    if (row >= rows) return;
    const Index before = -offset(row) & (kPack - 1);
    const Index column = first + before + number % Tile::kRowPacks * kPack;
    if (column + kPack <= columns) {
      write_pack(column, row);
    } else {
      for (Index one = column; one < columns; ++one) write_one(one, row);
    }
    if (first == 0 && number % Tile::kRowPacks == 0) {
      for (Index one = 0; one < before && one < columns; ++one) write_one(one, row);
    }
  }
}

}  // namespace ait::gpu
