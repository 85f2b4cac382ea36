// Kernels that read along one axis and write along another, where neither runs of what is read nor of
// what is written begin at whole packs of memory. A block reads the packs that its tile touches, and shifts
// them, so that all columns of its tile begin at packs of shared memory. It writes the sectors that begin in
// its tile.
#pragma once

#include "ait/gpu/transpose.hpp"
#include "ait/matrices.hpp"

namespace ait::gpu {

constexpr int kShiftedThreads = 256;
/// Blocks of a multiprocessor (of 512 threads, and with other tiles: 1 to 8 % slower, H100).
constexpr int kShiftedBlocks = 4;

/// What a block has read of an operand: of each column `SidePacks` packs, which lie in one more pack of
/// memory: 32 or 16, so that as many threads read a column.
template <class Element, int SidePacks>
struct ShiftedTile {
  static constexpr int kPack = 16 / static_cast<int>(sizeof(Element));
  static constexpr int kSide = SidePacks * kPack;
  /// Columns that are read, and the packs of those that belong to the tile. Rows are written as whole sectors
  /// of memory, the last of which ends past the tile (parts of sectors took 3 % longer).
  static constexpr int kColumns = 2048 / (SidePacks + 1), kSectorPacks = sizeof(Element) > 1 ? 2 : 1;
  static constexpr int kSector = kSectorPacks * kPack;
  static constexpr int kRowPacks = kColumns / kPack - kSectorPacks;

  // With the columns of a pack of a row two places are left out: what a warp reads at once is in different
  // banks.
  static_assert(SidePacks % 2 == 1);
  alignas(16) Element value[(kColumns * SidePacks + kColumns / kPack * 2) * kPack];

  static __device__ __forceinline__ constexpr int begin(int column) {
    return (column * SidePacks + column / kPack * 2) * kPack;
  }
  /// The column that there is in place of one beside the tile.
  static __device__ __forceinline__ constexpr int inside(int column) {
    return column < 0 ? 0 : column < kColumns ? column : kColumns - 1;
  }
  __device__ __forceinline__ Element element(int column, int side) const {
    return value[begin(column) + side];
  }

  /// The pack of a row that begins at (column, side); what lies beside the tile is anything. A warp calls
  /// it, whose lanes have eight rows of four packs, from a multiple of eight and of four packs on, each row
  /// shifted by less than a pack.
  __device__ __forceinline__ Pack<Element, kPack> row(int column, int side) const {
    Pack<Element, kPack> pack;
    if constexpr (kTurnsMatrices<Element>) {
      // Rows of the matrices are columns of the tile, so chosen that a lane gets neighbours.
      const int lane = threadIdx.x % 32, matrix = lane / 8, line = lane % 8;
      const int from = ((column >> 3) - lane % 4 + line / 2) * 8 + matrix * 2 + line % 2;
      const int first = side - lane / 4, shift = column & 7;
      std::uint32_t words[9] = {}, some[4];
      load_turned(some, value + begin(inside(from)) + first);
      memcpy(words, some, 16);
      load_turned(some, value + begin(inside(from + 8)) + first);
      memcpy(words + 4, some, 16);
#pragma unroll
      for (int i = 0; i < 6; ++i) words[i] = shift & 4 ? words[i + 2] : words[i];
#pragma unroll
      for (int i = 0; i < 5; ++i) words[i] = shift & 2 ? words[i + 1] : words[i];
#pragma unroll
      for (int i = 0; i < 4; ++i) words[i] = shifted_word(words[i], words[i + 1], shift % 2 * 16);
      memcpy(&pack, words, 16);
    } else {
#pragma unroll
      for (int i = 0; i < kPack; ++i) pack.value[i] = element(inside(column + i), side);
    }
    return pack;
  }
};

/// The pack that begins `shift` elements behind the begin of `own`, and ends in that of the next one of 32
/// threads, all of which call it.
template <class Element, int Count>
__device__ __forceinline__ Pack<Element, Count> shifted_pack(const Pack<Element, Count>& own,
                                                             int shift) {
  constexpr int kSize = sizeof(Element), kWord = 4;
  const int bytes = shift * kSize, words_off = bytes / kWord;
  std::uint32_t words[8];
  memcpy(words, &own, 16);
#pragma unroll
  for (int i = 0; i < 4; ++i) words[4 + i] = word_of_lane(words[i], (threadIdx.x + 1) % 32);
#pragma unroll
  for (int i = 0; i < 6; ++i) words[i] = words_off & 2 ? words[i + 2] : words[i];
#pragma unroll
  for (int i = 0; i < 5; ++i) words[i] = words_off & 1 ? words[i + 1] : words[i];
  if constexpr (kSize < kWord) {
#pragma unroll
    for (int i = 0; i < 4; ++i) words[i] = shifted_word(words[i], words[i + 1], bytes % kWord * 8);
  }
  Pack<Element, Count> shifted;
  memcpy(&shifted, words, 16);
  return shifted;
}

/// Reads a block's part of an operand, from (first, origin) on, as far as there are `columns` and `rows`.
/// `offset(column)`: where the row `origin` of a column is; rows are neighbours.
template <class Element, int SidePacks, class Index, class Offset>
__device__ __forceinline__ void read_shifted(const Element* from, const Offset& offset, Index first,
                                             Index columns, Index origin, Index rows,
                                             ShiftedTile<Element, SidePacks>& tile) {
  using Tile = ShiftedTile<Element, SidePacks>;
  constexpr int kPack = Tile::kPack, kReaders = SidePacks + 1;
  constexpr int kRounds = Tile::kColumns * kReaders / kShiftedThreads;
  static_assert(32 % kReaders == 0);
  const int thread = static_cast<int>(threadIdx.x), pack = thread % kReaders, own = thread / kReaders;
  const int count = rows - origin < Tile::kSide ? static_cast<int>(rows - origin) : Tile::kSide;
  Pack<Element, kPack> packs[kRounds];
  // All loads are under way before the first is waited for. They go through the first cache: neighbours
  // share sectors (8191x8193 of f16 took 19 % longer without, H100).
#pragma unroll
  for (int i = 0; i < kRounds; ++i) {
    const Index column = first + own + i * (kShiftedThreads / kReaders);
    const Index at = offset(column < columns ? column : first);
    const int side = pack * kPack - static_cast<int>(at & (kPack - 1));
    packs[i] = {};
    const bool is_whole = origin + side >= 0 && origin + side + kPack <= rows;
    if (column < columns && side < count && is_whole) {
      packs[i] = load_pack<kPack>(from + (at + side));
    }
  }
  // What is in no whole pack, at the ends of columns. The last pack of a tile may end past its column though the
  // tile does not reach that far.
  const bool is_first = origin == 0, is_last = rows - origin - count < kPack;
  constexpr int kEnds = Tile::kColumns * 2 * kPack / kShiftedThreads;
  Element ends[kEnds];
  const auto each_end = [&](const auto& use) {
#pragma unroll
    for (int i = 0; i < kEnds; ++i) {
      const int number = thread + i * kShiftedThreads, place = number % (2 * kPack);
      const int column = number / (2 * kPack);
      const int side = place < kPack ? place : count - 2 * kPack + place;
      const bool is_end = place < kPack ? is_first : is_last;
      if (is_end && side >= 0 && side < count && first + column < columns) use(i, column, side);
    }
  };
  const bool has_ends = is_first || is_last;
  if (has_ends) {
    each_end([&](int i, int column, int side) { ends[i] = from[offset(first + column) + side]; });
  }
  const Index again = forgotten(first);
#pragma unroll
  for (int i = 0; i < kRounds; ++i) {
    const int column = own + i * (kShiftedThreads / kReaders);
    const Index at = offset(again + column < columns ? again + column : again);
    const auto shifted = shifted_pack(packs[i], static_cast<int>(at & (kPack - 1)));
    if (pack < SidePacks) store_pack<kPack>(tile.value + Tile::begin(column) + pack * kPack, shifted);
  }
  if (has_ends) {
    __syncthreads();
    each_end([&](int i, int column, int side) { tile.value[Tile::begin(column) + side] = ends[i]; });
  }
}

/// Calls write(column, side, from, to) for the packs of sectors that begin in a block's tile from (first,
/// origin) on, and for what belongs to no sector at the begins of rows. A pack begins at (column, side) of the
/// tile, and elements [from, to) of it are to be written. Whole warps call `write`, as ShiftedTile::row
/// wants it, also where there is nothing to write. `offset(row)`: where the column `first` of a row is.
template <class Element, int SidePacks, class Index, class Offset, class Write>
__device__ __forceinline__ void write_shifted(const Offset& offset, Index first, Index columns,
                                              Index origin, Index rows, const Write& write) {
  using Tile = ShiftedTile<Element, SidePacks>;
  constexpr int kPack = Tile::kPack, kWide = 4, kTall = 8, kWarp = kWide * kTall;
  const int lane = threadIdx.x % kWarp;
  for (int group = static_cast<int>(threadIdx.x) / kWarp * kTall; group < Tile::kSide;
       group += kShiftedThreads / kWarp * kTall) {
    if (origin + group >= rows) break;
    const int side = group + lane / kWide;
    const int before = static_cast<int>(-offset(origin + side) & (Tile::kSector - 1));
    const int begin = before / kPack, end = begin + Tile::kRowPacks;
    const bool is_row = side < Tile::kSide && origin + side < rows;
    // Elements before the first sector of a row have no tile but the first.
    for (int some = first == 0 ? -kWide : 0; some < Tile::kColumns / kPack; some += kWide) {
      if (some > 0 && first + some * kPack >= columns) break;
      const int pack = some + lane % kWide, column = before % kPack + pack * kPack;
      const bool is_own = is_row && pack < end && (pack >= begin || first == 0);
      const Index left = columns - first - column;
      write(column, side, is_own && column >= 0 ? 0 : is_own && column > -kPack ? -column : kPack,
            left < kPack ? static_cast<int>(left) : kPack);
    }
  }
}

}  // namespace ait::gpu
