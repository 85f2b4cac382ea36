// Hopper gemms that share a launch: the tiles of all members, one member after the other, are those of
// one persistent grid. Which member a tile is of, and hence its maps, its sizes and its region, is found
// from its number; the ring of factors runs on from one member's tiles to the next one's.
//
// Kernels of all kinds have the same constants, but for what ends their tiles (see gemm_hopper.hpp). So
// the products are the same code for all, which the tensor cores need: with a copy for each kind, the
// sums did not stay in registers. A member without results has no tiles; no tile is split.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "ait/cuda/gemm_hopper.hpp"
#include "ait/gpu/group.hpp"

namespace ait::cuda {

/// How a kind of members works; see group.hpp.
template <class KernelT>
struct HopperGemmPart {
  using Kernel = KernelT;
  struct Parameters {
    typename Kernel::Arguments arguments;
    typename Kernel::Maps maps;
  };

  static __device__ __forceinline__ Steps steps(const Parameters& member) {
    constexpr int kDepth = kDepthOfStep<Kernel>;
    return Steps(static_cast<int>((member.arguments.depth + kDepth - 1) / kDepth), 0, 1);
  }
};

/// What the members of each kind read before they multiply.
template <class... Kinds>
struct EarlyReads {};

template <class First, class... Rest>
struct EarlyReads<First, Rest...> {
  typename Finish<typename First::Part::Kernel>::Early first;
  EarlyReads<Rest...> rest;

  template <class Kernel>
  __device__ __forceinline__ auto& of() {
    if constexpr (std::is_same_v<Kernel, typename First::Part::Kernel>) {
      return first;
    } else {
      return rest.template of<Kernel>();
    }
  }
};

template <class... Kinds>
struct HopperGroup {
  /// What all kinds have in common is read off the first one.
  template <class First, class...>
  struct FirstOf {
    using Kernel = typename First::Part::Kernel;
  };
  using Kernel = typename FirstOf<Kinds...>::Kernel;
  using Gemm = HopperGemm<Kernel>;
  using Index = std::common_type_t<typename Kinds::Part::Kernel::Index...>;

  template <class Other>
  static constexpr bool kSuits =
      std::is_same_v<typename Other::Element, typename Kernel::Element> &&
      Other::kTileM == Kernel::kTileM && Other::kTileN == Kernel::kTileN &&
      Other::kFactors == Kernel::kFactors && Other::kStages == Kernel::kStages &&
      Other::kConsumers == Kernel::kConsumers && Other::kPingpong == Kernel::kPingpong &&
      Other::kMajorA == Kernel::kMajorA && Other::kMajorB == Kernel::kMajorB && Other::kSplits == 1;
  static_assert((kSuits<typename Kinds::Part::Kernel> && ...), "members have one frame");

  static constexpr int kResident = std::min({Kinds::Part::Kernel::kResident...});
  static constexpr std::size_t kFinishBytes =
      std::max({sizeof(typename Finish<typename Kinds::Part::Kernel>::Shared)...});

  struct Shared {
    alignas(1024) char tiles[Kernel::kStages][Gemm::kBytes];
    struct alignas(128) {
      char bytes[kFinishBytes];
    } finish[Kernel::kConsumers];
    Barrier full[Kernel::kStages];
    Barrier empty[Kernel::kStages];
    Barrier turn[2];
  };
};

/// The warp that loads: one thread of it.
template <class... Kinds>
__device__ __forceinline__ void load_group(const gpu::Group<Kinds...>& group,
                                           typename HopperGroup<Kinds...>::Shared& shared) {
  Place<HopperGroup<Kinds...>::Kernel::kStages> place;
  const int first = static_cast<int>(blockIdx.x);
  for (int at = first; at < group.units(); at += static_cast<int>(gridDim.x)) {
    group.visit(at, [&](auto part, const auto& member, int, int own) {
      using Kernel = typename decltype(part)::Kernel;
      const auto tile = TileOrder<Kernel>(member.arguments).at(own);
      const Steps steps = part.steps(member);
      int step = 0;
      if (at == first) {
        step = load_early<Kernel>(member.arguments, member.maps, shared, place, tile, steps);
      }
      load_steps<Kernel>(member.arguments, member.maps, shared, place, tile, steps, step);
    });
  }
  gpu::wait_for_inputs();
}

/// The warpgroups that multiply.
template <class... Kinds>
__device__ __forceinline__ void multiply_group(const gpu::Group<Kinds...>& group,
                                               typename HopperGroup<Kinds...>::Shared& shared,
                                               int consumer) {
  using Common = HopperGroup<Kinds...>;
  using Index = typename Common::Index;
  using Gemm = typename Common::Gemm;
  constexpr bool kPingpong = Common::Kernel::kPingpong;
  gpu::wait_for_inputs();
  Place<Common::Kernel::kStages> place;
  typename Gemm::Sums sums;
  EarlyReads<Kinds...> early;
  char* const finish = shared.finish[consumer].bytes;
  std::uint32_t turn = consumer == 0 ? 1 : 0;
  int last_kind = 0;
  const int block = kPingpong ? 0 : consumer * Gemm::kBlocks;
  bool is_mine = !kPingpong || consumer == 0;
  for (int at = static_cast<int>(blockIdx.x); at < group.units();
       at += static_cast<int>(gridDim.x)) {
    int steps = 0;
    Index batch = 0, row = 0, column = 0;
    group.visit(at, [&](auto part, const auto& member, int kind, int own) {
      using Kernel = typename decltype(part)::Kernel;
      using Own = typename Kernel::Index;
      steps = part.steps(member).count;
      if (!is_mine) return;
      const auto tile = TileOrder<Kernel>(member.arguments).at(own);
      batch = tile.batch;
      row = tile.row + block * 64;
      column = tile.column;
      // Kinds divide the memory of a warpgroup among its warps in other ways.
      if (kind != last_kind) sync_threads(1 + consumer, kWarpgroup);
      last_kind = kind;
      Finish<Kernel>::begin(member.arguments,
                            *reinterpret_cast<typename Finish<Kernel>::Shared*>(finish),
                            early.template of<Kernel>(), static_cast<Own>(batch),
                            static_cast<Own>(row), static_cast<Own>(column));
    });
    if (is_mine) {
      if constexpr (kPingpong) {
        wait_barrier(&shared.turn[consumer], turn);
        turn ^= 1;
      }
      multiply_tile<typename Common::Kernel>(sums, shared, place, steps, block, [&] {
        if constexpr (kPingpong) {
          if (threadIdx.x % 32 == 0) arrive(&shared.turn[1 - consumer]);
        }
      });
      group.visit(at, [&](auto part, const auto& member, int, int) {
        using Kernel = typename decltype(part)::Kernel;
        using Own = typename Kernel::Index;
        Finish<Kernel>::end(member.arguments, sums,
                            *reinterpret_cast<typename Finish<Kernel>::Shared*>(finish),
                            early.template of<Kernel>(), static_cast<Own>(batch),
                            static_cast<Own>(row), static_cast<Own>(column));
      });
    } else {
      place.skip(steps);
    }
    if constexpr (kPingpong) is_mine = !is_mine;
  }
}

template <class... Kinds>
__global__ void __launch_bounds__(HopperGroup<Kinds...>::Gemm::kThreads, 1)
    hopper_gemm_group(const __grid_constant__ gpu::Group<Kinds...> group) {
  using Shared = typename HopperGroup<Kinds...>::Shared;
  using Kernel = typename HopperGroup<Kinds...>::Kernel;
  using Gemm = HopperGemm<Kernel>;
  auto& shared = *reinterpret_cast<Shared*>(dynamic_shared_tiles());
  gpu::let_next_start();
  init_ring<Kernel>(shared);
  __syncthreads();
  // The same in all threads of a warp, and known to be.
  const int warpgroup = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (warpgroup == 0) {
    if constexpr (Gemm::kMovesRegisters) give_registers<Gemm::kFewRegisters>();
    if (threadIdx.x / 32 == 0 && is_elected()) load_group(group, shared);
  } else {
    if constexpr (Gemm::kMovesRegisters) take_registers<Gemm::kManyRegisters>();
    multiply_group(group, shared, warpgroup - 1);
  }
}

/// `group` has the arguments of its members; the rest is added here.
template <class... Kinds>
Status run_hopper_group(const Launch& launch, gpu::Group<Kinds...>& group) {
  using Common = HopperGroup<Kinds...>;
  static_assert(sizeof(group) <= gpu::kMostParameterBytes, "too many members for one launch");
  AIT_TRY(gpu::count_units(&group, [](auto part, auto& member, std::int64_t* tiles) -> Status {
    using Kernel = typename decltype(part)::Kernel;
    AIT_TRY(count_tiles<Kernel>(member.arguments, tiles));
    return *tiles > 0 ? Kernel::make_maps(member.arguments, &member.maps) : ok();
  }));
  const int blocks = std::min(group.units(), gpu::multiprocessors() * Common::kResident);
  return gpu::launch_with_shared(launch, hopper_gemm_group<Kinds...>,
                                 dim3(static_cast<unsigned>(blocks)), dim3(Common::Gemm::kThreads),
                                 sizeof(typename Common::Shared), group);
}

}  // namespace ait::cuda
