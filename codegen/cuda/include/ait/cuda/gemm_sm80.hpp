// Gemm of CUTLASS 2.x (asynchronous copies, mma.sync) for compute capability 8.0, with a kernel's region as
// the whole epilogue: one visitor that hands packs of sums, which CUTLASS has brought together in a
// thread, to the generated code. Follows CUTLASS example 47 (visitor callbacks of 2.x kernels).
#pragma once

#include <cstdint>
#include <type_traits>

#include "cutlass/cutlass.h"
#include "cutlass/gemm/kernel/default_gemm_universal_with_visitor.h"
#include "cutlass/gemm/threadblock/threadblock_swizzle.h"
// It needs the declarations of those before it.
#include "cutlass/epilogue/threadblock/fusion/visitors.hpp"

#include "ait/gpu/access.hpp"
#include "ait/gpu/shared_memory.hpp"

namespace ait::cuda::sm80 {

namespace threadblock = cutlass::epilogue::threadblock;

/// The only node of the epilogue's tree: it loads what the region reads, runs it and stores all results.
template <class Kernel, class ThreadMap>
struct RegionVisitor {
  using Arguments = typename Kernel::Arguments;
  using Params = Arguments;
  struct SharedStorage {};

  template <class ProblemShape>
  static Params to_underlying_arguments(ProblemShape const&, Arguments const& arguments, void*) {
    return arguments;
  }
  template <class ProblemShape>
  static size_t get_workspace_size(ProblemShape const&, Arguments const&) {
    return 0;
  }

  CUTLASS_HOST_DEVICE RegionVisitor() {}
  CUTLASS_HOST_DEVICE RegionVisitor(Params const& params, SharedStorage const&) : params(&params) {}

  /// `coordinates`: (m, n, batch) of the first element of each pack of this thread, by column, row and
  /// step of the epilogue.
  template <class Coordinates, class ProblemShape>
  struct Callbacks : threadblock::EmptyCallbacks {
    CUTLASS_DEVICE Callbacks(Coordinates const& coordinates, ProblemShape const& shape,
                             Params const* params)
        : coordinates(coordinates), shape(shape), params(params) {}

    Coordinates coordinates;
    ProblemShape shape;
    Params const* params;

    template <int Size>
    CUTLASS_DEVICE cutlass::Array<float, Size> visit(int step, int row, int column, int,
                                                     cutlass::Array<float, Size> const& sums) {
      static_assert(Size == Kernel::kPack);
      auto const first = coordinates(cute::_0{}, column, row, step);
      if (cute::elem_less(first, shape)) {
        float values[Size];
        CUTLASS_PRAGMA_UNROLL
        for (int i = 0; i < Size; ++i) values[i] = sums[i];
        using Index = typename Kernel::Index;
        Kernel::finish(*params, static_cast<Index>(cute::get<2>(first)),
                       static_cast<Index>(cute::get<0>(first)),
                       static_cast<Index>(cute::get<1>(first)), values);
      }
      return sums;
    }
  };

  template <class ProblemShape>
  CUTLASS_DEVICE auto get_callbacks(cutlass::gemm::GemmCoord tile, int thread, ProblemShape shape) {
    auto all = cute::make_identity_tensor(shape);
    auto mine = cute::group_modes<3, 6>(ThreadMap::partition(all, thread, tile));
    return Callbacks<decltype(mine), ProblemShape>(mine, shape, params);
  }

  Params const* params;
};

/// The CUTLASS kernel of a generated `Kernel`, which has the types `ElementA`, `LayoutA`, `ElementB`,
/// `LayoutB` (as rows and columns of its product), `Operator`, `Index`, `Arguments`, the constants
/// used here, and `finish(arguments, batch, m, n, sums)`.
template <class Kernel>
struct GemmOf {
  using Tile = cutlass::gemm::GemmShape<Kernel::kTileM, Kernel::kTileN, Kernel::kTileK>;
  using Warp = cutlass::gemm::GemmShape<Kernel::kTileM / Kernel::kWarpsM,
                                        Kernel::kTileN / Kernel::kWarpsN, Kernel::kTileK>;
  /// k of one instruction: 16 bytes of each of two lines.
  using Instruction = cutlass::gemm::GemmShape<16, 8, 32 / sizeof(typename Kernel::ElementA)>;
  /// What CUTLASS takes for the result says no more than how many neighbours a thread finishes.
  using Result = std::conditional_t<(Kernel::kPack > 4), cutlass::half_t, float>;
  using ThreadMap = threadblock::OutputTileThreadLayout<Tile, Warp, Result, Kernel::kPack>;
  using Type = typename cutlass::gemm::kernel::DefaultGemmWithVisitor<
      typename Kernel::ElementA, typename Kernel::LayoutA, cutlass::ComplexTransform::kNone,
      Kernel::kVectorA, typename Kernel::ElementB, typename Kernel::LayoutB,
      cutlass::ComplexTransform::kNone, Kernel::kVectorB, Result, cutlass::layout::RowMajor,
      Kernel::kPack, float, float, cutlass::arch::OpClassTensorOp, cutlass::arch::Sm80, Tile, Warp,
      Instruction, RegionVisitor<Kernel, ThreadMap>,
      cutlass::gemm::threadblock::GemmIdentityThreadblockSwizzle<8>, Kernel::kStages,
      typename Kernel::Operator>::GemmKernel;
};
template <class Kernel>
using Gemm = typename GemmOf<Kernel>::Type;

/// The library's kernel under an entry of our own, since the library's does not wait for inputs. Like
/// that one it has no launch bounds.
template <class Gemm>
__global__ void gemm(const __grid_constant__ typename Gemm::Params params) {
  gpu::wait_for_inputs();
  gpu::let_next_start();
  Gemm::invoke(params, *reinterpret_cast<typename Gemm::SharedStorage*>(gpu::dynamic_shared()));
}

/// Where a factor is: its first element, elements from line to line, and from batch to batch.
struct Factor {
  void const* pointer;
  int64_t stride, batch_stride;
};

/// Launches one gemm on the caller's stream, as all kernels are (gpu::launch_in_clusters).
template <class Kernel>
Status run(const Launch& launch, const typename Kernel::Arguments& arguments, Factor a, Factor b) {
  using Gemm = sm80::Gemm<Kernel>;
  if (arguments.batches <= 0 || arguments.m <= 0 || arguments.n <= 0) return ok();
  if (arguments.batches > 65535) {
    return Status{AIT_INVALID_INPUT, "a batched gemm has more than 65535 products"};
  }
  const cutlass::gemm::GemmCoord size(static_cast<int>(arguments.m), static_cast<int>(arguments.n),
                                      static_cast<int>(arguments.k));
  const typename Gemm::Arguments all(cutlass::gemm::GemmUniversalMode::kBatched, size,
                                     static_cast<int>(arguments.batches), arguments, a.pointer,
                                     b.pointer, nullptr, nullptr, a.batch_stride, b.batch_stride,
                                     0, 0, a.stride, b.stride, 0, 0);
  // The schedulers of stream-K alone ask for the last two: multiprocessors, and blocks of each. Nothing
  // is split along k, so that there is no workspace.
  const typename Gemm::Params params(all, 0, 0);
  return gpu::launch_with_shared(launch, gemm<Gemm>, params.get_grid_dims(),
                                 dim3(Gemm::kThreadCount), sizeof(typename Gemm::SharedStorage),
                                 params);
}

}  // namespace ait::cuda::sm80
