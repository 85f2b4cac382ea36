// Norms of rows that lie between each other in memory, as groups of channels do in an image whose
// channels come last: at each place (pixel), a row has a short run of elements, and its neighbours'
// runs lie beside it. The blocks of a cluster share a slab, some neighbouring rows: each has a part of
// the places, where it reads the runs of all these rows as one. Blocks tell each other what their parts
// are like through the shared memory of the cluster. What was read stays in shared memory, if it fits,
// until all rows are known; else it is read twice.
//
// Of 32 images of 64x64x320 of f16 (H100; 66 us, a copy of as many bytes 57.5) the same reads and writes take 63
// without means. Messages that needed a fence cost 5 more: it waits for all that the multiprocessor has under
// way. Slower were clusters that go on to other slabs, which they bring ahead (73 to 83), a third block of a
// multiprocessor (78), prefetching the slabs of the next blocks (71 to 86), bringing a slab in turns (72 to 86),
// and no clusters but messages through global memory, by blocks that stay (71) or have a slab's part each (70).
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

/// What is known of `Count` sequences of equally many elements, as `kNumbers` numbers of each: of some,
/// `see` is called with each and then `close` with how many there were, and `extend` makes one of two,
/// of `length` and `more` elements. And how sequences of any lengths become one: `merged(length, each,
/// sum)`, where each(use) calls use(length, numbers) for those of a thread, and sum(x) adds up what the
/// threads have that share the work.
template <class Kind, int Count>
struct Sequences;

/// Means, and squares of distances from them. A few elements are seen as distances from the first of
/// them: that one's own distance from the mean is a part of the result, so what cancels is small beside
/// it, wherever it lies.
template <int Count>
struct Sequences<gpu::LayerNorm, Count> {
  using State = gpu::LayerNorm::State;
  static constexpr int kNumbers = 2;
  float numbers[kNumbers][Count] = {};
  float pivot[Count];

  __device__ __forceinline__ void see(const float (&v)[Count], bool is_first) {
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      pivot[i] = is_first ? v[i] : pivot[i];
      const float distance = v[i] - pivot[i];
      numbers[0][i] += distance;
      numbers[1][i] += distance * distance;
    }
  }

  __device__ __forceinline__ void close(int length) {
    const float share = ait::detail::quotient(1.0f, static_cast<float>(length));
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      const float mean = numbers[0][i] * share;
      const float squares = numbers[1][i] - numbers[0][i] * mean;
      numbers[0][i] = pivot[i] + mean;
      numbers[1][i] = squares > 0.0f || squares != squares ? squares : 0.0f;
    }
  }

  __device__ __forceinline__ void extend(int length, const Sequences& other, int more) {
    const auto own = static_cast<float>(length), added = static_cast<float>(more);
    const float share = ait::detail::quotient(added, own + added);
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      const float distance = other.numbers[0][i] - numbers[0][i];
      numbers[0][i] += distance * share;
      numbers[1][i] += other.numbers[1][i] + distance * distance * (own * share);
    }
  }

  template <class Each, class Sum>
  static __device__ __forceinline__ State merged(float length, const Each& each, const Sum& sum) {
    float total = 0.0f, squares = 0.0f;
    each([&](float own, const float (&other)[kNumbers]) { total += own * other[0]; });
    total = sum(total);
    const float mean = length > 0.0f ? ait::detail::quotient(total, length) : 0.0f;
    each([&](float own, const float (&other)[kNumbers]) {
      const float distance = other[0] - mean;
      squares += other[1] + own * (distance * distance);
    });
    return {length, mean, sum(squares)};
  }
  static __device__ __forceinline__ void numbers_of(const State& state, float (&to)[kNumbers]) {
    to[0] = state.mean;
    to[1] = state.squares;
  }
};

template <int Count>
struct Sequences<gpu::RmsNorm, Count> {
  using State = gpu::RmsNorm::State;
  static constexpr int kNumbers = 1;
  float numbers[kNumbers][Count] = {};

  __device__ __forceinline__ void see(const float (&v)[Count], bool) {
#pragma unroll
    for (int i = 0; i < Count; ++i) numbers[0][i] += v[i] * v[i];
  }
  __device__ __forceinline__ void close(int) {}
  __device__ __forceinline__ void extend(int, const Sequences& other, int) {
#pragma unroll
    for (int i = 0; i < Count; ++i) numbers[0][i] += other.numbers[0][i];
  }

  template <class Each, class Sum>
  static __device__ __forceinline__ State merged(float, const Each& each, const Sum& sum) {
    float squares = 0.0f;
    each([&](float, const float (&other)[kNumbers]) { squares += other[0]; });
    return {sum(squares)};
  }
  static __device__ __forceinline__ void numbers_of(const State& state, float (&to)[kNumbers]) {
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
  static constexpr int kAtOnce = 4;
  /// Elements of a sequence that are seen before they become a part of what is known.
  static constexpr int kSeenAtOnce = 32;
  /// What is kept comes in so many parts, or fewer, each of which is seen while others are under way.
  static constexpr int kParts = 4;
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

  /// The places of a block of the cluster.
  __device__ __forceinline__ Places part_of_block(int block) const {
    const Index places = static_cast<Index>(arguments.places);
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
      constexpr int kFirst = Part * kPartItems, kEnd = kFirst + kPartItems;
      use(std::integral_constant<int, Part>{}, kFirst, items() < kEnd ? items() : kEnd);
      each_part<Part + 1>(use);
    }
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

  __device__ __forceinline__ void gather(const Fixed& fixed) {
    Seen seen, some;
    int known = 0;
    const auto take = [&](int first, int last) {
      each_packs(first, last, [&](int item, auto packs) {
        if (item - known == kSeenAtOnce) {
          some.close(kSeenAtOnce);
          seen.extend(known, some, kSeenAtOnce);
          some = Seen{};
          known = item;
        }
        float v[decltype(packs)::value][kVector];
        values(item, fixed, v);
#pragma unroll
        for (int i = 0; i < decltype(packs)::value; ++i) some.see(v[i], item + i == known);
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
    if (known < items()) {
      some.close(items() - known);
      seen.extend(known, some, items() - known);
    }
    tell(seen);
  }

  struct Range {
    int begin, end;
    __device__ __forceinline__ int size() const { return end > begin ? end - begin : 0; }
  };

  /// The elements of a pack that belong to a row of the slab.
  static __device__ __forceinline__ Range elements_of(int row, int side) {
    const int begin = row * kRun - side * kVector, end = begin + kRun;
    return {begin > 0 ? begin : 0, end < kVector ? end : kVector};
  }
  /// The first row of which a pack has elements.
  static __device__ __forceinline__ int first_row(int side) { return side * kVector / kRun; }

  /// Leaves what is known of the pack's part of each of its rows.
  __device__ __forceinline__ void tell(const Seen& seen) const {
#pragma unroll
    for (int i = 0; i < kPackRows; ++i) {
      const Range elements = elements_of(first_row(side) + i, side);
      const auto state = Seen::merged(
          static_cast<float>(items() * elements.size()),
          [&](const auto& use) {
#pragma unroll
            for (int lane = 0; lane < kVector; ++lane) {
              float numbers[kNumbers];
#pragma unroll
              for (int n = 0; n < kNumbers; ++n) numbers[n] = seen.numbers[n][lane];
              if (lane >= elements.begin && lane < elements.end) {
                use(static_cast<float>(items()), numbers);
              }
            }
          },
          [](float value) { return value; });
      float numbers[kNumbers];
      Seen::numbers_of(state, numbers);
#pragma unroll
      for (int n = 0; n < kNumbers; ++n) shared.numbers[n][i][threadIdx.x] = numbers[n];
    }
  }

  /// The block's part of a row. A warp calls it.
  __device__ __forceinline__ State part_of(int row) const {
    return Seen::merged(
        static_cast<float>(static_cast<int>(end - begin) * kRun),
        [&](const auto& use) {
          for (int i = threadIdx.x % 32; i < kPlaces * kRowPacks; i += 32) {
            const int line = i / kRowPacks, pack = row * kRun / kVector + i % kRowPacks;
            const int elements = elements_of(row, pack).size();
            if (pack >= kSide || elements == 0) continue;
            float numbers[kNumbers];
#pragma unroll
            for (int n = 0; n < kNumbers; ++n) {
              numbers[n] = shared.numbers[n][row - first_row(pack)][line * kSide + pack];
            }
            use(static_cast<float>(places_of(line) * elements), numbers);
          }
        },
        [](float value) { return warp_sum(value); });
  }

  /// The whole of a row, of which all blocks of the cluster have told their parts.
  __device__ __forceinline__ State whole(int row) const {
    const Index places = static_cast<Index>(arguments.places);
    return Seen::merged(
        static_cast<float>(places * kRun),
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
      Kind::template close<Kernel>(state, arguments.places * kRun);
      shared.rows[row] = state;
    }
    __syncthreads();
  }

  __device__ __forceinline__ void finish(const Fixed& fixed) const {
    State rows[kVector];
#pragma unroll
    for (int i = 0; i < kVector; ++i) rows[i] = shared.rows[(side * kVector + i) / kRun];
    each_packs(0, items(), [&](int item, auto packs) {
      float v[decltype(packs)::value][kVector];
      values(item, fixed, v);
#pragma unroll
      for (int i = 0; i < decltype(packs)::value; ++i) {
        float y[kVector];
#pragma unroll
        for (int lane = 0; lane < kVector; ++lane) y[lane] = Kind::make(rows[lane], v[i][lane]);
        Kernel::epilogue(arguments, outer, place_of(item + i), element, fixed, v[i], y);
      }
    });
  }
};

/// `Kernel` is generated: `Index`, `Arguments` (pointers, extents, `outer` and `places`), the
/// constants `kRows` of a slab, `kSlabs` side by side, `kRun` elements of a row at a place, `kVector`,
/// `kPlaces` that a block reads at once, `kCluster`, `kItems` (packs that a thread keeps, 0: none) and
/// `kEps`, and for the `kVector` elements from `element` on at (outer, place): `Fixed` and
/// `Reads`, what `read_fixed(arguments, outer, element)` gives of all places and
/// `read(arguments, outer, place, element)` of one, which `copy(arguments, outer, place, element, reads)`
/// starts to bring, `value(arguments, outer, place, element, fixed, reads, v)` and
/// `epilogue(arguments, outer, place, element, fixed, v, y)`.
template <class Kernel, class Kind>
__global__ void __launch_bounds__(InterleavedRows<Kernel, Kind>::kThreads)
    interleaved_rows(const __grid_constant__ typename Kernel::Arguments arguments) {
  InterleavedRows<Kernel, Kind> rows(arguments, dynamic_shared_tiles());
  rows.get_ready();
  gpu::wait_for_inputs();
  gpu::let_next_start();
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
  const int64_t blocks = arguments.outer * Kernel::kSlabs * Kernel::kCluster;
  if (blocks > INT32_MAX) return Status{AIT_INVALID_INPUT, "too many rows for one launch"};
  return gpu::launch_in_clusters(launch, interleaved_rows<Kernel, Kind>,
                                 dim3(static_cast<unsigned>(blocks)), dim3(Rows::kThreads),
                                 Kernel::kCluster, Rows::kSharedBytes, arguments);
}

}  // namespace ait::cuda
