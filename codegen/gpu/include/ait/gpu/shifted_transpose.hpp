// Kernels that read along one axis and write along another, where neither runs of what is read nor of
// what is written begin at whole packs of memory. A block copies the packs that its tile touches to shared
// memory, where columns begin as far from whole packs as in memory: nothing is shifted. It gathers rows
// element by element, and writes the sectors of memory that begin in its tile.
#pragma once

#include "ait/copies.hpp"
#include "ait/gpu/transpose.hpp"

namespace ait::gpu {

/// So many that a multiprocessor has no more than four blocks: with six of 256 threads, whose tiles fit too, it
/// takes up to 10 % longer (H200).
constexpr int kShiftedThreads = 512;
constexpr int kShiftedBlocks = 2;

/// Where a block's tile has its columns.
template <int Pack>
struct ShiftedColumns {
  int phase, pitch, skew;

  /// `offset(column)`: where a column of the operand begins; `first`: the tile's first one; `side`: its elements.
  template <class Index, class Offset>
  static __device__ __forceinline__ ShiftedColumns of(const Offset& offset, Index first, int side) {
    const Index stride = offset(1) - offset(0);
    const auto beside = [](Index at) { return static_cast<int>(at & (Pack - 1)); };
    // With a pack more than elements, whole packs of a column end before those of the next one. Columns a pack
    // apart, as neighbours of a row are, must be an odd number of packs apart to lie in different banks.
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
  /// Of memory. A warp that reads columns from whole ones on asks for none twice (2 to 3 % longer without, H200).
  static constexpr int kSector = 32 / kSize;
  static constexpr int kColumnPacks = 128 / kPack, kSide = kColumnPacks * kPack - kSector;
  /// Rows are written from whole sectors on, so many packs of them. They begin and end in different columns, which
  /// takes more of these. (Rows of 128 bytes take 1.6 times as long, and whole runs of 64 bytes 1.5 % longer, H200.)
  static constexpr int kRowPacks = 16, kOwn = kRowPacks * kPack, kColumns = kOwn + kSector;
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
  const auto place = Tile::Columns::of(offset, first, Tile::kSide);
  const int thread = static_cast<int>(threadIdx.x), pack = thread % Tile::kColumnPacks;
  const int count = rows - origin < Tile::kSide ? static_cast<int>(rows - origin) : Tile::kSide;
#pragma unroll
  for (int i = 0; i < Tile::kColumns; i += kAtOnce) {
    const int column = thread / Tile::kColumnPacks + i;
    if (column >= Tile::kColumns || first + column >= columns) break;
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

/// Calls write_pack(column, side) for the packs of memory that are part of a block's tile from (first,
/// origin) on, and write_one(column, side) for what is left at the ends of rows. A block has the sectors that begin
/// in its tile, and what lies before the first one of a row. `offset(row)`: where the column `first` of a row is.
template <class Element, class Index, class Offset, class WritePack, class WriteOne>
__device__ __forceinline__ void write_shifted(const Offset& offset, Index first, Index columns,
                                              Index origin, Index rows, const WritePack& write_pack,
                                              const WriteOne& write_one) {
  using Tile = ShiftedTile<Element>;
  // Threads beside each other: packs of 128 bytes.
  constexpr int kPack = Tile::kPack, kOwn = Tile::kOwn, kWide = 8;
  static_assert(Tile::kRowPacks % kWide == 0);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWide;
  const bool has_begins = first == 0, has_ends = columns - first < Tile::kColumns;
  for (int side = thread / kWide; side < Tile::kSide; side += kShiftedThreads / kWide) {
    if (origin + side >= rows) break;
    const int before = static_cast<int>(-offset(origin + side) & (Tile::kSector - 1));
    if (!has_begins && !has_ends) {
#pragma unroll
      for (int i = 0; i < kOwn; i += kWide * kPack) write_pack(before + lane * kPack + i, side);
      continue;
    }
    const int end = columns - first < before + kOwn ? static_cast<int>(columns - first) : before + kOwn;
    const int begin = has_begins ? before % kPack : before;
    int column = begin + lane * kPack;
#pragma unroll 1
    for (; column <= end - kPack; column += kWide * kPack) write_pack(column, side);
    const int rest = end < begin ? end : end - (end - begin) % kPack;
#pragma unroll 1
    for (column = rest + lane; column < end; column += kWide) write_one(column, side);
    if (has_begins) {
#pragma unroll 1
      for (column = lane; column < begin && column < end; column += kWide) write_one(column, side);
    }
  }
}

}  // namespace ait::gpu
