// Convolution on tensor cores (mma.sync) as an implicit gemm: m = output pixels of all images, n =
// output channels of a group, k = taps x input channels, channels innermost. Tiles of the image and the
// weights come to shared memory by asynchronous copies, several steps along k ahead; where a pixel's
// channels are no pieces of 4 bytes, through registers.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/cuda/fragments.hpp"

namespace ait::cuda {

/// A tile of 16-bit elements in shared memory: lines of `Depth` elements along k, in chunks of 16 bytes
/// that are permuted so that eight lines at one k lie in different banks.
template <int Depth>
struct SharedLines {
  static_assert(Depth == 32 || Depth == 64);
  static constexpr int kChunks = Depth / 8;

  static __device__ __forceinline__ int at(int line, int k) {
    const int mixed = k / 8 ^ (kChunks == 8 ? line % 8 : line / 2 % 4);
    return line * Depth + mixed * 8 + k % 8;
  }
};

/// What one thread copies of a tile of `Lines` lines: the same piece of `Vector` elements along k (eight,
/// one by one, if `Vector` is 1) of every `kStep`-th line. `Source` is the image or the weights:
/// `Line line(index)` where a line begins, `Tap tap(k)` where k leads from there,
/// `inside(line, tap)`, false for a zero, and `offset(line, tap)` from `data`.
template <class Element, int Lines, int Depth, int Vector, int Threads, class Source>
struct Loader {
  static constexpr int kPiece = Vector == 1 ? 8 : Vector;
  static constexpr int kPieces = Depth / kPiece;
  static constexpr int kStep = Threads / kPieces;
  static constexpr int kCount = (Lines + kStep - 1) / kStep;
  static_assert(Threads % kPieces == 0, "a thread has the same piece of all its lines");
  static constexpr bool kExact = Lines % kStep == 0;

  Source source;
  typename Source::Line lines[kCount];
  // What is on its way through registers.
  gpu::Pack<Element, kPiece> packs[Vector == 1 ? kCount : 1];

  template <class Index>
  __device__ __forceinline__ Loader(const Source& source, Index first) : source(source) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) lines[i] = source.line(first + line(i));
  }

  static __device__ __forceinline__ int line(int i) { return threadIdx.x / kPieces + i * kStep; }
  static __device__ __forceinline__ int piece() { return threadIdx.x % kPieces * kPiece; }

  /// Starts to read the tile at `k0`.
  __device__ __forceinline__ void fetch(Element* shared, int k0) {
    const int k = k0 + piece();
    if constexpr (Vector > 1) {
      const auto tap = source.tap(k);
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        if (!kExact && line(i) >= Lines) continue;
        // Outside, the address is never read.
        copy_async<Vector * sizeof(Element)>(shared + SharedLines<Depth>::at(line(i), piece()),
                                             source.data + source.offset(lines[i], tap),
                                             source.inside(lines[i], tap));
      }
    } else {
      typename Source::Tap taps[kPiece];
#pragma unroll
      for (int j = 0; j < kPiece; ++j) taps[j] = source.tap(k + j);
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
#pragma unroll
        for (int j = 0; j < kPiece; ++j) {
          Element value{0};
          if ((kExact || line(i) < Lines) && source.inside(lines[i], taps[j])) {
            value = source.data[source.offset(lines[i], taps[j])];
          }
          packs[i].value[j] = value;
        }
      }
    }
  }

  /// Writes what `fetch` has read, where it does not do so by itself.
  __device__ __forceinline__ void keep(Element* shared) const {
    if constexpr (Vector == 1) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        if (!kExact && line(i) >= Lines) continue;
        gpu::store_pack<kPiece>(shared + SharedLines<Depth>::at(line(i), piece()), packs[i]);
      }
    }
  }
};

/// The tiles of `Kernel` and how warps share them.
template <class Kernel>
struct ConvTiles {
  using Element = typename Kernel::Element;
  static constexpr int kM = Kernel::kTileM, kN = Kernel::kTileN, kK = Kernel::kTileK;
  static constexpr int kWarps = Kernel::kWarpsM * Kernel::kWarpsN;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kWarpM = kM / Kernel::kWarpsM, kWarpN = kN / Kernel::kWarpsN;
  static constexpr int kRows = kWarpM / 16, kColumns = kWarpN / 8;
  static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0, "fragments are of 16 x 16");
  static constexpr int kStage = (kM + kN) * kK;
  using Slab = cuda::Slab<kColumns>;
  static constexpr unsigned kSharedBytes =
      std::max<unsigned>(Kernel::kStages * kStage * sizeof(Element),
                         kWarps * Slab::kBytes);
  using Lines = SharedLines<kK>;
  using Image = Loader<Element, kM, kK, Kernel::kVectorA, kThreads, typename Kernel::Image>;
  using Weights = Loader<Element, kN, kK, Kernel::kVectorB, kThreads, typename Kernel::Weights>;

  static __device__ __forceinline__ int warp_m() {
    return threadIdx.x / 32 / Kernel::kWarpsN * kWarpM;
  }
  static __device__ __forceinline__ int warp_n() {
    return threadIdx.x / 32 % Kernel::kWarpsN * kWarpN;
  }

  static __device__ __forceinline__ void multiply_tile(float (&sums)[kRows][kColumns][4],
                                                       const Element* a, const Element* b) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < kK; k += 16) {
      std::uint32_t left[kRows][4], right[kColumns / 2][4];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        load_matrices(left[i], a + Lines::at(warp_m() + i * 16 + lane % 16, k + lane / 16 * 8));
      }
#pragma unroll
      for (int j = 0; j < kColumns / 2; ++j) {
        const int n = warp_n() + j * 16 + lane / 16 * 8 + lane % 8;
        load_matrices(right[j], b + Lines::at(n, k + lane / 8 % 2 * 8));
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
          multiply<Element>(sums[i][j], left[i], right[j / 2][j % 2 * 2],
                            right[j / 2][j % 2 * 2 + 1]);
        }
      }
    }
  }
};

/// `Kernel` is generated. It has the types `Element`, `Index`, `Arguments` (with the number of pixels
/// `m`), the sources `Image` and `Weights` of a Loader, made of (arguments, group), the constants used
/// here, and `finish(arguments, group, m, n, sums)`: the region with its loads and stores.
template <class Kernel>
__global__ void __launch_bounds__(ConvTiles<Kernel>::kThreads)
    conv(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Tiles = ConvTiles<Kernel>;
  using Index = typename Kernel::Index;
  using Element = typename Kernel::Element;
  constexpr int kStages = Kernel::kStages;
  constexpr int kSteps = (Kernel::kDepth + Tiles::kK - 1) / Tiles::kK;
  constexpr int kTilesN = (Kernel::kOutputs + Tiles::kN - 1) / Tiles::kN;

  gpu::wait_for_inputs();
  gpu::let_next_start();
  const Index first_m = static_cast<Index>(blockIdx.x) / kTilesN * Tiles::kM;
  const int first_n = blockIdx.x % kTilesN * Tiles::kN;
  const int group = blockIdx.y;
  Element* const shared = reinterpret_cast<Element*>(dynamic_shared());
  typename Tiles::Image image({arguments, group}, first_m);
  typename Tiles::Weights weights({arguments, group}, first_n);
  const auto stage = [&](int step) { return shared + step % kStages * Tiles::kStage; };
  const auto fetch = [&](int step) {
    image.fetch(stage(step), step * Tiles::kK);
    weights.fetch(stage(step) + Tiles::kM * Tiles::kK, step * Tiles::kK);
  };
  const auto keep = [&](int step) {
    image.keep(stage(step));
    weights.keep(stage(step) + Tiles::kM * Tiles::kK);
  };

#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) {
    if (step < kSteps) {
      fetch(step);
      keep(step);
    }
    commit_copies();
  }
  float sums[Tiles::kRows][Tiles::kColumns][4] = {};
#pragma unroll 1
  for (int step = 0; step < kSteps; ++step) {
    wait_for_copies<kStages - 2>();
    __syncthreads();
    // Into the stage that all warps have left: they passed the barrier after it.
    const int next = step + kStages - 1;
    if (next < kSteps) fetch(next);
    commit_copies();
    Tiles::multiply_tile(sums, stage(step), stage(step) + Tiles::kM * Tiles::kK);
    if (next < kSteps) keep(next);
  }
  wait_for_copies<0>();
  __syncthreads();
  auto* const slab = reinterpret_cast<float*>(dynamic_shared() + threadIdx.x / 32 * Tiles::Slab::kBytes);
#pragma unroll
  for (int i = 0; i < Tiles::kRows; ++i) {
    Tiles::Slab::template each<Kernel::kPack>(
        sums[i], slab, [&](int row, int column, const float(&values)[Kernel::kPack]) {
          const Index m = first_m + Tiles::warp_m() + i * 16 + row;
          const int n = first_n + Tiles::warp_n() + column;
          if (m < arguments.m && n < Kernel::kOutputs) {
            Kernel::finish(arguments, group, m, n, values);
          }
        });
  }
}

template <class Kernel>
ait::Status run_conv(const ait::Launch& launch, const typename Kernel::Arguments& arguments) {
  using Tiles = ConvTiles<Kernel>;
  if (arguments.m <= 0) return ait::ok();
  const int64_t tiles_m = (int64_t{arguments.m} + Tiles::kM - 1) / Tiles::kM;
  const int64_t tiles_n = (Kernel::kOutputs + Tiles::kN - 1) / Tiles::kN;
  if (tiles_m * tiles_n > INT32_MAX) {
    return Status{AIT_INVALID_INPUT, "a convolution's result has too many tiles for one launch"};
  }
  return gpu::launch_with_shared(launch, conv<Kernel>,
                                 dim3(static_cast<unsigned>(tiles_m * tiles_n), Kernel::kGroups),
                                 dim3(Tiles::kThreads), Tiles::kSharedBytes, arguments);
}

}  // namespace ait::cuda
