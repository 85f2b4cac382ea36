// The end of a Hopper gemm's tile: the region runs on the sums of a warpgroup, and results are stored.
//
// Sums lie as the tensor cores leave them, two neighbours in a row a thread (see wgmma.hpp): too few for
// wide accesses. Either results change hands or sums do. *Fragments*: each thread runs the region where
// it has the sums; results of 16 bits pass through shared memory, sixteen rows of a warp at a time, and
// leave as pieces of eight. What the region reads came to shared memory while the tile was multiplied.
// *Packs*: threads that share rows (or columns) exchange sums until each has neighbours, then run the
// region on them and read and store them at once. This takes any types and strides.
//
// `Kernel` is generated; see gemm_hopper.hpp. For both ends it has kFragments and kPackRows: results are
// neighbours along rows or, unless kPackRows, along columns. Fragments need
//   kResults (how many, of 16 bits each), kLineBytes (of what is read for a column), kTiles (operands of
//   16 bits that are read for each element), kRing (how many slots of them are on their way),
//   kSumColumns (of the tile, whose sums a thread has at once), columns(arguments) of the results;
//   RowReads, read_row(arguments, batch, row): what is read for a row;
//   hold_line(arguments, batch, column, to, at), hold_tiles(arguments, batch, row, column, to, bytes):
//   start to bring the operands of eight columns, number `at` of the tile and following, and of eight
//   results, `bytes` from one operand's to the next;
//   LineReads, read_lines(lines, at): what is read for two columns, number `at` of the tile and the next;
//   compute(arguments, batch, row, column, row_reads, line_reads, tiles [kTiles], sums [kFactors][2],
//   results [kResults]): the region for two columns, as pairs;
//   store(arguments, batch, row, column, pieces [kResults]) of eight results.
// Packs need kPack (results of a pack), and
//   Loaded, load(arguments, batch, row, column): what the region reads for one pack;
//   finish(arguments, batch, row, column, loaded, sums [kFactors][kPack]): the region and its stores.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ait/cuda/hopper.hpp"

namespace ait::cuda {

constexpr int kWarpgroup = 128;

/// The sums of a warpgroup's part of a tile that a thread has.
template <int Blocks, int Factors, int Count>
struct TileSums {
  float value[Blocks][Factors][Count];
};

/// A warpgroup's part of a tile.
template <class Kernel>
struct GemmPart {
  static constexpr int kRows =
      Kernel::kPingpong ? Kernel::kTileM : Kernel::kTileM / Kernel::kConsumers;
  static constexpr int kBlocks = kRows / 64;
  static_assert(kBlocks * 64 == kRows, "products have 64 rows");
  static constexpr int kSums = Kernel::kTileN / 2;
  using Sums = TileSums<kBlocks, Kernel::kFactors, kSums>;
};

// Fragments ------------------------------------------------------------------------------------

/// Starts to bring eight neighbours to shared memory.
template <class Element>
__device__ __forceinline__ void hold_eight(char* to, const Element* from) {
#pragma unroll
  for (int at = 0; at < 8 * static_cast<int>(sizeof(Element)); at += 16) {
    copy_async<16>(to + at, reinterpret_cast<const char*>(from) + at, true);
  }
}

template <class Kernel>
struct FragmentFinish {
  using Part = GemmPart<Kernel>;
  using Index = typename Kernel::Index;
  using Arguments = typename Kernel::Arguments;
  static constexpr bool kAcross = Kernel::kPackRows;
  static constexpr int kTileN = Kernel::kTileN, kBlocks = Part::kBlocks;
  static_assert(kTileN % 16 == 0, "two chunks of eight columns pass at once");

  /// A slot: sixteen rows of `kChunk` columns, in 16-byte pieces of lines along memory.
  /// Wide ones need registers, which many sums leave none of.
  static constexpr int kSumRegisters = kBlocks * Kernel::kFactors * Kernel::kSumColumns / 2;
  static constexpr bool kIsWide = kTileN % 64 == 0 && kSumRegisters <= 128;
  static constexpr int kChunk = kIsWide ? 64 : kTileN % 32 == 0 ? 32 : 16;
  static constexpr int kChunks = kTileN / kChunk;
  static constexpr int kPieces = kAcross ? 2 : kChunk / 8;
  static constexpr int kSlotBytes = 16 * kChunk * 2;
  static constexpr int kSlots = kBlocks * kChunks, kRing = Kernel::kRing;
  static constexpr int kLineBytes = (Kernel::kLineBytes * kTileN + 127) / 128 * 128;
  static constexpr bool kHolds = Kernel::kLineBytes > 0 || Kernel::kTiles > 0;

  struct alignas(128) Warp {
    char results[Kernel::kResults][kSlotBytes];
    char tiles[Kernel::kTiles > 0 ? Kernel::kTiles * kRing : 1][Kernel::kTiles > 0 ? kSlotBytes : 16];
    char lines[kLineBytes > 0 ? kLineBytes : 16];
  };
  struct Shared {
    Warp warps[4];
  };

  static constexpr int kSixteens = kChunk / 16;
  /// Whether there are registers for results on their way to memory while the next ones are computed, and
  /// for what the region reads for the next ones, unless slots are wide: this saves time while another
  /// warpgroup multiplies.
  static constexpr bool kHasMostSums = kSumRegisters > 160;
  static constexpr bool kStoresLater =
      Kernel::kConsumers < 3 && Kernel::kResults + Kernel::kTiles < 3 &&
      !(kHasMostSums && kAcross && Kernel::kTiles > 0);
  static constexpr bool kReadsAhead = kStoresLater && Kernel::kPingpong && !kIsWide &&
                                      Kernel::kResults + Kernel::kTiles == 1 &&
                                      Kernel::kLineBytes <= (kHasMostSums ? 2 : 4);
  /// What a thread reads of lines for a slot: for its two columns of each eight.
  struct SlotLines {
    typename Kernel::LineReads of[kChunk / 8];
  };
  /// Pieces of the results of a slot that a thread stores.
  struct Pieces {
    gpu::Pack<std::uint16_t, 8> of[kSlotBytes / 512][Kernel::kResults];
  };

  /// What a thread reads before it multiplies.
  struct Early {
    typename Kernel::RowReads rows[kBlocks][2];
  };

  /// Where a piece of a slot lies: pieces of a line change places so that accesses of eight lines, or of
  /// one, meet different banks.
  static __device__ __forceinline__ int place(int line, int piece) {
    return (line * kPieces + (piece ^ line * kPieces / 8 % kPieces)) * 16;
  }

  /// Calls `each(row, column, place, number)` for the thread's pieces of a slot.
  template <class Each>
  static __device__ __forceinline__ void each_piece(const Each& each) {
#pragma unroll
    for (int i = 0; i < kSlotBytes / 512; ++i) {
      const int number = i * 32 + static_cast<int>(threadIdx.x % 32);
      const int line = number / kPieces, piece = number % kPieces;
      each(kAcross ? piece * 8 : line, kAcross ? line : piece * 8, place(line, piece), i);
    }
  }

  /// Where the thread's row of sixteen columns' matrices lies, for `load_matrices` and `store_matrices`:
  /// the matrices are rows 0 to 7 and 8 to 15 of the first eight columns, then of the others.
  static __device__ __forceinline__ int matrix_row(int sixteen) {
    const int lane = threadIdx.x % 32, below = lane / 8 % 2, right = lane / 16, inner = lane % 8;
    return kAcross ? place(sixteen * 16 + right * 8 + inner, below)
                   : place(below * 8 + inner, sixteen * 2 + right);
  }

  /// Starts to bring what the region reads for the tile whose rows, of this warpgroup, begin at `row`.
  static __device__ __forceinline__ void begin(const Arguments& arguments, Shared& shared,
                                               Early& early, Index batch, Index row, Index column) {
    hold_lines(arguments, shared, batch, column);
    hold_first_slots(arguments, shared, batch, row, column);
    if constexpr (kHolds && Kernel::kTiles == 0) commit_copies();
    read_rows(arguments, early, batch, row);
  }

  /// Starts to bring what the region reads for each column of a tile.
  static __device__ __forceinline__ void hold_lines(const Arguments& arguments, Shared& shared,
                                                    Index batch, Index column) {
    if constexpr (Kernel::kLineBytes > 0) {
      // Where a thread's part goes is not worth a register in all of a tile.
      std::uint32_t thread = threadIdx.x;
      pin(thread);
      const int warp = thread / 32 % 4, lane = thread % 32;
      for (int at = lane * 8; at < kTileN; at += 256) {
        if (column + at < Kernel::columns(arguments)) {
          Kernel::hold_line(arguments, batch, column + at, shared.warps[warp].lines, at);
        }
      }
    }
  }

  /// Starts to bring the first slots of what the region reads for each element of a tile.
  static __device__ __forceinline__ void hold_first_slots(const Arguments& arguments,
                                                          Shared& shared, Index batch, Index row,
                                                          Index column) {
    if constexpr (Kernel::kTiles > 0) {
#pragma unroll
      for (int slot = 0; slot < kRing; ++slot) {
        hold_slot_of_tile(arguments, shared.warps[threadIdx.x / 32 % 4], batch, row, column, slot);
      }
    }
  }

  /// Reads what the region reads for each row of a tile.
  static __device__ __forceinline__ void read_rows(const Arguments& arguments, Early& early,
                                                   Index batch, Index row) {
    const int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 2 * kBlocks; ++i) {
      const Index at = row + i / 2 * 64 + warp * 16 + i % 2 * 8 + lane / 4;
      const auto last = static_cast<Index>(arguments.rows - 1);
      early.rows[i / 2][i % 2] = Kernel::read_row(arguments, batch, at < last ? at : last);
    }
  }

  /// Runs the region on the sums and stores the results.
  static __device__ __forceinline__ void end(const Arguments& arguments,
                                             const typename Part::Sums& sums, Shared& shared,
                                             const Early& early, Index batch, Index row,
                                             Index column) {
    if constexpr (kHolds && Kernel::kTiles == 0) {
      wait_for_copies<0>();
      __syncwarp();
    }
    finish_slots(arguments, sums, shared, early, batch, row, column);
  }

  /// The same, once lines are there.
  ///
  /// What is read from shared memory is asked for long before it is used, for the tensor cores keep that
  /// busy: what the region reads for a slot, before the slot before it is computed; results on their
  /// way to memory, while the first of the next ones are.
  static __device__ __forceinline__ void finish_slots(const Arguments& arguments,
                                                      const typename Part::Sums& sums,
                                                      Shared& shared, const Early& early,
                                                      Index batch, Index row, Index column) {
    const int warp = threadIdx.x / 32 % 4;
    Warp& mine = shared.warps[warp];
    const auto row_of = [&](int slot) {
      return static_cast<Index>(row + slot / kChunks * 64 + warp * 16);
    };
    const auto column_of = [&](int slot) {
      return static_cast<Index>(column + slot % kChunks * kChunk);
    };
    SlotLines next;
    if constexpr (kReadsAhead) next = read_lines(mine, 0);
    Pieces pieces;
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      if constexpr (Kernel::kTiles > 0) {
        wait_for_copies<kRing - 1>();
        __syncwarp();
      }
      const SlotLines lines = next;
      if (kReadsAhead && slot + 1 < kSlots) next = read_lines(mine, slot + 1);
      const int block = slot / kChunks, at = slot % kChunks * kChunk;
#pragma unroll
      for (int i = 0; i < kSixteens; ++i) {
        std::uint32_t results[Kernel::kResults][4];
        const auto line_of = [&](int right) {
          return kReadsAhead ? lines.of[i * 2 + right] : read_line(mine, at + i * 16 + right * 8);
        };
        compute_pairs(arguments, sums.value[block], at + i * 16, mine, slot % kRing, i, line_of,
                      early.rows[block], batch, row_of(slot),
                      static_cast<Index>(column + at + i * 16), results);
        if (kStoresLater && i == 0 && slot > 0) {
          store_pieces(arguments, pieces, batch, row_of(slot - 1), column_of(slot - 1));
          __syncwarp();
        }
        put_results(mine, i, results);
      }
      __syncwarp();
      pieces = take_pieces(mine);
      if constexpr (!kStoresLater) {
        store_pieces(arguments, pieces, batch, row_of(slot), column_of(slot));
        __syncwarp();
      }
      if constexpr (Kernel::kTiles > 0) {
        hold_slot_of_tile(arguments, mine, batch, row, column, slot + kRing);
      }
    }
    if constexpr (kStoresLater) {
      store_pieces(arguments, pieces, batch, row_of(kSlots - 1), column_of(kSlots - 1));
      __syncwarp();
    }
  }

  /// Starts to bring what is read for each element of the slot that begins at `first_row` and
  /// `first_column`, to a place in the ring.
  static __device__ __forceinline__ void hold_slot(const Arguments& arguments, Warp& mine,
                                                   Index batch, Index first_row, Index first_column,
                                                   int ring) {
    each_piece([&](int r, int c, int place, int) {
      if (first_row + r < arguments.rows && first_column + c < Kernel::columns(arguments)) {
        Kernel::hold_tiles(arguments, batch, first_row + r, first_column + c,
                           mine.tiles[ring] + place, kRing * kSlotBytes);
      }
    });
  }

  /// Stores the results of a slot, which are in shared memory.
  static __device__ __forceinline__ void store_slot(const Arguments& arguments, const Warp& mine,
                                                    Index batch, Index first_row,
                                                    Index first_column) {
    store_pieces(arguments, take_pieces(mine), batch, first_row, first_column);
  }

  /// The results of sixteen rows and columns, which go to the slot as well: of the sums from column
  /// `first_sum` on, which is column `first` of the tile that begins at `first_column`. A result's
  /// registers are the fragment of a left factor.
  template <int Sums>
  static __device__ __forceinline__ void compute_sixteen(
      const Arguments& arguments, const float (&sums)[Kernel::kFactors][Sums], int first_sum,
      Warp& mine, int ring, const typename Kernel::RowReads (&rows)[2], Index batch,
      Index first_row, Index first_column, int first, int sixteen,
      std::uint32_t (&results)[Kernel::kResults][4]) {
    const auto line_of = [&](int right) { return read_line(mine, first + right * 8); };
    compute_pairs(arguments, sums, first_sum, mine, ring, sixteen, line_of, rows, batch, first_row,
                  static_cast<Index>(first_column + first), results);
    put_results(mine, sixteen, results);
  }

 private:
  /// What is read for the thread's two of eight columns, from `first` of the tile on.
  static __device__ __forceinline__ typename Kernel::LineReads read_line(const Warp& mine,
                                                                         int first) {
    return Kernel::read_lines(mine.lines, first + static_cast<int>(threadIdx.x % 4) * 2);
  }

  /// The same for the columns of a slot.
  static __device__ __forceinline__ SlotLines read_lines(const Warp& mine, int slot) {
    SlotLines lines;
#pragma unroll
    for (int i = 0; i < kChunk / 8; ++i) {
      lines.of[i] = read_line(mine, slot % kChunks * kChunk + i * 8);
    }
    return lines;
  }

  /// The results of sixteen rows and columns, from `first_row` and `first_column` on: of the sums from
  /// column `first_sum` on. They are number `sixteen` of a slot, which is in the ring's place `ring`;
  /// `line_of(right)`: what is read for the columns of the first eight, or of the others.
  template <int Sums, class LineOf>
  static __device__ __forceinline__ void compute_pairs(
      const Arguments& arguments, const float (&sums)[Kernel::kFactors][Sums], int first_sum,
      const Warp& mine, int ring, int sixteen, const LineOf& line_of,
      const typename Kernel::RowReads (&rows)[2], Index batch, Index first_row, Index first_column,
      std::uint32_t (&results)[Kernel::kResults][4]) {
    const int lane = threadIdx.x % 32;
    std::uint32_t tiles[Kernel::kTiles > 0 ? Kernel::kTiles : 1][4];
#pragma unroll
    for (int i = 0; i < Kernel::kTiles; ++i) {
      const char* from = mine.tiles[i * kRing + ring] + matrix_row(sixteen);
      if constexpr (kAcross) {
        load_transposed(tiles[i], from);
      } else {
        load_matrices(tiles[i], from);
      }
    }
#pragma unroll
    for (int matrix = 0; matrix < 4; ++matrix) {
      const int right = matrix / 2, below = matrix % 2;
      const int sum = (first_sum + right * 8) / 2 + below * 2;
      float pair[Kernel::kFactors][2];
#pragma unroll
      for (int factor = 0; factor < Kernel::kFactors; ++factor) {
        pair[factor][0] = sums[factor][sum];
        pair[factor][1] = sums[factor][sum + 1];
      }
      std::uint32_t read[Kernel::kTiles > 0 ? Kernel::kTiles : 1], made[Kernel::kResults];
#pragma unroll
      for (int i = 0; i < Kernel::kTiles; ++i) read[i] = tiles[i][matrix];
      Kernel::compute(arguments, batch, first_row + below * 8 + lane / 4,
                      first_column + right * 8 + lane % 4 * 2, rows[below], line_of(right), read,
                      pair, made);
#pragma unroll
      for (int i = 0; i < Kernel::kResults; ++i) results[i][matrix] = made[i];
    }
  }

  /// Puts results to the slot.
  static __device__ __forceinline__ void put_results(
      Warp& mine, int sixteen, const std::uint32_t (&results)[Kernel::kResults][4]) {
    const int row = matrix_row(sixteen);
#pragma unroll
    for (int i = 0; i < Kernel::kResults; ++i) {
      if constexpr (kAcross) {
        store_transposed(mine.results[i] + row, results[i]);
      } else {
        store_matrices(mine.results[i] + row, results[i]);
      }
    }
  }

  /// The thread's pieces of the slot's results.
  static __device__ __forceinline__ Pieces take_pieces(const Warp& mine) {
    Pieces pieces;
    each_piece([&](int, int, int place, int number) {
#pragma unroll
      for (int i = 0; i < Kernel::kResults; ++i) {
        pieces.of[number][i] =
            gpu::load_pack<8>(reinterpret_cast<const std::uint16_t*>(mine.results[i] + place));
      }
    });
    return pieces;
  }

  static __device__ __forceinline__ void store_pieces(const Arguments& arguments,
                                                      const Pieces& pieces, Index batch,
                                                      Index first_row, Index first_column) {
    each_piece([&](int r, int c, int, int number) {
      if (first_row + r < arguments.rows && first_column + c < Kernel::columns(arguments)) {
        Kernel::store(arguments, batch, first_row + r, first_column + c, pieces.of[number]);
      }
    });
  }

  /// Starts to bring a slot of a tile, if it has that one.
  static __device__ __forceinline__ void hold_slot_of_tile(const Arguments& arguments, Warp& mine,
                                                           Index batch, Index row, Index column,
                                                           int slot) {
    if (slot < kSlots) {
      hold_slot(arguments, mine, batch, row + slot / kChunks * 64 + threadIdx.x / 32 % 4 * 16,
                column + slot % kChunks * kChunk, slot % kRing);
    }
    commit_copies();
  }
};

// Packs ----------------------------------------------------------------------------------------

/// Items of `Width` values, exchanged between `Count` threads whose numbers differ in the bits from
/// `Mask` on: item i of the j-th thread becomes item j of the i-th one.
template <int Count, int Width, int Mask>
__device__ __forceinline__ void transpose_items(float (&items)[Count * Width]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int bit = 1; bit < Count; bit *= 2) {
    const bool upper = lane & (bit * Mask);
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      if (i & bit) continue;
#pragma unroll
      for (int w = 0; w < Width; ++w) {
        float& low = items[i * Width + w];
        float& high = items[(i | bit) * Width + w];
        const float other = other_lane(upper ? low : high, bit * Mask);
        (upper ? low : high) = other;
      }
    }
  }
}

/// Which packs of results a thread has, of a warpgroup's part of a tile.
template <class Kernel>
struct Packs {
  using Part = GemmPart<Kernel>;
  static constexpr int kPack = Kernel::kPack;
  static_assert(kPack == 1 || Kernel::kTileN % (4 * kPack) == 0, "a pack is whole");
  /// Of 8 rows of a warp, pack c is made of the sums of the chunks of 8 columns from c * kPack / 2 on,
  /// which the threads that share their rows, or columns, exchange.
  static constexpr int kColumns = Kernel::kTileN / 4 / kPack;
  /// Packs of the same columns follow each other: they share operands that do not vary along rows.
  static constexpr int kRows = 2 * Part::kBlocks;
  static constexpr int kCount = kRows * kColumns;

  /// The first element of a pack, within the warpgroup's rows.
  static __device__ __forceinline__ void place(int pack, int& row, int& column) {
    const int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
    const int g = lane / 4, t = lane % 4, c = pack / kRows;
    row = pack % kRows / 2 * 64 + warp * 16 + pack % 2 * 8;
    if constexpr (kPack == 1) {
      row += g;
      column = c / 2 * 8 + t * 2 + c % 2;
    } else if constexpr (Kernel::kPackRows) {
      const int item = g % kPack;
      row += g - item;
      column = c * 4 * kPack + item / 2 * 8 + t * 2 + item % 2;
    } else {
      constexpr int kItems = kPack / 2;
      const int item = t % kItems;
      row += g;
      column = c * 4 * kPack + item * 8 + (t - item) * 2;
    }
  }

  /// The sums of a pack.
  static __device__ __forceinline__ void take(float (&to)[kPack], const typename Part::Sums& sums,
                                              int factor, int pack) {
    const auto& from = sums.value[pack % kRows / 2][factor];
    const int half = pack % 2, c = pack / kRows;
    if constexpr (kPack == 1) {
      to[0] = from[c / 2 * 4 + half * 2 + c % 2];
    } else {
#pragma unroll
      for (int i = 0; i < kPack; ++i) to[i] = from[(c * kPack / 2 + i / 2) * 4 + half * 2 + i % 2];
      if constexpr (Kernel::kPackRows) {
        transpose_items<kPack, 1, 4>(to);
      } else {
        transpose_items<kPack / 2, 2, 1>(to);
      }
    }
  }
};

template <class Kernel>
struct PackFinish {
  using Part = Packs<Kernel>;
  using Index = typename Kernel::Index;
  using Arguments = typename Kernel::Arguments;
  struct Shared {};
  struct Early {};

  static __device__ __forceinline__ void begin(const Arguments&, Shared&, Early&, Index, Index,
                                               Index) {}

  /// Runs the region on a warpgroup's sums of the tile whose rows begin at `row`.
  static __device__ __forceinline__ void end(const Arguments& arguments,
                                             const typename GemmPart<Kernel>::Sums& sums, Shared&,
                                             const Early&, Index batch, Index row, Index column) {
    constexpr int kTogether = Kernel::kConsumers == 3 ? 2 : Part::kRows;
#pragma unroll
    for (int first = 0; first < Part::kCount; first += kTogether) {
      Index rows[kTogether], columns[kTogether];
      bool inside[kTogether];
      typename Kernel::Loaded loaded[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        int r, c;
        Part::place(first + i, r, c);
        rows[i] = row + r;
        columns[i] = column + c;
        inside[i] = rows[i] < arguments.rows && columns[i] < arguments.columns;
        if (inside[i]) loaded[i] = Kernel::load(arguments, batch, rows[i], columns[i]);
      }
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        float pack[Kernel::kFactors][Kernel::kPack];
#pragma unroll
        for (int factor = 0; factor < Kernel::kFactors; ++factor) {
          Part::take(pack[factor], sums, factor, first + i);
        }
        if (inside[i]) Kernel::finish(arguments, batch, rows[i], columns[i], loaded[i], pack);
      }
    }
  }
};

template <class Kernel, bool Fragments = Kernel::kFragments>
struct FinishOf {
  using Type = PackFinish<Kernel>;
};
template <class Kernel>
struct FinishOf<Kernel, true> {
  using Type = FragmentFinish<Kernel>;
};

/// How a kernel ends its tiles.
template <class Kernel>
using Finish = typename FinishOf<Kernel>::Type;

}  // namespace ait::cuda
