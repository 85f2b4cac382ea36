// Norms of rows that lie between each other in memory, as groups of channels do in an image whose
// channels come last: at each place (pixel), a row has a short run of elements, and its neighbours'
// runs lie beside it. The blocks of a cluster share a slab, some neighbouring rows: each has a part of
// the places, where it reads the runs of all these rows as one. Blocks tell each other what their parts
// are like through the shared memory of the cluster. What was read stays in shared memory, if it fits,
// until all rows are known; else it is read twice.
//
// Of 32 images of 64x64x320 of f16 (H200; 48 us, a copy of as many bytes 41 to 42.5) the same reads and writes
// take 45 without means: while blocks find out what their rows are like they move nothing, so instructions and
// waits between reading and writing count (52 us with loops that had to look for their ends, and what is known of
// each element of a pack kept to the end). 30 clusters run at once, and read 128 slabs in 4.3 turns: the last
// one costs 3 us. Slower were clusters that go on to other slabs, which they bring while they write (52 to 57),
// blocks of two slabs, one of which comes (51 to 55), a third block of a multiprocessor, some of whose packs are
// in registers (50), clusters of 7, of which 32 run (52), or of 16 (49), the last slabs in halves (50), and all
// hints to the caches (52 to 56 where 52 were without). On an H100 messages that needed a fence took 5 us
// more (it waits for all that the multiprocessor has under way), and so did those through global memory.
#pragma once

#include "ait/cuda/cluster.hpp"
#include "ait/cuda/copy_pack.hpp"
#include "ait/cuda/hopper.hpp"
#include "ait/gpu/rowwise.hpp"

namespace ait::cuda {

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) value += other_lane(value, mask);
  return value;
}

/// What a thread sees of rows, a pack of `Count` elements at each place, as `kNumbers` numbers of a row:
/// `begin` is called with the first pack, and with which of its elements belong to the same row as the one
/// before them, `see` with each pack, and `close` for some elements of all these packs, of one row, of
/// which there were `length`. `extend` makes one of two sequences of a row, whose lengths are in the ratio
/// of 1 - share to share, and of which the second one is `more` long. And how sequences of any lengths
/// become one: `merged(length, first, each, sum)`, where each(use) calls use(length, numbers) for those of
/// a thread, `first` are the numbers of one of them, and sum(x) adds up what the threads have that share
/// the work.
template <class Kind, int Count>
struct Sequences;

/// Means, and squares of distances from them. What is seen is so as distances from one of it, or from the
/// mean of a part: that one's own distance from the mean of all is a part of the result, so what cancels
/// is small beside it, wherever it lies, if there are not too many.
template <int Count>
struct Sequences<gpu::LayerNorm, Count> {
  using State = gpu::LayerNorm::State;
  static constexpr int kNumbers = 2;
  float sums[Count] = {}, squares[Count] = {}, pivot[Count];

  __device__ __forceinline__ void begin(const float (&v)[Count], const bool (&continues)[Count]) {
    pivot[0] = v[0];
#pragma unroll
    for (int i = 1; i < Count; ++i) pivot[i] = continues[i] ? pivot[i - 1] : v[i];
  }

  __device__ __forceinline__ void see(const float (&v)[Count]) {
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      const float distance = v[i] - pivot[i];
      sums[i] += distance;
      squares[i] += distance * distance;
    }
  }

  __device__ __forceinline__ void close(int first, int end, float length, float (&numbers)[2]) const {
    float total = 0.0f, square = 0.0f, from = 0.0f;
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      if (i < first || i >= end) continue;
      total += sums[i];
      square += squares[i];
      from = pivot[i];
    }
    const State state = whole(length, from, total, square);
    numbers_of(state, numbers);
  }

  static __device__ __forceinline__ void extend(float (&numbers)[2], const float (&other)[2],
                                                float share, float more) {
    const float distance = other[0] - numbers[0];
    numbers[0] += distance * share;
    numbers[1] += other[1] + distance * distance * (more * (1.0f - share));
  }

  template <class Each, class Sum>
  static __device__ __forceinline__ State merged(float length, const float (&first)[2],
                                                 const Each& each, const Sum& sum) {
    float total = 0.0f, squares = 0.0f;
    each([&](float own, const float (&other)[2]) {
      const float distance = other[0] - first[0];
      total += own * distance;
      squares += other[1] + own * (distance * distance);
    });
    return whole(length, first[0], sum(total), sum(squares));
  }

  static __device__ __forceinline__ void numbers_of(const State& state, float (&to)[2]) {
    to[0] = state.mean;
    to[1] = state.squares;
  }

 private:
  /// Of the sums of distances from `from` and of their squares.
  static __device__ __forceinline__ State whole(float length, float from, float total,
                                                float squares) {
    const float distance = length > 0.0f ? ait::detail::quotient(total, length) : 0.0f;
    const float left = squares - total * distance;
    return {length, from + distance, left > 0.0f || left != left ? left : 0.0f};
  }
};

template <int Count>
struct Sequences<gpu::RmsNorm, Count> {
  using State = gpu::RmsNorm::State;
  static constexpr int kNumbers = 1;
  float squares[Count] = {};

  __device__ __forceinline__ void begin(const float (&)[Count], const bool (&)[Count]) {}

  __device__ __forceinline__ void see(const float (&v)[Count]) {
#pragma unroll
    for (int i = 0; i < Count; ++i) squares[i] += v[i] * v[i];
  }

  __device__ __forceinline__ void close(int first, int end, float, float (&numbers)[1]) const {
    numbers[0] = 0.0f;
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      if (first <= i && i < end) numbers[0] += squares[i];
    }
  }

  static __device__ __forceinline__ void extend(float (&numbers)[1], const float (&other)[1], float,
                                                float) {
    numbers[0] += other[0];
  }

  template <class Each, class Sum>
  static __device__ __forceinline__ State merged(float, const float (&)[1], const Each& each,
                                                 const Sum& sum) {
    float squares = 0.0f;
    each([&](float, const float (&other)[1]) { squares += other[0]; });
    return {sum(squares)};
  }

  static __device__ __forceinline__ void numbers_of(const State& state, float (&to)[1]) {
    to[0] = state.squares;
  }
};

/// How many pieces of `size` elements, side by side, one of `length` elements may touch that begins where
/// another one of its length ends.
constexpr int most_touched(int length, int size) {
  if (length % size == 0) return length / size;
  if (size % length == 0) return 1;
  return (length + size - 2) / size + 1;
}

/// A slab. A block has `kPlaces` times as many threads as packs lie side by side.
template <class Kernel, class Kind>
struct InterleavedRows {
  using Index = typename Kernel::Index;
  using Arguments = typename Kernel::Arguments;
  using Reads = typename Kernel::Reads;
  using Fixed = typename Kernel::Fixed;
  using State = typename Kind::State;
  using Seen = Sequences<Kind, Kernel::kVector>;

  static constexpr int kRows = Kernel::kRows, kRun = Kernel::kRun, kVector = Kernel::kVector;
  static constexpr int kPlaces = Kernel::kPlaces, kItems = Kernel::kItems;
  static constexpr int kWidth = kRows * kRun, kSide = kWidth / kVector;
  static constexpr int kThreads = kSide * kPlaces, kWarps = kThreads / 32;
  static_assert(kWidth % kVector == 0 && kThreads % 32 == 0);
  /// Packs that every thread keeps.
  static constexpr int kSure = Kernel::kSure;
  static_assert(0 <= kSure && kSure <= kItems);
  static constexpr bool kIsEven = kItems > 0 && kSure == kItems;
  static constexpr int kAtOnce = 2;
  /// Packs that are seen before they become a part of what is known.
  static constexpr int kSeenAtOnce = 32;
  /// What is kept comes in so many parts, or fewer, each of which is seen while others are under way.
  static constexpr int kParts = 10;
  static constexpr int kPartItems = (kItems + kParts * kAtOnce - 1) / (kParts * kAtOnce) * kAtOnce;
  static_assert(kSeenAtOnce % kAtOnce == 0);

  static constexpr int kNumbers = Seen::kNumbers;
  static constexpr bool kIsShared = Kernel::kCluster > 1;
  /// Of how many rows a pack may have elements, and how many packs may have elements of a row.
  static constexpr int kPackRows = most_touched(kVector, kRun), kRowPacks = most_touched(kRun, kVector);

  struct Shared {
    float numbers[kNumbers][kPackRows][kThreads];
    /// What is known of each block's parts of rows; they have come when the phase of `has_come` ends.
    alignas(8) float told[Kernel::kCluster][kRows][kNumbers];
    Barrier has_come;
    State rows[kRows];
  };
  /// Behind the packs that are kept.
  static constexpr unsigned kKeptBytes = kItems * kThreads * sizeof(Reads);
  static constexpr unsigned kSharedBytes = kKeptBytes + sizeof(Shared);

  const Arguments& arguments;
  Reads* kept;
  Shared& shared;
  Index outer, element, begin, end;
  int side, at;

  __device__ __forceinline__ InterleavedRows(const Arguments& arguments, char* memory)
      : arguments(arguments),
        kept(reinterpret_cast<Reads*>(memory)),
        shared(*reinterpret_cast<Shared*>(memory + kKeptBytes)) {
    const int slab = gpu::in_order<int>(blockIdx.x / Kernel::kCluster, gridDim.x / Kernel::kCluster,
                                        arguments.backwards);
    side = threadIdx.x % kSide;
    at = threadIdx.x / kSide;
    outer = static_cast<Index>(slab / Kernel::kSlabs);
    element = static_cast<Index>(slab % Kernel::kSlabs * kWidth + side * kVector);
    const auto part = part_of_block(cluster_rank());
    begin = part.begin;
    end = part.end;
  }

  struct Places {
    Index begin, end;
    __device__ __forceinline__ Index size() const { return end - begin; }
  };

  /// Of an image.
  __device__ __forceinline__ Index all_places() const {
    if constexpr (kIsEven) return Kernel::kCluster * kPlaces * kItems;
    return static_cast<Index>(arguments.places);
  }

  /// The places of a block of the cluster.
  __device__ __forceinline__ Places part_of_block(int block) const {
    const Index places = all_places();
    const Index part = (places + Kernel::kCluster - 1) / Kernel::kCluster;
    const Index begin = part * block < places ? part * block : places;
    return {begin, part < places - begin ? begin + part : places};
  }

  /// Packs of the thread.
  __device__ __forceinline__ int items() const { return places_of(at); }

  __device__ __forceinline__ Index place_of(int item) const { return begin + at + item * kPlaces; }

  __device__ __forceinline__ Reads& kept_at(int item) const {
    return kept[item * kThreads + threadIdx.x];
  }

  /// Calls use(item, how many) for the thread's packs of [first, last): some at once, then the rest.
  template <class Use>
  static __device__ __forceinline__ void each_packs(int first, int last, const Use& use) {
    int item = first;
    for (; item + kAtOnce <= last; item += kAtOnce) {
      use(item, std::integral_constant<int, kAtOnce>{});
    }
    for (; item < last; ++item) use(item, std::integral_constant<int, 1>{});
  }

  /// How many places the threads of one line have.
  __device__ __forceinline__ int places_of(int line) const {
    if constexpr (kIsEven) return kItems;
    const int places = static_cast<int>(end - begin);
    return line < places ? (places - line + kPlaces - 1) / kPlaces : 0;
  }

  /// Values of packs from an item on: of those that are kept, or whose loads are then all under way.
  template <int Packs>
  __device__ __forceinline__ void values(int item, const Fixed& fixed,
                                         float (&v)[Packs][kVector]) const {
    Reads reads[Packs];
#pragma unroll
    for (int i = 0; i < Packs; ++i) {
      if constexpr (kItems > 0) {
        reads[i] = kept_at(item + i);
      } else {
        reads[i] = Kernel::read(arguments, outer, place_of(item + i), element);
      }
    }
#pragma unroll
    for (int i = 0; i < Packs; ++i) {
      Kernel::value(arguments, outer, place_of(item + i), element, fixed, reads[i], v[i]);
    }
  }

  /// Calls use(part, first, last) for the items of each part of what is kept.
  template <int Part = 0, class Use>
  __device__ __forceinline__ void each_part(const Use& use) const {
    if constexpr (Part * kPartItems < kItems) {
      constexpr int kFirst = Part * kPartItems;
      constexpr int kEnd = kFirst + kPartItems < kItems ? kFirst + kPartItems : kItems;
      use(std::integral_constant<int, Part>{}, kFirst,
          kEnd <= kSure || kEnd < items() ? kEnd : items());
      each_part<Part + 1>(use);
    }
  }

  /// Blocks that read together would write together, and all those that follow them too. So every second
  /// one of the first clusters waits until others have read about half of what they keep.
  __device__ __forceinline__ void fall_out_of_step(int together) const {
    constexpr int kBytesPerCycle = 12;  // a multiprocessor's share of what the memory gives, and less
    const int cluster = blockIdx.x / Kernel::kCluster;
    if (cluster < together && cluster % 2 == 1) pause(kKeptBytes / kBytesPerCycle);
  }

  /// Starts to bring what is kept.
  __device__ __forceinline__ void copy() const {
    each_part([&](auto, int first, int last) {
      for (int item = first; item < last; ++item) {
        Kernel::copy(arguments, outer, place_of(item), element, kept_at(item));
      }
      commit_copies();
    });
  }

  __device__ __forceinline__ void gather(const Fixed& fixed) const {
    Seen seen;
    float numbers[kPackRows][kNumbers] = {};
    int known = 0;
    const auto close = [&](int end) {
#pragma unroll
      for (int i = 0; i < kPackRows; ++i) {
        const int first = begin_of(i), last = begin_of(i + 1);
        const auto more = static_cast<float>((end - known) * (last - first));
        if (known == 0) {
          seen.close(first, last, more, numbers[i]);
        } else {
          float others[kNumbers];
          seen.close(first, last, more, others);
          const auto part = static_cast<float>(end - known), whole = static_cast<float>(end);
          Seen::extend(numbers[i], others, ait::detail::quotient(part, whole), more);
        }
      }
    };
    const auto see = [&](int item, const auto& v) {
      if (item - known == kSeenAtOnce) {
        close(item);
        seen = Seen{};
        known = item;
      }
      if (item == known) begin_with(v[0], seen);
      for (const auto& pack : v) seen.see(pack);
    };
    const auto take = [&](int first, int last) {
      each_packs(first, last, [&](int item, auto packs) {
        float v[decltype(packs)::value][kVector];
        values(item, fixed, v);
        see(item, v);
      });
    };
    if constexpr (kItems > 0) {
      constexpr int kLast = (kItems + kPartItems - 1) / kPartItems - 1;
      each_part([&](auto part, int first, int last) {
        wait_for_copies<(kLast - decltype(part)::value)>();
        take(first, last);
      });
    } else {
      take(0, items());
    }
    if (known < items()) close(items());
#pragma unroll
    for (int i = 0; i < kPackRows; ++i) {
#pragma unroll
      for (int n = 0; n < kNumbers; ++n) shared.numbers[n][i][threadIdx.x] = numbers[i][n];
    }
  }

  __device__ __forceinline__ void begin_with(const float (&v)[kVector], Seen& seen) const {
    bool continues[kVector];
#pragma unroll
    for (int i = 0; i < kVector; ++i) continues[i] = (side * kVector + i) % kRun != 0;
    seen.begin(v, continues);
  }

  /// The first row of which a pack has elements.
  static __device__ __forceinline__ int first_row(int side) { return side * kVector / kRun; }

  /// Where, in the thread's packs, elements of a row begin: of the first one of which it has some, of the
  /// second one, ...; and where those of the last one end.
  __device__ __forceinline__ int begin_of(int number) const {
    if (number == 0) return 0;
    const int begin = (first_row(side) + number) * kRun - side * kVector;
    return number == kPackRows || begin > kVector ? kVector : begin;
  }

  /// How many elements of a row a pack has.
  static __device__ __forceinline__ int elements_of(int row, int side) {
    if constexpr (kRun % kVector == 0) return kVector;
    const int begin = row * kRun - side * kVector, end = begin + kRun;
    const int size = (end < kVector ? end : kVector) - (begin > 0 ? begin : 0);
    return size > 0 ? size : 0;
  }

  /// The block's part of a row. A warp calls it.
  __device__ __forceinline__ State part_of(int row) const {
    constexpr int kParts = kPlaces * kRowPacks, kRounds = (kParts + 31) / 32;
    const int first = row * kRun / kVector;
    const auto numbers_of = [&](int line, int pack, float (&numbers)[kNumbers]) {
      const int number = row - first_row(pack);
#pragma unroll
      for (int n = 0; n < kNumbers; ++n) {
        numbers[n] = shared.numbers[n][number < 0 ? 0 : number][line * kSide + pack];
      }
    };
    float pivot[kNumbers];
    numbers_of(0, first, pivot);
    return Seen::merged(
        static_cast<float>(static_cast<int>(end - begin) * kRun), pivot,
        [&](const auto& use) {
#pragma unroll 4
          for (int round = 0; round < kRounds; ++round) {
            const int i = round * 32 + threadIdx.x % 32;
            const int line = i / kRowPacks, pack = first + i % kRowPacks;
            const bool is_there = i < kParts && pack < kSide;
            const int elements = is_there ? elements_of(row, pack) : 0;
            float numbers[kNumbers];
            numbers_of(elements > 0 ? line : 0, elements > 0 ? pack : first, numbers);
            if (elements > 0) use(static_cast<float>(places_of(line) * elements), numbers);
          }
        },
        [](float value) { return warp_sum(value); });
  }

  /// The whole of a row, of which all blocks of the cluster have told their parts.
  __device__ __forceinline__ State whole(int row) const {
    return Seen::merged(
        static_cast<float>(all_places() * kRun), shared.told[0][row],
        [&](const auto& use) {
#pragma unroll
          for (int block = 0; block < Kernel::kCluster; ++block) {
            use(static_cast<float>(part_of_block(block).size() * kRun), shared.told[block][row]);
          }
        },
        [](float value) { return value; });
  }

  /// Before all else: the block is ready for what others tell it.
  __device__ __forceinline__ void get_ready() const {
    if constexpr (kIsShared) begin_cluster(&shared.has_come);
  }

  /// Tells all blocks of the cluster of the block's parts, and makes states of whole rows.
  __device__ __forceinline__ void exchange() {
    if constexpr (kIsShared) wait_cluster();  // all blocks have begun
    __syncthreads();
    if (kIsShared && threadIdx.x == 0) arrive_expecting(&shared.has_come, sizeof(shared.told));
    const int lane = threadIdx.x % 32;
    for (int row = threadIdx.x / 32; row < kRows; row += kWarps) {
      float numbers[kNumbers];
      Seen::numbers_of(part_of(row), numbers);
      auto& place = shared.told[cluster_rank()][row];
      if constexpr (kIsShared) {
        if (lane < Kernel::kCluster) {
          send_remote(remote_address(&place, lane), remote_address(&shared.has_come, lane), numbers);
        }
      } else if (lane == 0) {
#pragma unroll
        for (int n = 0; n < kNumbers; ++n) place[n] = numbers[n];
      }
    }
    if constexpr (!kIsShared) __syncthreads();
    for (int row = threadIdx.x; row < kRows; row += kThreads) {
      if constexpr (kIsShared) wait_barrier_cluster(&shared.has_come, 0);
      State state = whole(row);
      Kind::template close<Kernel>(state, static_cast<int64_t>(all_places()) * kRun);
      shared.rows[row] = state;
    }
    __syncthreads();
  }

  __device__ __forceinline__ void finish(const Fixed& fixed) const {
    State rows[kVector];
#pragma unroll
    for (int n = 0; n < kPackRows; ++n) {
      const int row = first_row(side) + n;
      const State state = shared.rows[row < kRows ? row : kRows - 1];
#pragma unroll
      for (int i = 0; i < kVector; ++i) rows[i] = i >= begin_of(n) ? state : rows[i];
    }
    const auto make = [&](int item, const auto& v) {
      for (const auto& pack : v) {
        float y[kVector];
#pragma unroll
        for (int lane = 0; lane < kVector; ++lane) y[lane] = Kind::make(rows[lane], pack[lane]);
        Kernel::epilogue(arguments, outer, place_of(item++), element, fixed, pack, y);
      }
    };
    const auto take = [&](int item, auto packs) {
      float v[decltype(packs)::value][kVector];
      values(item, fixed, v);
      make(item, v);
    };
    each_packs(0, kSure, take);
    if constexpr (!kIsEven) each_packs(kSure, items(), take);
  }
};

/// `Kernel` is generated: `Index`, `Arguments` (pointers, extents, `outer` and `places`), the
/// constants `kRows` of a slab, `kSlabs` side by side, `kRun` elements of a row at a place, `kVector`,
/// `kPlaces` that a block reads at once, `kCluster`, `kItems` (packs that a thread keeps, 0: none),
/// `kSure` (of these, what every thread has) and `kEps`, and for the `kVector` elements from `element` on
/// at (outer, place): `Fixed` and `Reads`, what `read_fixed(arguments, outer, element)` gives of all places
/// and `read(arguments, outer, place, element)` of one, which `copy(arguments, outer, place, element,
/// reads)` starts to bring, `value(arguments, outer, place, element, fixed, reads, v)` and
/// `epilogue(arguments, outer, place, element, fixed, v, y)`. Of more clusters than run at once,
/// `together` begin together (else it is 0).
template <class Kernel, class Kind>
__global__ void __launch_bounds__(InterleavedRows<Kernel, Kind>::kThreads)
    interleaved_rows(const __grid_constant__ typename Kernel::Arguments arguments, int together) {
  InterleavedRows<Kernel, Kind> rows(arguments, dynamic_shared_tiles());
  rows.get_ready();
  gpu::wait_for_inputs();
  gpu::let_next_start();
  rows.fall_out_of_step(together);
  rows.copy();
  const auto fixed = Kernel::read_fixed(arguments, rows.outer, rows.element);
  rows.gather(fixed);
  rows.exchange();
  rows.finish(fixed);
}

template <class Kernel, class Kind>
Status run_interleaved_rows(const Launch& launch, const typename Kernel::Arguments& arguments) {
  using Rows = InterleavedRows<Kernel, Kind>;
  if (arguments.outer <= 0 || arguments.places <= 0) return ok();
  const int64_t slabs = arguments.outer * Kernel::kSlabs, blocks = slabs * Kernel::kCluster;
  if (blocks > INT32_MAX) return Status{AIT_INVALID_INPUT, "too many rows for one launch"};
  int together = 0;
  AIT_TRY((gpu::clusters_at_once<interleaved_rows<Kernel, Kind>>(
      dim3(Rows::kThreads), Kernel::kCluster, Rows::kSharedBytes, &together)));
  if (slabs <= together) together = 0;
  return gpu::launch_in_clusters(launch, interleaved_rows<Kernel, Kind>,
                                 dim3(static_cast<unsigned>(blocks)), dim3(Rows::kThreads),
                                 Kernel::kCluster, Rows::kSharedBytes, arguments, together);
}

}  // namespace ait::cuda
