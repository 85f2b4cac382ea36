// Norms of rows that lie between each other in memory, as groups of channels do in an image whose
// channels come last: at each place (pixel), a row has a short run of elements, and its neighbours'
// runs lie beside it. The blocks of a cluster share a slab, some neighbouring rows: each has a part of
// the places, where it reads the runs of all these rows as one. Blocks tell each other what their parts
// are like through the shared memory of the cluster. What was read stays in shared memory, if it fits,
// until all rows are known; else it is read twice.
#pragma once

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

  static constexpr int kNumbers = Seen::kNumbers;
  /// Threads that merge what lines of threads have seen of an element.
  static constexpr int kMergers = kThreads < kWidth ? 1 : kThreads / kWidth;

  struct Shared {
    alignas(16) float numbers[kNumbers][kPlaces][kWidth];
    float merged[kNumbers][kMergers][kWidth];
    float lengths[kMergers];
    State told[Kernel::kCluster][kRows];
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
    const Index places = static_cast<Index>(arguments.places);
    const Index part = (places + Kernel::kCluster - 1) / Kernel::kCluster;
    begin = part * cluster_rank() < places ? part * cluster_rank() : places;
    end = part < places - begin ? begin + part : places;
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

  /// Starts to bring what is kept.
  __device__ __forceinline__ void copy() const {
    if constexpr (kItems > 0) {
      for (int item = 0; item < items(); ++item) {
        Kernel::copy(arguments, outer, place_of(item), element, kept_at(item));
      }
    }
  }

  __device__ __forceinline__ void gather(const Fixed& fixed) {
    Seen seen;
    const int last = items();
    for (int first = 0; first < last; first += kSeenAtOnce) {
      const int end = first + kSeenAtOnce < last ? first + kSeenAtOnce : last;
      Seen some;
      each_packs(first, end, [&](int item, auto packs) {
        float v[decltype(packs)::value][kVector];
        values(item, fixed, v);
#pragma unroll
        for (int i = 0; i < decltype(packs)::value; ++i) some.see(v[i], item + i == first);
      });
      some.close(end - first);
      seen.extend(first, some, end - first);
    }
#pragma unroll
    for (int n = 0; n < kNumbers; ++n) {
      gpu::Pack<float, kVector> pack;
#pragma unroll
      for (int i = 0; i < kVector; ++i) pack.value[i] = seen.numbers[n][i];
      gpu::store_pack<kVector>(&shared.numbers[n][at][side * kVector], pack);
    }
  }

  /// How many elements a merger has of each sequence.
  __device__ __forceinline__ int length_of(int merger) const {
    int length = 0;
    for (int line = merger; line < kPlaces; line += kMergers) length += places_of(line);
    return length;
  }

  /// Makes of what lines have seen of an element what mergers know of it.
  __device__ __forceinline__ void merge_lines() {
    for (int i = threadIdx.x; i < kMergers * kWidth; i += kThreads) {
      const int merger = i / kWidth, place = i % kWidth;
      const auto length = static_cast<float>(length_of(merger));
      const auto state = Seen::merged(
          length,
          [&](const auto& use) {
            for (int line = merger; line < kPlaces; line += kMergers) {
              float numbers[kNumbers];
#pragma unroll
              for (int n = 0; n < kNumbers; ++n) numbers[n] = shared.numbers[n][line][place];
              use(static_cast<float>(places_of(line)), numbers);
            }
          },
          [](float value) { return value; });
      float numbers[kNumbers];
      Seen::numbers_of(state, numbers);
#pragma unroll
      for (int n = 0; n < kNumbers; ++n) shared.merged[n][merger][place] = numbers[n];
      if (place == 0) shared.lengths[merger] = length;
    }
  }

  /// The block's part of a row. A warp calls it.
  __device__ __forceinline__ State part_of(int row) const {
    return Seen::merged(
        static_cast<float>(static_cast<int>(end - begin) * kRun),
        [&](const auto& use) {
          for (int i = threadIdx.x % 32; i < kMergers * kRun; i += 32) {
            const int merger = i / kRun, place = row * kRun + i % kRun;
            float numbers[kNumbers];
#pragma unroll
            for (int n = 0; n < kNumbers; ++n) numbers[n] = shared.merged[n][merger][place];
            use(shared.lengths[merger], numbers);
          }
        },
        [](float value) { return warp_sum(value); });
  }

  /// Tells all blocks of the cluster of the block's parts, and makes states of whole rows.
  __device__ __forceinline__ void exchange() {
    __syncthreads();
    merge_lines();
    __syncthreads();
    const int lane = threadIdx.x % 32;
    for (int row = threadIdx.x / 32; row < kRows; row += kWarps) {
      const State part = part_of(row);
      if constexpr (Kernel::kCluster > 1) {
        State& place = shared.told[cluster_rank()][row];
        if (lane < Kernel::kCluster) store_remote(remote_address(&place, lane), part);
      } else {
        if (lane == 0) shared.told[0][row] = part;
      }
    }
    if constexpr (Kernel::kCluster > 1) {
      sync_cluster();
    } else {
      __syncthreads();
    }
    for (int i = threadIdx.x; i < kRows; i += kThreads) {
      State row = shared.told[0][i];
#pragma unroll
      for (int block = 1; block < Kernel::kCluster; ++block) {
        row = Kind::merge(row, shared.told[block][i]);
      }
      Kind::template close<Kernel>(row, arguments.places * kRun);
      shared.rows[i] = row;
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
  if constexpr (Kernel::kCluster > 1) arrive_cluster();
  gpu::wait_for_inputs();
  gpu::let_next_start();
  InterleavedRows<Kernel, Kind> rows(arguments, dynamic_shared_tiles());
  rows.copy();
  commit_copies();
  const auto fixed = Kernel::read_fixed(arguments, rows.outer, rows.element);
  wait_for_copies<0>();
  rows.gather(fixed);
  if constexpr (Kernel::kCluster > 1) wait_cluster();  // all blocks have begun
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
