// Threads that share a row, and how they combine what each has found in its part.
#pragma once

#include <cstdint>
#include <cstring>

#include "ait/gpu.hpp"

namespace ait::gpu {

/// The value of the thread whose number in its warp differs in the bits of `mask`, of any type.
template <class T>
__device__ __forceinline__ T shuffle(const T& value, int mask) {
  constexpr int kWords = (sizeof(T) + 3) / 4;
  std::uint32_t words[kWords] = {};
  memcpy(words, &value, sizeof(T));
#pragma unroll
  for (int i = 0; i < kWords; ++i) words[i] = shuffle_word(words[i], mask);
  T result;
  memcpy(&result, words, sizeof(T));
  return result;
}

/// A block of `Threads * Rows` threads: `Rows` teams of `Threads`, each with a row of its own.
/// `Across`: neighbouring threads are in different teams (neighbouring rows lie beside each other in
/// memory), else in the same one. Both are powers of two, and a team that is larger than a warp
/// is the whole block unless `Across`.
template <int Threads, int Rows, bool Across>
struct Team {
  static constexpr int kWarp = 32;
  static_assert(Across || Threads <= kWarp || Rows == 1, "a team is a part of a warp or a block");

  static __device__ __forceinline__ int rank() {
    return Across ? threadIdx.x / Rows : threadIdx.x % Threads;
  }
  static __device__ __forceinline__ int row() {
    return Across ? threadIdx.x % Rows : threadIdx.x / Threads;
  }

  /// Makes each of `values` what `combine` makes of those of all threads of the team; every thread
  /// gets the same. All threads of the block take part. `combine` is commutative to the last bit.
  template <class T, int Count, class Combine>
  static __device__ __forceinline__ void combine(T (&values)[Count], const Combine& combine) {
    if constexpr (Across) {
      through_memory(values, combine);
    } else {
      within_warp(values, combine);
      if constexpr (Threads > kWarp) between_warps(values, combine);
    }
  }

 private:
  template <class T, int Count, class Combine>
  static __device__ __forceinline__ void within_warp(T (&values)[Count], const Combine& combine) {
#pragma unroll
    for (int mask = (Threads < kWarp ? Threads : kWarp) / 2; mask > 0; mask /= 2) {
#pragma unroll
      for (int i = 0; i < Count; ++i) values[i] = combine(values[i], shuffle(values[i], mask));
    }
  }

  template <class T, int Count, class Combine>
  static __device__ __forceinline__ void between_warps(T (&values)[Count], const Combine& combine) {
    constexpr int kWarps = Threads / kWarp;
    __shared__ T parts[kWarps * Count];
    __syncthreads();  // the values of a call before this one have been read
    if (threadIdx.x % kWarp == 0) {
#pragma unroll
      for (int i = 0; i < Count; ++i) parts[threadIdx.x / kWarp * Count + i] = values[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      values[i] = parts[threadIdx.x % kWarps * Count + i];
#pragma unroll
      for (int mask = kWarps / 2; mask > 0; mask /= 2) {
        values[i] = combine(values[i], shuffle(values[i], mask));
      }
    }
  }

  template <class T, int Count, class Combine>
  static __device__ __forceinline__ void through_memory(T (&values)[Count],
                                                        const Combine& combine) {
    if constexpr (Threads > 1) {
      // As many values at once as memory allows.
      constexpr int kBytes = 32 << 10, kHalf = Threads / 2 * Rows;
      constexpr int kFit = kBytes / int(kHalf * sizeof(T));
      constexpr int kAtOnce = kFit < 1 ? 1 : kFit < Count ? kFit : Count;
      __shared__ T parts[kAtOnce * kHalf];
      const int rank = Team::rank(), row = Team::row();
#pragma unroll
      for (int first = 0; first < Count; first += kAtOnce) {
#pragma unroll
        for (int half = Threads / 2; half > 0; half /= 2) {
          __syncthreads();
#pragma unroll
          for (int i = first; i < first + kAtOnce && i < Count; ++i) {
            if (rank >= half && rank < 2 * half) {
              parts[((i - first) * (Threads / 2) + rank - half) * Rows + row] = values[i];
            }
          }
          __syncthreads();
#pragma unroll
          for (int i = first; i < first + kAtOnce && i < Count; ++i) {
            if (rank < half) {
              values[i] = combine(values[i], parts[((i - first) * (Threads / 2) + rank) * Rows + row]);
            }
          }
        }
        __syncthreads();
#pragma unroll
        for (int i = first; i < first + kAtOnce && i < Count; ++i) {
          if (rank == 0) parts[(i - first) * (Threads / 2) * Rows + row] = values[i];
        }
        __syncthreads();
#pragma unroll
        for (int i = first; i < first + kAtOnce && i < Count; ++i) {
          values[i] = parts[(i - first) * (Threads / 2) * Rows + row];
        }
      }
    }
  }
};

/// The threads of generated row kernels: `kTeam`, `kRows` and `kAcross` of the kernel.
template <class Kernel>
using TeamOf = Team<Kernel::kTeam, Kernel::kRows, Kernel::kAcross>;

/// Rows of a thread: its lanes are neighbours in a row, or (across) in as many rows.
template <class Kernel>
constexpr int kRowsPerThread = Kernel::kAcross ? Kernel::kVector : 1;

/// Which of a thread's rows a lane belongs to.
template <class Kernel>
__device__ __forceinline__ constexpr int row_of(int lane) {
  return Kernel::kAcross ? lane : 0;
}

template <class Kernel>
__device__ __forceinline__ int64_t first_row(const typename Kernel::Arguments& arguments) {
  const int64_t block = in_order<int64_t>(blockIdx.x, gridDim.x, arguments.backwards);
  return (block * Kernel::kRows + TeamOf<Kernel>::row()) * kRowsPerThread<Kernel>;
}

/// The first element, along a row, of a thread's n-th pack.
template <class Kernel>
__device__ __forceinline__ int64_t element_of(int64_t n) {
  return (n * Kernel::kTeam + TeamOf<Kernel>::rank()) * (Kernel::kAcross ? 1 : Kernel::kVector);
}

/// The elements of a row that are whole packs. Rows may begin anywhere (`kIsShifted`): the packs then
/// begin at the first aligned address.
struct WholePacks {
  int64_t begin, end;

  template <class Kernel>
  static __device__ __forceinline__ WholePacks of(const typename Kernel::Arguments& arguments,
                                                  int64_t row) {
    const int64_t cols = arguments.cols;
    if constexpr (Kernel::kIsShifted) {
      const int64_t before = Kernel::before_packs(arguments, static_cast<typename Kernel::Index>(row));
      const int64_t begin = before < cols ? before : cols;
      return {begin, begin + (cols - begin) / Kernel::kVector * Kernel::kVector};
    } else {
      return {0, cols};
    }
  }

  /// The thread's element before or behind them; -1 if it has none.
  template <class Kernel>
  __device__ __forceinline__ int64_t single(int64_t cols) const {
    static_assert(Kernel::kTeam >= 2 * Kernel::kVector, "a thread has one single element");
    const int64_t rank = TeamOf<Kernel>::rank();
    if (rank < begin) return rank;
    return end + (rank - begin) < cols ? end + (rank - begin) : -1;
  }
};

/// Starts a block for each `kRows` packs of rows, or single rows; `shared`: its dynamic shared memory.
template <class Kernel, class... Parameters>
ait::Status run_rows(const ait::Launch& launch, void (*kernel)(Parameters...),
                     const typename Kernel::Arguments& arguments, unsigned shared = 0) {
  constexpr int64_t kRows = int64_t{Kernel::kRows} * kRowsPerThread<Kernel>;
  const int64_t blocks = (arguments.rows + kRows - 1) / kRows;
  if (blocks > INT32_MAX) return Status{AIT_INVALID_INPUT, "too many rows for one launch"};
  return gpu::launch_with_shared(launch, kernel, dim3(static_cast<unsigned>(blocks)),
                                 dim3(Kernel::kTeam * Kernel::kRows), shared, arguments);
}

}  // namespace ait::gpu
