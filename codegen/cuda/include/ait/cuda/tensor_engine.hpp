// Tensor cores (wmma) as the engine of the gemm that takes anything: two factors of one 16-bit type.
#pragma once

#include <mma.h>

#include <type_traits>

#include "ait/gpu/own_gemm.hpp"

namespace ait::cuda {

using gpu::FactorTile;
using gpu::kGemmThreads;

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

}  // namespace ait::cuda
