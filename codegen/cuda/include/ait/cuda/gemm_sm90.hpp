// Hopper gemm: CUTLASS 3.x collectives (TMA loads, wgmma, TMA stores) with one generated functor as
// the whole epilogue. A generated translation unit names the types; everything that needs no
// generation lives here. Follows CUTLASS examples 48 and 49 (Hopper warp-specialised gemm, builder).
#pragma once

#include <cstdint>
#include <type_traits>

#include "cutlass/cutlass.h"
#include "cutlass/epilogue/collective/collective_builder.hpp"
#include "cutlass/epilogue/fusion/operations.hpp"
#include "cutlass/gemm/collective/collective_builder.hpp"
#include "cutlass/gemm/device/gemm_universal_adapter.h"
#include "cutlass/gemm/kernel/gemm_universal.hpp"
#include "cute/tensor.hpp"

#include "ait/gpu.hpp"
#include "ait/gpu/access.hpp"

#if defined(AIT_CUDA_DEPENDENT_LAUNCH) && !defined(CUTLASS_ENABLE_GDC_FOR_SM90)
#error "compile with -DCUTLASS_ENABLE_GDC_FOR_SM90: the kernel is launched before its inputs are final"
#endif

namespace ait::cuda::sm90 {

struct StreamK;
template <class Tile, class Cluster>
struct StreamKScheduler;

}  // namespace ait::cuda::sm90

template <class Tile, class Cluster, std::uint32_t Stages>
struct cutlass::gemm::kernel::detail::TileSchedulerSelector<
    ait::cuda::sm90::StreamK, cutlass::arch::Sm90, Tile, Cluster, Stages> {
  using Scheduler = ait::cuda::sm90::StreamKScheduler<Tile, Cluster>;
};

namespace ait::cuda::sm90 {

namespace fusion = cutlass::epilogue::fusion;
using cute::_0;
using cute::_1;

/// The extents of a problem at run time.
struct Extents {
  int64_t m, n, k, batch;

  bool is_empty() const { return m == 0 || n == 0 || batch == 0; }
  cute::Shape<int, int, int, int> problem() const {
    return {static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), static_cast<int>(batch)};
  }
};

/// A stride, in elements, that is aligned to 16 bytes and no shorter than a row of `extent`.
constexpr int64_t padded(int64_t extent) { return (extent + 15) / 16 * 16; }

struct Pingpong {
  using Mainloop = cutlass::gemm::KernelTmaWarpSpecializedPingpong;
  using Epilogue = cutlass::epilogue::TmaWarpSpecialized;
};

struct Cooperative {
  using Mainloop = cutlass::gemm::KernelTmaWarpSpecializedCooperative;
  using Epilogue = cutlass::epilogue::TmaWarpSpecializedCooperative;
};

/// What the leaves of a visitor tree must agree on with the collective epilogue.
template <class TileT, class ScheduleT, class SourceT, class DestinationT>
struct EpilogueShape {
  using Tile = TileT;
  using Schedule = ScheduleT;
  using Source = std::conditional_t<std::is_void_v<SourceT>, DestinationT, SourceT>;
  using Descriptor = cutlass::epilogue::collective::detail::EpilogueDescriptor<
      Tile, cutlass::epilogue::collective::EpilogueTileAuto, SourceT, DestinationT,
      typename Schedule::Epilogue>;
};

/// One value for each batch: read in the epilogue, so never before the inputs are final
/// (the library's Sm90ScalarBroadcast reads in its constructor, which a dependent launch may run early).
template <class ElementT>
struct ScalarLeaf : fusion::Sm90VisitorImpl<> {
  struct SharedStorage {};
  struct Arguments {
    ElementT const* pointer = nullptr;
    int64_t batch_stride = 0;
  };
  using Params = Arguments;

  template <class ProblemShape>
  static constexpr Params to_underlying_arguments(ProblemShape const&, Arguments const& arguments,
                                                  void*) {
    return arguments;
  }
  template <class ProblemShape>
  static bool can_implement(ProblemShape const&, Arguments const&) {
    return true;
  }
  template <class ProblemShape>
  static size_t get_workspace_size(ProblemShape const&, Arguments const&) {
    return 0;
  }
  template <class ProblemShape>
  static cutlass::Status initialize_workspace(ProblemShape const&, Arguments const&, void*,
                                              cudaStream_t, cutlass::CudaHostAdapter* = nullptr) {
    return cutlass::Status::kSuccess;
  }

  CUTLASS_HOST_DEVICE ScalarLeaf() {}
  CUTLASS_HOST_DEVICE ScalarLeaf(Params const& params, SharedStorage const&) : params_(params) {}

  CUTLASS_DEVICE bool is_producer_load_needed() const { return false; }
  CUTLASS_DEVICE bool is_C_load_needed() const { return false; }

  struct ConsumerStoreCallbacks : fusion::detail::EmptyConsumerStoreCallbacks {
    CUTLASS_DEVICE explicit ConsumerStoreCallbacks(ElementT const* pointer) : pointer(pointer) {}
    ElementT const* pointer;
    ElementT value;

    CUTLASS_DEVICE void begin() { value = *pointer; }

    template <class Accumulator, int Size>
    CUTLASS_DEVICE cutlass::Array<ElementT, Size> visit(cutlass::Array<Accumulator, Size> const&,
                                                        int, int, int) {
      cutlass::Array<ElementT, Size> fragment;
      fragment.fill(value);
      return fragment;
    }
  };

  template <bool ReferenceSource, class... Args>
  CUTLASS_DEVICE auto get_consumer_store_callbacks(
      fusion::detail::ConsumerStoreArgs<Args...> const& args) {
    auto const batch = cute::get<3>(args.tile_coord_mnkl);
    return ConsumerStoreCallbacks(params_.pointer + int64_t(batch) * params_.batch_stride);
  }

  template <class... Args>
  CUTLASS_DEVICE auto get_producer_load_callbacks(fusion::detail::ProducerLoadArgs<Args...> const&) {
    return fusion::detail::EmptyProducerLoadCallbacks{};
  }

  Params params_;
};

/// value[n], the same for every row.
template <class Shape, class Element>
using RowLeaf = fusion::Sm90RowBroadcast<0, typename Shape::Tile, Element, float,
                                         cute::Stride<_0, _1, int64_t>>;

/// value[m], the same for every column.
template <class Shape, class Element>
using ColumnLeaf = fusion::Sm90ColBroadcast<0, typename Shape::Tile, Element, float,
                                            cute::Stride<_1, _0, int64_t>>;

/// A whole tile through the epilogue's source (C) path.
template <class Element>
using SourceLeaf = fusion::Sm90SrcFetch<Element>;

/// A whole tile through its own TMA load.
template <class Shape, class Element, class Stride>
struct TileLeafOf {
  using Descriptor =
      cutlass::epilogue::collective::detail::AuxLoadDescriptor<typename Shape::Descriptor, Stride,
                                                               Element>;
  using Type =
      fusion::Sm90AuxLoad<Descriptor::Stages, typename Shape::Descriptor::EpilogueTile, Element,
                          Stride, typename Descriptor::SmemLayoutAtom,
                          typename Descriptor::CopyOpS2R>;
};
template <class Shape, class Element, class Stride>
using TileLeaf = typename TileLeafOf<Shape, Element, Stride>::Type;

/// Any strides, no alignment: predicated loads by each thread.
template <class Shape, class Element>
using StridedLeaf =
    fusion::Sm90AuxLoad<0, typename Shape::Descriptor::EpilogueTile, Element,
                        cute::Stride<int64_t, int64_t, int64_t>, void, void, 1>;

/// Load pipelines: as deep as shared memory allows beside the epilogue, or of a given depth.
struct AsManyStagesAsFit {
  template <class Epilogue>
  using Count = cutlass::gemm::collective::StageCountAutoCarveout<
      static_cast<int>(sizeof(typename Epilogue::SharedStorage))>;
};
template <int Depth>
struct Stages {
  template <class Epilogue>
  using Count = cutlass::gemm::collective::StageCount<Depth>;
};

/// Which tiles, or which steps along k of them, a block has: whole tiles, or as many steps as the others.
/// Tiles whose steps are shared are added up in an order that is always the same.
using WholeTiles = cutlass::gemm::PersistentScheduler;
struct StreamK {};

/// The library's scheduler, whose question for a block's last tile does not compile (4.2). The answer
/// decides when the next kernel may start, no more: it does at the end of this one.
template <class Tile, class Cluster>
struct StreamKScheduler
    : cutlass::gemm::kernel::detail::PersistentTileSchedulerSm90StreamK<Tile, Cluster> {
  using Base = cutlass::gemm::kernel::detail::PersistentTileSchedulerSm90StreamK<Tile, Cluster>;
  using Base::Base;

  CUTLASS_DEVICE bool is_last_tile(typename Base::WorkTileInfo const&, uint32_t = 1) const {
    return false;
  }
};

/// The kernel of one problem. `Tree` is the visitor tree; `Source` is void without a SourceLeaf.
template <class Shape, class Cluster, class Pipeline, class Scheduler, class ElementA, class StrideA, class ElementB, class StrideB,
          class Source, class StrideC, class ElementD, class StrideD, class Tree>
struct Gemm {
  using Epilogue = typename cutlass::epilogue::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, typename Shape::Tile, Cluster,
      cutlass::epilogue::collective::EpilogueTileAuto, float, float, Source, StrideC,
      128 / cutlass::sizeof_bits<typename Shape::Source>::value, ElementD, StrideD,
      128 / cutlass::sizeof_bits<ElementD>::value, typename Shape::Schedule::Epilogue,
      Tree>::CollectiveOp;

  using Mainloop = typename cutlass::gemm::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, ElementA, StrideA,
      128 / cutlass::sizeof_bits<ElementA>::value, ElementB, StrideB,
      128 / cutlass::sizeof_bits<ElementB>::value, float, typename Shape::Tile, Cluster,
      typename Pipeline::template Count<Epilogue>, typename Shape::Schedule::Mainloop>::CollectiveOp;

  using Kernel = cutlass::gemm::kernel::GemmUniversal<cute::Shape<int, int, int, int>, Mainloop,
                                                      Epilogue, Scheduler>;
  using Adapter = cutlass::gemm::device::GemmUniversalAdapter<Kernel>;
  using Arguments = typename Adapter::Arguments;
};

/// Launches one gemm on the caller's stream, as all kernels are (gpu::launch_in_clusters).
template <class Gemm>
Status run(const Launch& launch, typename Gemm::Arguments arguments) {
  arguments.hw_info.device_id = gpu::current_device();
  arguments.hw_info.sm_count = gpu::multiprocessors();
  typename Gemm::Adapter adapter;
  const cudaStream_t stream = gpu::stream_of(launch);
  // Sums of shared tiles and their flags, which `initialize` clears: nothing but stream-K needs them.
  const std::size_t bytes = Gemm::Adapter::get_workspace_size(arguments);
  void* workspace = nullptr;
  if (bytes > 0) {
    AIT_TRY(gpu::status_of(cudaMallocAsync(&workspace, bytes, stream), "no memory for a gemm"));
  }
  cutlass::Status status = adapter.initialize(arguments, workspace, stream);
  if (status == cutlass::Status::kSuccess) {
    status = adapter.run(stream, nullptr, gpu::kDependentLaunch);
  }
  if (bytes > 0) AIT_TRY(gpu::status_of(cudaFreeAsync(workspace, stream), "a gemm's memory"));
  if (status == cutlass::Status::kSuccess) return ok();
  return device_error("gemm launch failed", cutlass::cutlassGetStatusString(status));
}

}  // namespace ait::cuda::sm90
