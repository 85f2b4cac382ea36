// Convolution of few channels on Hopper (wgmma), such as a network's first: the taps of a row and their
// channels are one run of memory, or one in each plane where every channel is a plane of its own, so
// k = planes x rows of taps x such runs. Whole rows of the image lie in shared
// memory, where TMA puts zeros around them, and each thread takes its pixels' runs from there to its
// registers, which the products read. A block keeps all weights and takes one tile of output rows after
// the other; its warpgroups share the pixels of a tile, sixty-four at a time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/cuda/conv_finish.hpp"
#include "ait/cuda/hopper.hpp"
#include "ait/cuda/tensor_map.hpp"

namespace ait::cuda {

/// The tiles of `Kernel`, and how shared memory and warps are divided.
template <class Kernel>
struct StemConv {
  using Element = typename Kernel::Element;
  static constexpr int kStages = Kernel::kStages, kWarpgroups = Kernel::kWarpgroups;
  static constexpr int kConsumers = 128 * kWarpgroups, kThreads = kConsumers + 128;
  static constexpr int kN = (Kernel::kOutputs + 15) / 16 * 16;

  /// Of a pixel in a plane.
  static constexpr int kChannels = Kernel::kChannels / Kernel::kPlanes;
  // A run is read in pairs, so it begins at an even element, maybe one early.
  static constexpr int kRun = Kernel::kTapsW * kChannels;
  static constexpr int kShift = Kernel::kLeft * kChannels % 2 != 0 ? 1 : 0;
  static constexpr int kPieces = (kRun + kShift + 7) / 8;
  static constexpr int kRuns = Kernel::kPlanes * Kernel::kTapsH, kAllPieces = kRuns * kPieces;
  static constexpr int kSteps = (kAllPieces + 1) / 2;
  static constexpr int kPixelStep = Kernel::kStrideW * kChannels;
  static_assert(kPixelStep % 2 == 0);

  // A copy begins at a multiple of 16 bytes, so many elements before the first pixel's run.
  static constexpr int kBegin = -Kernel::kLeft * kChannels - kShift;
  static constexpr int kLead = (kBegin % 8 + 8) % 8;
  // A copy's box is 256 elements wide.
  static constexpr int kBox = 256;
  static constexpr int kWidth = (Kernel::kColumns - 1) * kPixelStep + kPieces * 8 + kLead;
  static constexpr int kBoxes = (kWidth + kBox - 1) / kBox;
  static constexpr int kImageRows =
      (Kernel::kTileRows - 1) * Kernel::kStrideH + (Kernel::kTapsH - 1) * Kernel::kDilationH + 1;
  static constexpr int kBoxBytes =
      kBox * kImageRows * Kernel::kPlanes * static_cast<int>(sizeof(Element));
  static constexpr int kStageBytes = kBoxes * kBoxBytes;
  static constexpr int kPixels = Kernel::kTileRows * Kernel::kColumns;
  static constexpr int kBlocks = (kPixels + 63) / 64;

  // Weights as 64 steps of k after the other, rows of 128 bytes.
  using Factor = SharedMatrix<128, Major::K>;
  static constexpr int kPartBytes = kN * 128, kParts = (kSteps * 16 + 63) / 64;
  static constexpr int kWeightBytes = kParts * kPartBytes;
  using Finish = PixelFinish<Kernel, kN>;
  static constexpr int kSlabsBytes = 4 * kWarpgroups * Finish::kSlabBytes;
  static constexpr int kBeforeBarriers = kWeightBytes + kStages * kStageBytes + kSlabsBytes;
  static constexpr int kSharedBytes = kBeforeBarriers + 2 * kStages * 8;

  static __device__ __forceinline__ char* stage(int index) {
    return dynamic_shared_tiles() + kWeightBytes + index * kStageBytes;
  }
  static __device__ __forceinline__ float* slab() {
    return reinterpret_cast<float*>(dynamic_shared_tiles() + kWeightBytes + kStages * kStageBytes +
                                    (static_cast<int>(threadIdx.x) / 32 - 4) * Finish::kSlabBytes);
  }
  static __device__ __forceinline__ Barrier* full(int index) {
    return reinterpret_cast<Barrier*>(dynamic_shared_tiles() + kBeforeBarriers) + index;
  }
  static __device__ __forceinline__ Barrier* empty(int index) { return full(kStages + index); }

  /// Writes all weights to shared memory, in the order of the runs; zeros where a run has none.
  static __device__ __forceinline__ void keep_weights(const typename Kernel::Arguments& arguments) {
    for (int i = threadIdx.x; i < kN * kParts * 64; i += kThreads) {
      const int n = i / (kParts * 64), k = i % (kParts * 64);
      const int run = k / (kPieces * 8), element = k % (kPieces * 8) - kShift;
      Element value{0};
      if (n < Kernel::kOutputs && run < kRuns && element >= 0 && element < kRun) {
        value = Kernel::weight(arguments, n, run % Kernel::kTapsH, element / kChannels,
                               run / Kernel::kTapsH * kChannels + element % kChannels);
      }
      const std::uint32_t at = swizzled<128>(n * 128 + k % 64 * 2);
      *reinterpret_cast<Element*>(dynamic_shared_tiles() + k / 64 * kPartBytes + at) = value;
    }
  }
};

/// A thread's part of the pixels that a warpgroup multiplies: two pixels, of which it has a pair of
/// elements in each piece of a run.
template <class Kernel>
struct StemPixels {
  using Stem = StemConv<Kernel>;
  std::uint32_t from[2][Stem::kPieces];
  std::uint32_t kept[Stem::kPieces];

  /// `first`: the number of the warpgroup's first pixel in the tile.
  __device__ __forceinline__ StemPixels(int first) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4, pair = lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int pixel = std::min(first + warp * 16 + lane / 4 + half * 8, Stem::kPixels - 1);
      const int row = pixel / Kernel::kColumns * Kernel::kStrideH;
      const int begin = pixel % Kernel::kColumns * Stem::kPixelStep + Stem::kLead + pair;
#pragma unroll
      for (int piece = 0; piece < Stem::kPieces; ++piece) {
        const int element = begin + piece * 8;
        from[half][piece] = element / Stem::kBox * Stem::kBoxBytes + row * (Stem::kBox * 2) +
                            element % Stem::kBox * 2;
      }
    }
    // What lies beside a run is another pixel's, and may be no number.
#pragma unroll
    for (int piece = 0; piece < Stem::kPieces; ++piece) {
      const int tap = piece * 8 + pair - Stem::kShift;
      kept[piece] = (tap >= 0 && tap < Stem::kRun ? 0x0000ffffu : 0u) |
                    (tap + 1 >= 0 && tap + 1 < Stem::kRun ? 0xffff0000u : 0u);
    }
  }

  /// The pair of piece `piece` of a run.
  __device__ __forceinline__ std::uint32_t load(const char* stage, int half, int run,
                                                int piece) const {
    const int row = run / Kernel::kTapsH * Stem::kImageRows + run % Kernel::kTapsH * Kernel::kDilationH;
    const std::uint32_t bits = *reinterpret_cast<const std::uint32_t*>(
        stage + from[half][piece] + row * (Stem::kBox * 2));
    const bool whole = piece * 8 >= Stem::kShift && piece * 8 + 8 - Stem::kShift <= Stem::kRun;
    return whole ? bits : bits & kept[piece];
  }
};

/// `Kernel` is generated. It has the types `Element`, `Index`, `Arguments` (with the numbers of images
/// and of rows of the result) and `Extras`, the constants used here, `weight(arguments, n, r, s, c)`,
/// and `read` and `finish` as in conv_hopper.hpp.
template <class Kernel>
__global__ void __launch_bounds__(StemConv<Kernel>::kThreads, 1)
    conv_stem(const __grid_constant__ typename Kernel::Arguments arguments,
              const __grid_constant__ CUtensorMap image) {
  using Stem = StemConv<Kernel>;
  using Index = typename Kernel::Index;
  const int tiles_p = static_cast<int>((arguments.rows + Kernel::kTileRows - 1) / Kernel::kTileRows);
  const int tiles = tiles_p * static_cast<int>(arguments.images);
  if (threadIdx.x == 0) {
    prefetch_map(&image);
    for (int i = 0; i < Stem::kStages; ++i) {
      init_barrier(Stem::full(i), 1);
      init_barrier(Stem::empty(i), Stem::kWarpgroups);
    }
    fence_barriers();
  }
  if constexpr (Kernel::kConstantWeights) {
    Stem::keep_weights(arguments);
  }
  gpu::wait_for_inputs();
  gpu::let_next_start();
  if constexpr (!Kernel::kConstantWeights) {
    Stem::keep_weights(arguments);
  }
  fence_shared_for_engines();
  __syncthreads();

  const int warpgroup = static_cast<int>(threadIdx.x) / 128 - 1;
  if (warpgroup < 0) {
    if constexpr (Stem::kWarpgroups == 2) give_registers<40>();
    if constexpr (Stem::kWarpgroups == 3) give_registers<32>();
    if (threadIdx.x == 0) {
      Ring<Stem::kStages> ring;
      for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const int x = Stem::kBegin - Stem::kLead;
        const int y = tile % tiles_p * Kernel::kTileRows * Kernel::kStrideH - Kernel::kTop;
        wait_barrier(Stem::empty(ring.stage), ring.parity ^ 1);
        arrive_expecting(Stem::full(ring.stage), Stem::kStageBytes);
#pragma unroll
        for (int box = 0; box < Stem::kBoxes; ++box) {
          load_tile(Stem::stage(ring.stage) + box * Stem::kBoxBytes, &image, Stem::full(ring.stage),
                    x + box * Stem::kBox, y, 0, tile / tiles_p);
        }
        ring.next();
      }
    }
    return;
  }
  if constexpr (Stem::kWarpgroups == 2) take_registers<232>();
  if constexpr (Stem::kWarpgroups == 3) take_registers<160>();
  Ring<Stem::kStages> ring;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const Index row = tile % tiles_p * Kernel::kTileRows, rows = static_cast<Index>(arguments.rows);
    const Index above = static_cast<Index>(tile / tiles_p) * rows;
    const Index first = (above + row) * Kernel::kColumns;
    const Index end = (above + std::min<Index>(row + Kernel::kTileRows, rows)) * Kernel::kColumns;
    wait_barrier(Stem::full(ring.stage), ring.parity);
    const char* const stage = Stem::stage(ring.stage);
    for (int block = warpgroup; block < Stem::kBlocks; block += Stem::kWarpgroups) {
      const StemPixels<Kernel> pixels(block * 64);
      std::uint32_t a[Stem::kSteps][4];
#pragma unroll
      for (int step = 0; step < Stem::kSteps; ++step) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int piece = step * 2 + i / 2;
          a[step][i] = piece < Stem::kAllPieces ? pixels.load(stage, i % 2, piece / Stem::kPieces,
                                                              piece % Stem::kPieces)
                                                : 0;
        }
      }
      float sums[Stem::kN / 2];
      fence_products();
#pragma unroll
      for (int step = 0; step < Stem::kSteps; ++step) {
        const std::uint64_t b =
            Stem::Factor::describe(dynamic_shared_tiles() + step / 4 * Stem::kPartBytes) +
            step % 4 * Stem::Factor::kNextK;
        multiply_registers<typename Stem::Element, Stem::kN>(sums, a[step], b, step > 0);
      }
      commit_products();
      wait_for_products<0>();
      const PixelsInOrder<Index> rows_of_sums{first + block * 64, end};
      Stem::Finish::rows(arguments, sums, Stem::slab(), 0, 0, rows_of_sums);
    }
    // All have read the stage: the products that use it are done.
    if (threadIdx.x % 128 == 0) arrive(Stem::empty(ring.stage));
    ring.next();
  }
}

template <class Kernel>
Status run_conv_stem(const Launch& launch, const typename Kernel::Arguments& arguments,
                     const typename Kernel::Element* image, const Tiles<4>& rows) {
  using Stem = StemConv<Kernel>;
  const int64_t tiles_p = (arguments.rows + Kernel::kTileRows - 1) / Kernel::kTileRows;
  const int64_t tiles = tiles_p * arguments.images;
  if (tiles <= 0) return ok();
  if (tiles > INT32_MAX / 2) {
    return Status{AIT_INVALID_INPUT, "a convolution's result has too many tiles for one launch"};
  }
  CUtensorMap map;
  AIT_TRY(make_map(&map, image, rows));
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(tiles, gpu::multiprocessors()));
  return gpu::launch_with_shared(launch, conv_stem<Kernel>, dim3(blocks), dim3(Stem::kThreads),
                                 Stem::kSharedBytes, arguments, map);
}

}  // namespace ait::cuda
