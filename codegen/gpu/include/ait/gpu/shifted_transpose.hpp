// Kernels that read along one axis and write along another, where neither runs of what is read nor of
// what is written begin at whole packs of memory. A block reads the packs that its tile touches, as they
// lie, and writes the sectors that begin in its tile; both tiles differ by less than a sector.
#pragma once

#include "ait/gpu/transpose.hpp"

namespace ait::gpu {

constexpr int kShiftedThreads = 512;

/// What a block has read of an operand: of each column the packs in which its part lies. An element's
/// place is the sum of what its column and its row say, so that threads that walk along rows find the
/// former once.
template <class Element>
struct ShiftedTile {
  static constexpr int kPack = 16 / static_cast<int>(sizeof(Element));
  /// Packs of a column that begins at one, and what such a column may touch.
  static constexpr int kSidePacks = 16, kTouched = kSidePacks + 1;
  static constexpr int kSide = kSidePacks * kPack;
  /// Packs that are written of each row: those of whole sectors of memory, the last of which ends past
  /// the tile. Parts of sectors took 3 % longer (H100), and a third or fourth block of a multiprocessor 7 %.
  static constexpr int kRowPacks = 16, kSectorPacks = 2, kSector = kSectorPacks * kPack;
  static constexpr int kColumns = (kRowPacks + kSectorPacks) * kPack;

  // With the columns of a pack of a row one place is left out, so that neighbours in a row of packs are in
  // different banks.
  alignas(16) Element value[(kColumns * kTouched + kColumns / kPack) * kPack];

  static __device__ __forceinline__ constexpr int begin(int column) {
    return (column * kTouched + column / kPack) * kPack;
  }
  /// The element that is `place` elements behind the begin of a column's first pack.
  __device__ __forceinline__ Element element(int column, int place) const {
    return value[begin(column) + place];
  }
};

/// Reads a block's part of an operand, from (first, origin) on, as far as there are `columns` and `rows`.
/// `offset(column)`: where the row `origin` of a column is; rows are neighbours.
template <class Element, class Index, class Offset>
__device__ __forceinline__ void read_shifted(const Element* from, const Offset& offset, Index first,
                                             Index columns, Index origin, Index rows,
                                             ShiftedTile<Element>& tile) {
  using Tile = ShiftedTile<Element>;
  constexpr int kPack = Tile::kPack, kSidePacks = Tile::kSidePacks;
  constexpr int kCount = Tile::kColumns * Tile::kTouched, kMost = Tile::kColumns * kSidePacks;
  constexpr int kRounds = (kCount + kShiftedThreads - 1) / kShiftedThreads;
  // The last packs of all columns come behind the others: a power of two is quickly divided by.
  const auto column_of = [](int number) { return number < kMost ? number / kSidePacks : number - kMost; };
  const auto behind_of = [](int number) {
    return (number < kMost ? number % kSidePacks : kSidePacks) * kPack;
  };
  Pack<Element, kPack> packs[kRounds];
  // All loads of whole packs are under way before the first is waited for.
#pragma unroll
  for (int i = 0; i < kRounds; ++i) {
    const int number = static_cast<int>(threadIdx.x) + i * kShiftedThreads;
    const Index column = first + column_of(number);
    const Index at = offset(column < columns ? column : first), phase = at & (kPack - 1);
    const Index behind = behind_of(number) - phase, row = origin + behind;
    const bool is_whole =
        number < kCount && column < columns && row >= 0 && row + kPack <= rows;
    packs[i] = load_once<kPack>(from + (at + behind), is_whole);
  }
#pragma unroll
  for (int i = 0; i < kRounds; ++i) {
    const int number = static_cast<int>(threadIdx.x) + i * kShiftedThreads;
    const int own = column_of(number);
    if (number >= kCount || first + own >= columns) continue;
    const Index at = offset(first + own), phase = at & (kPack - 1);
    const Index behind = behind_of(number) - phase, row = origin + behind;
    if (row < 0 || row + kPack > rows) {
#pragma unroll
      for (int j = 0; j < kPack; ++j) {
        if (row + j >= 0 && row + j < rows) packs[i].value[j] = from[at + behind + j];
      }
    }
    store_pack<kPack>(tile.value + Tile::begin(own) + behind_of(number), packs[i]);
  }
}

/// Calls write_pack(column, row) for the packs of sectors that begin in a block's tile from (first,
/// origin) on, and write_one(column, row) for elements of rows that belong to none. `offset(row)`: where the
/// column `first` of a row is.
template <class Element, class Index, class Offset, class WritePack, class WriteOne>
__device__ __forceinline__ void write_shifted(const Offset& offset, Index first, Index columns,
                                              Index origin, Index rows,
                                              const WritePack& write_pack,
                                              const WriteOne& write_one) {
  using Tile = ShiftedTile<Element>;
  constexpr int kPack = Tile::kPack, kRowPacks = Tile::kRowPacks;
  // A warp has long runs of two rows.
  constexpr int kWarp = 32, kWide = 16, kTall = kWarp / kWide, kParts = kRowPacks / kWide;
  constexpr int kLines = kShiftedThreads / kRowPacks;
  static_assert(kLines % Tile::kSector == 0, "rows of a thread begin at the same place in a sector");
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int pack = warp % kParts * kWide + lane % kWide;
  const Index row = origin + warp / kParts * kTall + lane / kWide;
  if (row >= rows) return;
  const Index before = -offset(row) & (Tile::kSector - 1), column = first + before + pack * kPack;
  if (column + kPack <= columns) {
#pragma unroll
    for (int i = 0; i < Tile::kSide; i += kLines) {
      if (row + i >= rows) break;
      write_pack(column, row + i);
    }
  } else {
    for (int i = 0; i < Tile::kSide && row + i < rows; i += kLines) {
      for (Index one = column; one < columns; ++one) write_one(one, row + i);
    }
  }
  if (first == 0 && pack == 0) {
    for (int i = 0; i < Tile::kSide && row + i < rows; i += kLines) {
      for (Index one = 0; one < before && one < columns; ++one) write_one(one, row + i);
    }
  }
}

}  // namespace ait::gpu
