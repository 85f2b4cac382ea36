// Which elements of a product's sums a thread has, as packs of neighbouring columns.
#pragma once

#include "ait/cuda/gemm_finish.hpp"

namespace ait::cuda {

/// Registers of the threads that load and of those of two warpgroups that multiply and have most of
/// theirs full of sums.
constexpr int kLeastRegisters = 24, kMostRegisters = 240;

/// Of each row of 64 x `Columns` sums (wgmma.hpp), the four threads that share it have a quarter,
/// two neighbours at a time. They exchange them, so that each has packs of `Pack` neighbours; unless
/// the columns of the right factor came in an order that makes that needless: of 4 * Pack columns,
/// number 8 i + 2 t + e is taken for Pack t + 2 i + e.
template <int Columns, int Pack, bool Exchanges = true>
struct ColumnPacks {
  static_assert(Columns % (4 * Pack) == 0, "a pack is whole");
  /// Elements of a row, and packs of them.
  static constexpr int kElements = Columns / 4, kCount = kElements / Pack;

  /// The thread's upper row, or the lower one, of the 64.
  static __device__ __forceinline__ int row(int half) {
    return threadIdx.x / 32 % 4 * 16 + half * 8 + threadIdx.x % 32 / 4;
  }

  /// The first column of a pack.
  static __device__ __forceinline__ int column(int pack) {
    const int t = threadIdx.x % 4;
    if constexpr (Pack == 1) {
      return pack / 2 * 8 + t * 2 + pack % 2;
    } else if constexpr (!Exchanges) {
      return (pack * 4 + t) * Pack;
    } else {
      constexpr int kItems = Pack / 2;
      const int item = t % kItems;
      return pack * 4 * Pack + item * 8 + (t - item) * 2;
    }
  }

  /// Where an element of a pack is among the sums.
  static __device__ __forceinline__ constexpr int place(int pack, int half, int element) {
    return Pack == 1 ? pack / 2 * 4 + half * 2 + pack % 2
                     : (pack * Pack / 2 + element / 2) * 4 + half * 2 + element % 2;
  }

  /// A pack of sums; all threads of the warp call it.
  static __device__ __forceinline__ void take(float (&to)[Pack], const float (&sums)[Columns / 2],
                                              int pack, int half) {
#pragma unroll
    for (int i = 0; i < Pack; ++i) to[i] = sums[place(pack, half, i)];
    if constexpr (Exchanges && Pack > 2) transpose(to);
  }

 private:
  /// Pair i of the j-th thread becomes pair j of the i-th one.
  static __device__ __forceinline__ void transpose(float (&pairs)[Pack]) {
#pragma unroll
    for (int bit = 1; bit < Pack / 2; bit *= 2) {
      const bool is_upper = threadIdx.x & bit;
#pragma unroll
      for (int i = 0; i < Pack / 2; ++i) {
        if (i & bit) continue;
#pragma unroll
        for (int w = 0; w < 2; ++w) {
          float& low = pairs[i * 2 + w];
          float& high = pairs[(i | bit) * 2 + w];
          const float other = other_lane(is_upper ? low : high, bit);
          (is_upper ? low : high) = other;
        }
      }
    }
  }
};

/// Starts to bring `Count` elements to shared memory, for the thread of a warpgroup that needs them.
template <int Count, class Element>
__device__ __forceinline__ void hold_pack(char* slot, int thread, const Element* from) {
  constexpr int kBytes = Count * static_cast<int>(sizeof(Element));
  constexpr int kPiece = kBytes < 16 ? kBytes : 16;
#pragma unroll
  for (int at = 0; at < kBytes; at += kPiece) {
    copy_async<kPiece>(slot + at * kWarpgroup + thread * kPiece,
                       reinterpret_cast<const char*>(from) + at, true);
  }
}

/// What `hold_pack` has brought.
template <int Count, class Element>
__device__ __forceinline__ gpu::Pack<Element, Count> held_pack(const char* slot, int thread) {
  constexpr int kBytes = Count * static_cast<int>(sizeof(Element));
  constexpr int kPiece = kBytes < 16 ? kBytes : 16;
  constexpr int kElements = kPiece / static_cast<int>(sizeof(Element));
  gpu::Pack<Element, Count> pack;
#pragma unroll
  for (int at = 0; at < Count; at += kElements) {
    const auto piece = gpu::load_pack<kElements>(reinterpret_cast<const Element*>(
        slot + at * static_cast<int>(sizeof(Element)) * kWarpgroup + thread * kPiece));
#pragma unroll
    for (int i = 0; i < kElements; ++i) pack.value[at + i] = piece.value[i];
  }
  return pack;
}

}  // namespace ait::cuda
