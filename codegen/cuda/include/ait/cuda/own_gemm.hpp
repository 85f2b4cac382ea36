// Gemm for everything that the vendor templates do not take: any strides, offsets and alignment, any
// grouping of dims, any float types, any region, any number of results. Tiles go through shared
// memory, the next tile is fetched into registers while the current one is multiplied; 16-bit
// factors of one type use the tensor cores (wmma), all others f32 arithmetic.
#pragma once

#include <mma.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "ait/cuda/device.hpp"
#include "ait/cuda/host.hpp"
#include "ait/scalar.hpp"

namespace ait::cuda {

constexpr int kGemmThreads = 256;

/// One factor's tile: `Outer` rows (m or n) by `Depth` (k), read in pieces of `Vector` neighbours
/// along the dim that is contiguous in memory, kept in shared memory in the same order.
template <class Element, class Stored, int Outer, int Depth, bool DepthContiguous, int Vector,
          int Padding>
struct FactorTile {
  static constexpr int kInner = DepthContiguous ? Depth : Outer;
  static constexpr int kLines = DepthContiguous ? Outer : Depth;
  static constexpr int kPitch = kInner + Padding;
  static constexpr int kPiecesPerLine = kInner / Vector;
  static constexpr int kPieces = (kPiecesPerLine * kLines + kGemmThreads - 1) / kGemmThreads;
  static constexpr bool kExact = kPiecesPerLine * kLines % kGemmThreads == 0;
  static_assert(kInner % Vector == 0, "a line of a tile is a whole number of pieces");

  Pack<Element, Vector> pieces[kPieces];

  /// Reads the tile at (`first`, `k0`), zeros outside of `outer` x `depth`. `at(o, k)` is the
  /// address of an element.
  template <class Index, class Address>
  __device__ __forceinline__ void fetch(Index first, Index k0, Index outer, Index depth,
                                        const Address& at) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int piece = threadIdx.x + i * kGemmThreads;
      if (!kExact && piece >= kPiecesPerLine * kLines) continue;
      const int inner = piece % kPiecesPerLine * Vector;
      const int line = piece / kPiecesPerLine;
      const Index o = first + (DepthContiguous ? line : inner);
      const Index k = k0 + (DepthContiguous ? inner : line);
      // A piece is inside or outside as a whole: the extents are multiples of `Vector`.
      if (o < outer && k < depth) {
        pieces[i] = load_pack<Vector>(at(o, k));
      } else {
#pragma unroll
        for (int v = 0; v < Vector; ++v) pieces[i].value[v] = ait::convert<Element>(0.0f);
      }
    }
  }

  __device__ __forceinline__ void keep(Stored* shared) const {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int piece = threadIdx.x + i * kGemmThreads;
      if (!kExact && piece >= kPiecesPerLine * kLines) continue;
      Stored* to = shared + piece / kPiecesPerLine * kPitch + piece % kPiecesPerLine * Vector;
      if constexpr (std::is_same_v<Element, Stored>) {
        store_pack<Vector>(to, pieces[i]);
      } else {
#pragma unroll
        for (int v = 0; v < Vector; ++v) to[v] = ait::convert<float>(pieces[i].value[v]);
      }
    }
  }
};

/// f32 multiply-add: a thread owns (TileM / 16) x (TileN / 16) results, 16 apart.
template <class Kernel>
struct ScalarEngine {
  static constexpr int kM = Kernel::kTileM, kN = Kernel::kTileN, kK = Kernel::kTileK;
  static constexpr int kRows = kM / 16, kColumns = kN / 16;
  // Pieces of an f32 tile are stored whole only where the padding keeps them aligned.
  using TileA = FactorTile<typename Kernel::ElementA, float, kM, kK, Kernel::kAContiguousK,
                           Kernel::kVectorA, 4>;
  using TileB = FactorTile<typename Kernel::ElementB, float, kN, kK, !Kernel::kBContiguousN,
                           Kernel::kVectorB, 4>;
  using StoredA = float;
  using StoredB = float;
  struct Scratch {};

  float sums[kRows][kColumns] = {};

  __device__ __forceinline__ void multiply(const float* a, const float* b) {
    const int row = threadIdx.x / 16, column = threadIdx.x % 16;
#pragma unroll
    for (int k = 0; k < kK; ++k) {
      float left[kRows], right[kColumns];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int m = row + i * 16;
        left[i] = Kernel::kAContiguousK ? a[m * TileA::kPitch + k] : a[k * TileA::kPitch + m];
      }
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        const int n = column + j * 16;
        right[j] = Kernel::kBContiguousN ? b[k * TileB::kPitch + n] : b[n * TileB::kPitch + k];
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int j = 0; j < kColumns; ++j) sums[i][j] = fmaf(left[i], right[j], sums[i][j]);
      }
    }
  }

  template <class Use>
  __device__ __forceinline__ void each(Scratch&, const Use& use) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        use(threadIdx.x / 16 + i * 16, threadIdx.x % 16 + j * 16, sums[i][j]);
      }
    }
  }
};

/// CUDA's own type of a 16-bit storage type.
template <class Element>
using native_t = std::conditional_t<std::is_same_v<Element, half_t>, __half, __nv_bfloat16>;

/// Tensor cores: 4 x 2 warps, each with (TileM / 4) x (TileN / 2) results in fragments of 16 x 16.
template <class Kernel>
struct TensorEngine {
  static constexpr int kM = Kernel::kTileM, kN = Kernel::kTileN, kK = Kernel::kTileK;
  static constexpr int kWarpM = kM / 4, kWarpN = kN / 2;
  static constexpr int kRows = kWarpM / 16, kColumns = kWarpN / 16;
  static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0 && kK % 16 == 0, "tiles are of 16 x 16");
  using Element = typename Kernel::ElementA;
  using Native = native_t<Element>;
  using TileA = FactorTile<Element, Element, kM, kK, Kernel::kAContiguousK, Kernel::kVectorA, 8>;
  using TileB = FactorTile<Element, Element, kN, kK, !Kernel::kBContiguousN, Kernel::kVectorB, 8>;
  using StoredA = Element;
  using StoredB = Element;
  static constexpr int kScratchPitch = 20;
  struct Scratch {
    alignas(32) float value[kGemmThreads / 32][16 * kScratchPitch];
  };

  using LayoutA = std::conditional_t<Kernel::kAContiguousK, nvcuda::wmma::row_major,
                                     nvcuda::wmma::col_major>;
  using LayoutB = std::conditional_t<Kernel::kBContiguousN, nvcuda::wmma::row_major,
                                     nvcuda::wmma::col_major>;
  using FragmentA = nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, 16, Native, LayoutA>;
  using FragmentB = nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16, Native, LayoutB>;
  using Sums = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float>;

  Sums sums[kRows][kColumns];

  __device__ TensorEngine() {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) nvcuda::wmma::fill_fragment(sums[i][j], 0.0f);
    }
  }

  static __device__ __forceinline__ int warp_m() { return threadIdx.x / 32 / 2 * kWarpM; }
  static __device__ __forceinline__ int warp_n() { return threadIdx.x / 32 % 2 * kWarpN; }

  __device__ __forceinline__ void multiply(const Element* shared_a, const Element* shared_b) {
    const auto* a = reinterpret_cast<const Native*>(shared_a);
    const auto* b = reinterpret_cast<const Native*>(shared_b);
#pragma unroll
    for (int k = 0; k < kK; k += 16) {
      FragmentA left[kRows];
      FragmentB right[kColumns];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int m = warp_m() + i * 16;
        const int at = Kernel::kAContiguousK ? m * TileA::kPitch + k : k * TileA::kPitch + m;
        nvcuda::wmma::load_matrix_sync(left[i], a + at, TileA::kPitch);
      }
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        const int n = warp_n() + j * 16;
        const int at = Kernel::kBContiguousN ? k * TileB::kPitch + n : n * TileB::kPitch + k;
        nvcuda::wmma::load_matrix_sync(right[j], b + at, TileB::kPitch);
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
          nvcuda::wmma::mma_sync(sums[i][j], left[i], right[j], sums[i][j]);
        }
      }
    }
  }

  /// Which thread holds which element of a fragment is not specified: they pass through shared
  /// memory, one fragment at a time, each warp in its own scratch.
  template <class Use>
  __device__ __forceinline__ void each(Scratch& scratch, const Use& use) {
    float* mine = scratch.value[threadIdx.x / 32];
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        __syncwarp();
        nvcuda::wmma::store_matrix_sync(mine, sums[i][j], kScratchPitch,
                                        nvcuda::wmma::mem_row_major);
        __syncwarp();
#pragma unroll
        for (int e = 0; e < 8; ++e) {
          const int fast = lane % 16, slow = lane / 16 + e * 2;
          const int m = Kernel::kOutContiguousN ? slow : fast;
          const int n = Kernel::kOutContiguousN ? fast : slow;
          use(warp_m() + i * 16 + m, warp_n() + j * 16 + n, mine[m * kScratchPitch + n]);
        }
      }
    }
  }
};

/// `Kernel` is generated. It has the types `ElementA`, `ElementB`, `Index`, `Arguments` (with the
/// extents `batches`, `m`, `n`, `k`), the constants used above, `address_a(arguments, batch, m, k)`,
/// `address_b(arguments, batch, k, n)`, and `finish(arguments, batch, m, n, sum)`: the region with
/// its loads and stores.
template <class Kernel>
__global__ void __launch_bounds__(kGemmThreads, 1)
    own_gemm(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Engine = std::conditional_t<Kernel::kTensorCores, TensorEngine<Kernel>, ScalarEngine<Kernel>>;
  using Index = typename Kernel::Index;
  using TileA = typename Engine::TileA;
  using TileB = typename Engine::TileB;
  __shared__ __align__(32) typename Engine::StoredA shared_a[TileA::kLines * TileA::kPitch];
  __shared__ __align__(32) typename Engine::StoredB shared_b[TileB::kLines * TileB::kPitch];
  __shared__ typename Engine::Scratch scratch;

  gpu::wait_for_inputs();
  gpu::let_next_start();
  const Index tiles_n = (arguments.n + Kernel::kTileN - 1) / Kernel::kTileN;
  const Index first_m = static_cast<Index>(blockIdx.x) / tiles_n * Kernel::kTileM;
  const Index first_n = static_cast<Index>(blockIdx.x) % tiles_n * Kernel::kTileN;

  for (Index batch = blockIdx.y; batch < arguments.batches; batch += gridDim.y) {
    const auto at_a = [&](Index m, Index k) { return Kernel::address_a(arguments, batch, m, k); };
    const auto at_b = [&](Index n, Index k) { return Kernel::address_b(arguments, batch, k, n); };
    Engine engine;
    TileA tile_a;
    TileB tile_b;
    tile_a.fetch(first_m, Index{0}, Index(arguments.m), Index(arguments.k), at_a);
    tile_b.fetch(first_n, Index{0}, Index(arguments.n), Index(arguments.k), at_b);
    for (Index k = 0; k < arguments.k; k += Kernel::kTileK) {
      __syncthreads();
      tile_a.keep(shared_a);
      tile_b.keep(shared_b);
      __syncthreads();
      const Index next = k + Kernel::kTileK;
      if (next < arguments.k) {
        tile_a.fetch(first_m, next, Index(arguments.m), Index(arguments.k), at_a);
        tile_b.fetch(first_n, next, Index(arguments.n), Index(arguments.k), at_b);
      }
      engine.multiply(shared_a, shared_b);
    }
    engine.each(scratch, [&](int row, int column, float sum) {
      const Index m = first_m + row, n = first_n + column;
      if (m < arguments.m && n < arguments.n) Kernel::finish(arguments, batch, m, n, sum);
    });
  }
}

template <class Kernel>
ait::Status run_own_gemm(const ait::Launch& launch,
                             const typename Kernel::Arguments& arguments) {
  if (arguments.batches <= 0 || arguments.m <= 0 || arguments.n <= 0) return ait::ok();
  const int64_t tiles_m = (int64_t{arguments.m} + Kernel::kTileM - 1) / Kernel::kTileM;
  const int64_t tiles_n = (int64_t{arguments.n} + Kernel::kTileN - 1) / Kernel::kTileN;
  if (tiles_m * tiles_n > INT32_MAX) {
    return Status{AIT_INVALID_INPUT, "a gemm's result has too many tiles for one launch"};
  }
  const dim3 grid(static_cast<unsigned>(tiles_m * tiles_n),
                  static_cast<unsigned>(std::min<int64_t>(arguments.batches, 65535)));
  return gpu::launch(launch, own_gemm<Kernel>, grid, dim3(kGemmThreads), arguments);
}

}  // namespace ait::cuda
