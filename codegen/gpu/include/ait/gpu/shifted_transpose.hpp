// Kernels that read along one axis and write along another, where neither runs of what is read nor of
// what is written begin at whole packs of memory. A block copies the packs that its tile touches to shared
// memory, where columns begin as far from whole packs as in memory: nothing is shifted. It gathers rows
// element by element, and writes the runs of memory that begin in its tile.
#pragma once

#include "ait/copies.hpp"
#include "ait/gpu/transpose.hpp"

namespace ait::gpu {

constexpr int kShiftedThreads = 256, kShiftedBlocks = 4;

/// Where a block's tile has its columns.
template <int Pack>
struct ShiftedColumns {
  int phase, pitch, skew;

  /// `offset(column)`: where a column of the operand begins; `first`: the tile's first one; `side`: the fewest
  /// elements between two begins.
  template <class Index, class Offset>
  static __device__ __forceinline__ ShiftedColumns of(const Offset& offset, Index first, int side) {
    const Index stride = offset(1) - offset(0);
    const auto beside = [](Index at) { return static_cast<int>(at & (Pack - 1)); };
    // Columns a pack apart, as neighbours of a row are, must be an odd number of packs apart to lie in different
    // banks.
    return {beside(offset(first)), side + Pack + beside(stride), stride % 2 != 0 ? 0 : Pack};
  }

  __device__ __forceinline__ int begin(int column) const {
    return phase + column * pitch + column / Pack * skew;
  }
};

/// What a block has of an operand: columns, whose elements are neighbours in memory.
template <class Element>
struct ShiftedTile {
  static constexpr int kSize = static_cast<int>(sizeof(Element)), kPack = 16 / kSize;
  /// Columns are read from whole sectors on, so that no part of a warp asks for half of one (2 to 3 % longer
  /// without, H200).
  static constexpr int kSector = 32 / kSize;
  static constexpr int kColumnPacks = 128 / kPack, kSide = kColumnPacks * kPack - kSector;
  /// Rows are written from whole runs on, of the size that memory is written in. They begin and end in different
  /// columns, which takes more of these.
  static constexpr int kRun = 64 / kSize;
  /// Packs that are written of a row. (Rows of 128 bytes take 1.6 times as long, H200.)
  static constexpr int kRowPacks = 16;
  static constexpr int kColumns = kRowPacks * kPack + kRun;
  using Columns = ShiftedColumns<kPack>;

  alignas(16) Element value[kColumns * (kSide + 2 * kPack - 1) + 2 * kPack];

  __device__ __forceinline__ Element element(const Columns& columns, int column, int side) const {
    return value[columns.begin(column) + side];
  }

  /// The pack of a row that begins at (column, side).
  __device__ __forceinline__ Pack<Element, kPack> row(const Columns& columns, int column,
                                                      int side) const {
    Pack<Element, kPack> pack;
#pragma unroll
    for (int i = 0; i < kPack; ++i) pack.value[i] = element(columns, column + i, side);
    return pack;
  }
};

/// Starts to read a block's part of an operand, from (first, origin) on, as far as there are `columns` and
/// `rows`. `offset(column)`: where the row `origin` of a column is; rows are neighbours. `last`: where the
/// last element of the operand is; between its elements anything may be read.
template <class Element, class Index, class Offset>
__device__ __forceinline__ void start_shifted(const Element* from, const Offset& offset, Index last,
                                              Index first, Index columns, Index origin, Index rows,
                                              ShiftedTile<Element>& tile) {
  using Tile = ShiftedTile<Element>;
  constexpr int kPack = Tile::kPack, kAtOnce = kShiftedThreads / Tile::kColumnPacks;
  static_assert(Tile::kColumns % kAtOnce == 0);
  const auto place = Tile::Columns::of(offset, first, Tile::kSide);
  const int thread = static_cast<int>(threadIdx.x), pack = thread % Tile::kColumnPacks;
  const int count = rows - origin < Tile::kSide ? static_cast<int>(rows - origin) : Tile::kSide;
#pragma unroll
  for (int i = 0; i < Tile::kColumns / kAtOnce; ++i) {
    const int column = thread / Tile::kColumnPacks + i * kAtOnce;
    if (first + column >= columns) break;
    const Index at = offset(first + column);
    const int side = pack * kPack - static_cast<int>(at & (Tile::kSector - 1));
    if (side > -kPack && side < count && at + side <= last - (kPack - 1)) {
      start_copy(tile.value + place.begin(column) + side, from + (at + side));
    }
  }
  // What is in no whole pack at the operand's end.
  const Index end = last + 1 - ((last + 1) & (kPack - 1));
  for (int column = thread; column < Tile::kColumns; column += kShiftedThreads) {
    if (first + column >= columns) break;
    const Index at = offset(first + column);
#pragma unroll 1
    for (int side = at < end ? static_cast<int>(end - at < count ? end - at : count) : 0; side < count; ++side) {
      tile.value[place.begin(column) + side] = from[at + side];
    }
  }
}

/// Calls write(column, side, from, to) for the packs of runs that begin in a block's tile from (first,
/// origin) on, and for what belongs to no run at the begins of rows. A pack begins at (column, side) of the
/// tile, and elements [from, to) of it are to be written. `offset(row)`: where the column `first` of a row is.
template <class Element, class Index, class Offset, class Write>
__device__ __forceinline__ void write_shifted(const Offset& offset, Index first, Index columns,
                                              Index origin, Index rows, const Write& write) {
  using Tile = ShiftedTile<Element>;
  // Threads beside each other: 128 bytes of a row.
  constexpr int kPack = Tile::kPack, kWide = 8;
  const int thread = static_cast<int>(threadIdx.x);
  for (int side = thread / kWide; side < Tile::kSide; side += kShiftedThreads / kWide) {
    if (origin + side >= rows) break;
    const int before = static_cast<int>(-offset(origin + side) & (Tile::kRun - 1));
    // What lies before the first run of a row has no tile but the first.
    const int begin = first == 0 ? -((before + kPack - 1) / kPack) : 0;
    for (int pack = begin + thread % kWide; pack < Tile::kRowPacks; pack += kWide) {
      const int column = before + pack * kPack;
      const Index left = columns - first - column;
      if (left <= 0) break;
      write(column, side, column < 0 ? -column : 0, left < kPack ? static_cast<int>(left) : kPack);
    }
  }
}

}  // namespace ait::gpu
