// Softmax and norms over rows that are too long for one block, or so few that one block each would leave
// multiprocessors idle: a cluster of blocks has a row, each block a part of it, which it keeps in shared
// memory if it fits. Blocks tell each other what their parts are like. (Clusters that went on to another
// row, and brought it while they wrote, took 2 to 13 % longer on an H100.)
#pragma once

#include "ait/cuda/cluster.hpp"
#include "ait/cuda/copy_pack.hpp"
#include "ait/cuda/hopper.hpp"
#include "ait/gpu/rowwise.hpp"

namespace ait::cuda {

/// How the blocks of a cluster share a row; see gpu::OwnRows.
template <class Kernel, class Kind>
struct ClusterRows {
  using State = typename Kind::State;
  using Rows = gpu::StreamedRows<Kernel, Kind>;
  static constexpr int kWarp = 32, kCluster = Kernel::kCluster, kWarps = Kernel::kTeam / kWarp;
  static_assert(Kernel::kRows == 1 && !Kernel::kAcross && Kernel::kTeam % kWarp == 0);
  static constexpr int kParts = kWarps * kCluster;
  /// What the cluster's warps tell; it has come when the phase of `has_come` ends. It lies behind what is
  /// kept.
  struct Told {
    State parts[kParts];
    Barrier has_come;
  };
  static constexpr unsigned kKeptBytes = (Rows::kSharedBytes + 7) / 8 * 8;
  static constexpr unsigned kSharedBytes = kKeptBytes + sizeof(Told);

  static __device__ __forceinline__ Told& told() {
    return *reinterpret_cast<Told*>(gpu::dynamic_shared() + kKeptBytes);
  }

  /// Before all else: the block is ready for what others tell it.
  static __device__ __forceinline__ void get_ready() {
    begin_cluster(&told().has_come);
  }

  static __device__ __forceinline__ gpu::WholePacks part(const gpu::WholePacks& whole) {
    const int64_t packs = (whole.end - whole.begin) / Kernel::kVector;
    const int64_t size = (packs + kCluster - 1) / kCluster * Kernel::kVector;
    const int64_t begin = whole.begin + size * cluster_rank(), end = begin + size;
    return {begin < whole.end ? begin : whole.end, end < whole.end ? end : whole.end};
  }

  static __device__ __forceinline__ bool has_singles() { return cluster_rank() == 0; }

  /// Copies all packs that are kept: all are under way at once.
  static __device__ __forceinline__ void bring(const Rows& rows) {
    if constexpr (Kernel::kIsCopied) {
#pragma unroll
      for (int n = 0; n < Kernel::kItems; ++n) {
        const auto col = rows.col_of(n);
        if (col < rows.whole.end) Kernel::copy(rows.arguments, rows.row, col, Rows::kept(n));
      }
      commit_copies();
      wait_for_copies<0>();
    }
  }

  template <class Combine>
  static __device__ __forceinline__ void combine(State (&states)[1], const Combine& combine) {
    using Warp = gpu::Team<kWarp, kWarps, false>;
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    if (threadIdx.x == 0) arrive_expecting(&told().has_come, sizeof(State) * kParts);
    Warp::combine(states, combine);
    if (lane < kCluster) {
      const State* const place = told().parts + cluster_rank() * kWarps + warp;
      send_remote(remote_address(place, lane), remote_address(&told().has_come, lane), states[0]);
    }
    wait_barrier_cluster(&told().has_come, 0);
    // All warps of all blocks do the same, so that they get the same bits.
    states[0] = Kind::nothing();
#pragma unroll
    for (int first = 0; first < kParts; first += kWarp) {
      if (first + lane < kParts) states[0] = combine(states[0], told().parts[first + lane]);
    }
    Warp::combine(states, combine);
  }
};

/// `Kernel` is generated, as of gpu::rowwise; `kCluster` blocks share a row, and if `kIsCopied`,
/// `copy(arguments, row, col, reads)` starts to bring what `read` gives.
template <class Kernel, class Kind>
__global__ void __launch_bounds__(Kernel::kTeam)
    clustered_rows(const __grid_constant__ typename Kernel::Arguments arguments) {
  ClusterRows<Kernel, Kind>::get_ready();
  gpu::wait_for_inputs();
  gpu::let_next_start();
  wait_cluster();  // all blocks have begun: to know it costs little before anything is under way
  const auto row = gpu::in_order<int64_t>(blockIdx.x / Kernel::kCluster, gridDim.x / Kernel::kCluster,
                                          arguments.backwards);
  gpu::streamed_rows<Kernel, Kind, ClusterRows<Kernel, Kind>>(arguments, row, true);
}

template <class Kernel, class Kind>
Status run_clustered_rows(const Launch& launch, const typename Kernel::Arguments& arguments) {
  if (arguments.rows <= 0 || arguments.cols <= 0) return ok();
  const int64_t blocks = arguments.rows * Kernel::kCluster;
  if (blocks > INT32_MAX) return Status{AIT_INVALID_INPUT, "too many rows for one launch"};
  return gpu::launch_in_clusters(launch, clustered_rows<Kernel, Kind>,
                                 dim3(static_cast<unsigned>(blocks)), dim3(Kernel::kTeam),
                                 Kernel::kCluster, ClusterRows<Kernel, Kind>::kSharedBytes,
                                 arguments);
}

}  // namespace ait::cuda
