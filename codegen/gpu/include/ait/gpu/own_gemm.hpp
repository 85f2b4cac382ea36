// Gemm for everything that the vendor templates do not take: any strides, offsets and alignment, any
// grouping of dims, any float types, any region, any number of results. Tiles go through shared
// memory; the next tile is fetched into registers while the current one is multiplied. What
// multiplies is an *engine*: f32 arithmetic here, matrix units where a target has an engine for them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "ait/gpu/access.hpp"

namespace ait::gpu {

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
  /// address of an element; with `Holes`, nullptr for a piece of zeros.
  template <bool Holes, class Index, class Address>
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
      const bool inside = o < outer && k < depth;
      const Element* address = inside ? at(o, k) : nullptr;
      if (Holes ? address != nullptr : inside) {
        pieces[i] = load_pack<Vector>(address);
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
        for (int v = 0; v < Vector; ++v) to[v] = ait::convert<Stored>(pieces[i].value[v]);
      }
    }
  }
};

/// f32 multiply-add, or exact sums of products of 8-bit integers: a thread owns (TileM / 16) x (TileN / 16)
/// results, 16 apart.
template <class Kernel>
struct ScalarEngine {
  static constexpr int kM = Kernel::kTileM, kN = Kernel::kTileN, kK = Kernel::kTileK;
  static constexpr int kRows = kM / 16, kColumns = kN / 16;
  static constexpr bool kIntegers = std::is_same_v<typename Kernel::ElementA, std::int8_t> &&
                                    std::is_same_v<typename Kernel::ElementB, std::int8_t>;
  using Value = std::conditional_t<kIntegers, std::int32_t, float>;
  // Pieces of an f32 tile are stored whole only where the padding keeps them aligned.
  using TileA = FactorTile<typename Kernel::ElementA, Value, kM, kK, Kernel::kAContiguousK,
                           Kernel::kVectorA, 4>;
  using TileB = FactorTile<typename Kernel::ElementB, Value, kN, kK, !Kernel::kBContiguousN,
                           Kernel::kVectorB, 4>;
  using StoredA = Value;
  using StoredB = Value;
  struct Scratch {};

  Value sums[kRows][kColumns] = {};

  static __device__ __forceinline__ float multiply_add(float a, float b, float c) {
    return fmaf(a, b, c);
  }
  static __device__ __forceinline__ std::int32_t multiply_add(std::int32_t a, std::int32_t b,
                                                              std::int32_t c) {
    return a * b + c;
  }

  __device__ __forceinline__ void multiply(const Value* a, const Value* b) {
    const int row = threadIdx.x / 16, column = threadIdx.x % 16;
#pragma unroll
    for (int k = 0; k < kK; ++k) {
      Value left[kRows], right[kColumns];
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
        for (int j = 0; j < kColumns; ++j) sums[i][j] = multiply_add(left[i], right[j], sums[i][j]);
      }
    }
  }

  template <class Use>
  __device__ __forceinline__ void each(Scratch&, const Use& use) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        use(threadIdx.x / 16 + i * 16, threadIdx.x % 16 + j * 16, static_cast<float>(sums[i][j]));
      }
    }
  }
};

/// `Kernel` is generated. It has the types `ElementA`, `ElementB`, `Index`, `Arguments` (with the
/// extents `batches`, `m`, `n`, `k`), the constants used above, `kConstantA` and `kConstantB` (whether no
/// kernel writes a factor), `address_a(arguments, batch, m, k)` (nullptr for zeros, if `kHoles`),
/// `address_b(arguments, batch, k, n)`, and `finish(arguments, batch, m, n, sum)`: the region with
/// its loads and stores.
template <class Kernel, class Engine>
__global__ void __launch_bounds__(kGemmThreads, 1)
    own_gemm(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Index = typename Kernel::Index;
  using TileA = typename Engine::TileA;
  using TileB = typename Engine::TileB;
  __shared__ __align__(32) typename Engine::StoredA shared_a[TileA::kLines * TileA::kPitch];
  __shared__ __align__(32) typename Engine::StoredB shared_b[TileB::kLines * TileB::kPitch];
  __shared__ typename Engine::Scratch scratch;

  const Index tiles_n = (arguments.n + Kernel::kTileN - 1) / Kernel::kTileN;
  const Index first_m = static_cast<Index>(blockIdx.x) / tiles_n * Kernel::kTileM;
  const Index first_n = static_cast<Index>(blockIdx.x) % tiles_n * Kernel::kTileN;

  for (int64_t step = blockIdx.y; step < arguments.batches; step += gridDim.y) {
    const Index batch = static_cast<Index>(step);
    const auto at_a = [&](Index m, Index k) { return Kernel::address_a(arguments, batch, m, k); };
    const auto at_b = [&](Index n, Index k) { return Kernel::address_b(arguments, batch, k, n); };
    Engine engine;
    TileA tile_a;
    TileB tile_b;
    const auto fetch_a = [&](Index k) {
      tile_a.template fetch<Kernel::kHoles>(first_m, k, Index(arguments.m), Index(arguments.k), at_a);
    };
    const auto fetch_b = [&](Index k) {
      tile_b.template fetch<false>(first_n, k, Index(arguments.n), Index(arguments.k), at_b);
    };
    // Weights do not depend on the kernel before: they are on their way while it ends.
    if constexpr (Kernel::kConstantA) fetch_a(0);
    if constexpr (Kernel::kConstantB) fetch_b(0);
    wait_for_inputs();
    let_next_start();
    if constexpr (!Kernel::kConstantA) fetch_a(0);
    if constexpr (!Kernel::kConstantB) fetch_b(0);
    for (int64_t k = 0; k < arguments.k; k += Kernel::kTileK) {
      __syncthreads();
      tile_a.keep(shared_a);
      tile_b.keep(shared_b);
      __syncthreads();
      if (const int64_t next = k + Kernel::kTileK; next < arguments.k) {
        fetch_a(Index(next));
        fetch_b(Index(next));
      }
      engine.multiply(shared_a, shared_b);
    }
    engine.each(scratch, [&](int row, int column, float sum) {
      const Index m = first_m + row, n = first_n + column;
      if (m < arguments.m && n < arguments.n) Kernel::finish(arguments, batch, m, n, sum);
    });
  }
}

template <class Kernel, class Engine>
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
  return gpu::launch(launch, own_gemm<Kernel, Engine>, grid, dim3(kGemmThreads), arguments);
}

}  // namespace ait::gpu
