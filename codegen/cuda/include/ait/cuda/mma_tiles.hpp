// Tiles of two factors on tensor cores (mma.sync): how they come to shared memory by asynchronous copies,
// where they lie there, and how warps multiply them. Factors are of one 16-bit type, or f32 as TF32.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "ait/cuda/early.hpp"
#include "ait/cuda/fragments.hpp"

namespace ait::cuda {

/// A tile of `Lines` x `Depth` (k) elements in shared memory, line by line along k, in chunks of 16 bytes
/// that are permuted so that eight lines at one k lie in different banks.
template <class Element, int Lines, int Depth>
struct AlongTile {
  static constexpr int kWide = 16 / sizeof(Element), kChunks = Depth / kWide;
  static_assert(kChunks == 4 || kChunks == 8, "a line has 64 or 128 bytes");
  static constexpr int kSize = Lines * Depth;

  static __device__ __forceinline__ int at(int line, int k) {
    const int mixed = k / kWide ^ (kChunks == 8 ? line % 8 : line / 2 % 4);
    return line * Depth + mixed * kWide + k % kWide;
  }
};

/// The same tile, all lines of one k side by side. The padding puts what a warp reads at once, four
/// elements along k of eight lines (f32) or eight chunks (16 bits), into different banks.
template <class Element, int Lines, int Depth>
struct AcrossTile {
  static constexpr int kPitch = Lines + 8;
  static constexpr int kSize = Depth * kPitch;

  static __device__ __forceinline__ int at(int line, int k) { return k * kPitch + line; }
};

/// Where lines begin that a thread copies, `Step` apart.
template <class Source, int Count, int Step, bool Even>
struct ThreadLines {
  typename Source::Line lines[Count];

  template <class Index>
  __device__ __forceinline__ ThreadLines(const Source& source, Index first) {
#pragma unroll
    for (int i = 0; i < Count; ++i) lines[i] = source.line(first + i * Step);
  }

  template <class Tap>
  __device__ __forceinline__ bool inside(const Source& source, int i, const Tap& tap) const {
    return source.inside(lines[i], tap);
  }
  template <class Tap>
  __device__ __forceinline__ auto offset(const Source& source, int i, const Tap& tap) const {
    return source.offset(lines[i], tap);
  }
};

/// The same in fewer registers, of a source whose lines are all as far apart: `apart(lines)`.
template <class Source, int Count, int Step>
struct ThreadLines<Source, Count, Step, true> {
  static_assert(Count <= 32);
  typename Source::Line first;
  std::uint32_t insides = 0;

  template <class Index>
  __device__ __forceinline__ ThreadLines(const Source& source, Index index)
      : first(source.line(index)) {
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      insides |= std::uint32_t{source.line(index + i * Step).inside} << i;
    }
  }

  template <class Tap>
  __device__ __forceinline__ bool inside(const Source&, int i, const Tap& tap) const {
    return (insides >> i & 1) != 0 && tap.inside;
  }
  template <class Tap>
  __device__ __forceinline__ auto offset(const Source& source, int i, const Tap& tap) const {
    return source.offset(first, tap) + source.apart(i * Step);
  }
};

/// What one thread copies of a tile whose neighbours along k are neighbours in memory: the same piece of
/// `Vector` elements along k of every `kStep`-th line. Pieces of less than 4 bytes go through registers,
/// eight at once. `Source` is a factor: `Line line(index)` where a line begins, `Tap tap(k)` where k
/// leads from there, `inside(line, tap)`, false for a zero, and `offset(line, tap)` from `data`; if it
/// `kIsEven`, see ThreadLines.
template <class Element, int Lines, int Depth, int Vector, int Threads, class Source>
struct AlongLoader {
  using Tile = AlongTile<Element, Lines, Depth>;
  static constexpr bool kDirect = Vector * sizeof(Element) >= 4;
  static constexpr int kPiece = kDirect ? Vector : 8;
  static constexpr int kPieces = Depth / kPiece;
  static constexpr int kStep = Threads / kPieces;
  static constexpr int kCount = (Lines + kStep - 1) / kStep;
  static_assert(Threads % kPieces == 0, "a thread has the same piece of all its lines");
  static constexpr bool kExact = Lines % kStep == 0;

  Source source;
  ThreadLines<Source, kCount, kStep, Source::kIsEven> lines;
  // What is on its way through registers.
  gpu::Pack<Element, kPiece> packs[kDirect ? 1 : kCount];

  template <class Index>
  __device__ __forceinline__ AlongLoader(const Source& source, Index first)
      : source(source), lines(source, first + line(0)) {}

  static __device__ __forceinline__ int line(int i) { return threadIdx.x / kPieces + i * kStep; }
  static __device__ __forceinline__ int piece() { return threadIdx.x % kPieces * kPiece; }

  /// Starts to read the tile at `k0`.
  template <class Index>
  __device__ __forceinline__ void fetch(Element* shared, Index k0) {
    const Index k = k0 + piece();
    if constexpr (kDirect) {
      const auto tap = source.tap(k);
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        if (!kExact && line(i) >= Lines) continue;
        // Outside, the address is never read.
        copy_async<Vector * sizeof(Element)>(shared + Tile::at(line(i), piece()),
                                             source.data + lines.offset(source, i, tap),
                                             lines.inside(source, i, tap));
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
          if ((kExact || line(i) < Lines) && lines.inside(source, i, taps[j])) {
            value = source.data[lines.offset(source, i, taps[j])];
          }
          packs[i].value[j] = value;
        }
      }
    }
  }

  /// Writes what `fetch` has read, where it does not do so by itself.
  __device__ __forceinline__ void keep(Element* shared) const {
    if constexpr (!kDirect) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        if (!kExact && line(i) >= Lines) continue;
        gpu::store_pack<kPiece>(shared + Tile::at(line(i), piece()), packs[i]);
      }
    }
  }
};

/// The same of a tile whose neighbouring lines are neighbours in memory: pieces of `Vector` lines at every
/// `kStep`-th k.
template <class Element, int Lines, int Depth, int Vector, int Threads, class Source>
struct AcrossLoader {
  using Tile = AcrossTile<Element, Lines, Depth>;
  static_assert(Vector * sizeof(Element) >= 4, "copies are of 4 bytes and more");
  static constexpr bool kDirect = true;
  static constexpr int kPieces = Lines / Vector;
  static constexpr int kStep = Threads / kPieces;
  static constexpr int kCount = (Depth + kStep - 1) / kStep;
  static_assert(Threads % kPieces == 0, "a thread has the same lines at all its k");
  static constexpr bool kExact = Depth % kStep == 0;

  Source source;
  typename Source::Line line;

  template <class Index>
  __device__ __forceinline__ AcrossLoader(const Source& source, Index first)
      : source(source), line(source.line(first + piece())) {}

  static __device__ __forceinline__ int piece() { return threadIdx.x % kPieces * Vector; }

  /// Starts to read the tile at `k0`.
  template <class Index>
  __device__ __forceinline__ void fetch(Element* shared, Index k0) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int k = threadIdx.x / kPieces + i * kStep;
      if (!kExact && k >= Depth) continue;
      const auto tap = source.tap(k0 + k);
      copy_async<Vector * sizeof(Element)>(shared + Tile::at(piece(), k),
                                           source.data + source.offset(line, tap),
                                           source.inside(line, tap));
    }
  }

  __device__ __forceinline__ void keep(Element*) const {}
};

/// What a warp reads of a tile for one step along k, as the operands of `multiply`: four registers of 16
/// lines, `left` as the rows a, `right` as the columns b of two products.
template <class Tile>
struct Fragments;

template <class Element, int Lines, int Depth>
struct Fragments<AlongTile<Element, Lines, Depth>> {
  using Tile = AlongTile<Element, Lines, Depth>;

  static __device__ __forceinline__ void left(std::uint32_t (&to)[4], const Element* tile, int line,
                                              int k) {
    const int lane = threadIdx.x % 32;
    load_matrices(to, tile + Tile::at(line + lane % 16, k + lane / 16 * Tile::kWide));
  }

  static __device__ __forceinline__ void right(std::uint32_t (&to)[4], const Element* tile, int line,
                                               int k) {
    const int lane = threadIdx.x % 32;
    load_matrices(to, tile + Tile::at(line + lane / 16 * 8 + lane % 8, k + lane / 8 % 2 * Tile::kWide));
  }
};

template <class Element, int Lines, int Depth>
struct Fragments<AcrossTile<Element, Lines, Depth>> {
  using Tile = AcrossTile<Element, Lines, Depth>;

  static __device__ __forceinline__ void left(std::uint32_t (&to)[4], const Element* tile, int line,
                                              int k) {
    load(to, tile, line, k, 8, 0, 0, 4);
  }

  static __device__ __forceinline__ void right(std::uint32_t (&to)[4], const Element* tile, int line,
                                               int k) {
    load(to, tile, line, k, 0, 8, 4, 0);
  }

 private:
  /// The registers 1 and 2 begin so many lines, and (for f32) so many k, further than the first.
  static __device__ __forceinline__ void load(std::uint32_t (&to)[4], const Element* tile, int line,
                                              int k, int lines1, int lines2, int k1, int k2) {
    const int lane = threadIdx.x % 32;
    if constexpr (sizeof(Element) == 4) {
      const Element* from = tile + Tile::at(line + lane / 4, k + lane % 4);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int lines = i % 2 * lines1 + i / 2 * lines2, ks = i % 2 * k1 + i / 2 * k2;
        to[i] = __float_as_uint(from[Tile::at(lines, ks)]);
      }
    } else {
      const int one = lane / 8 % 2, two = lane / 16;
      load_transposed(to, tile + Tile::at(line + one * lines1 + two * lines2,
                                          k + lane % 8 + one * k1 * 2 + two * k2 * 2));
    }
  }
};

/// The tiles of `Kernel` and how warps share them. `SourceA`, `SourceB`: its factors, which no kernel
/// writes if `kConstantA`, `kConstantB`. Kernels of f32 say with `kSplit` how they multiply: each factor
/// as one TF32 number, or as the sum of two.
template <class Kernel, class SourceA, class SourceB>
struct MmaTiles {
  using Element = typename Kernel::Element;
  static constexpr int kM = Kernel::kTileM, kN = Kernel::kTileN, kK = Kernel::kTileK;
  static constexpr int kWarps = Kernel::kWarpsM * Kernel::kWarpsN;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kWarpM = kM / Kernel::kWarpsM, kWarpN = kN / Kernel::kWarpsN;
  static constexpr int kRows = kWarpM / 16, kColumns = kWarpN / 8;
  static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0, "fragments are of 16 x 16");
  static constexpr bool kIsF32 = std::is_same_v<Element, float>;
  static constexpr bool kSplits = kIsF32 && Kernel::kSplit;
  static constexpr int kStages = Kernel::kStages;
  /// k of one instruction.
  static constexpr int kDepth = 32 / sizeof(Element);

  template <bool Along, int Lines, int Vector, class Source>
  using LoaderOf = std::conditional_t<Along, AlongLoader<Element, Lines, kK, Vector, kThreads, Source>,
                                      AcrossLoader<Element, Lines, kK, Vector, kThreads, Source>>;
  using A = LoaderOf<Kernel::kAAlongK, kM, Kernel::kVectorA, SourceA>;
  using B = LoaderOf<Kernel::kBAlongK, kN, Kernel::kVectorB, SourceB>;
  static constexpr int kStage = A::Tile::kSize + B::Tile::kSize;
  using Slab = cuda::Slab<kColumns>;
  static constexpr unsigned kSharedBytes = std::max<unsigned>(
      kStages * kStage * sizeof(Element), kWarps * Slab::kBytes);
  using Sums = float[kRows][kColumns][4];

  /// Steps along k whose part of a factor is asked for before the kernel before has ended: none unless
  /// the factor is constant, one if it goes through registers.
  static constexpr int kConstantBytes = (Kernel::kConstantA ? sizeof(Element) * A::Tile::kSize : 0) +
                                        (Kernel::kConstantB ? sizeof(Element) * B::Tile::kSize : 0);
  template <class Loader, bool IsConstant>
  static constexpr int early() {
    if constexpr (!IsConstant) {
      return 0;
    } else {
      return Loader::kDirect ? early_steps(kConstantBytes, kStages - 1) : 1;
    }
  }
  static constexpr int kEarlyA = early<A, Kernel::kConstantA>();
  static constexpr int kEarlyB = early<B, Kernel::kConstantB>();
  static constexpr int kEarly = std::max(kEarlyA, kEarlyB);

  static __device__ __forceinline__ int warp_m() {
    return threadIdx.x / 32 / Kernel::kWarpsN * kWarpM;
  }
  static __device__ __forceinline__ int warp_n() {
    return threadIdx.x / 32 % Kernel::kWarpsN * kWarpN;
  }

  static __device__ __forceinline__ void multiply_tile(Sums& sums, const Element* a,
                                                       const Element* b) {
    // The factors of few steps along k fill the registers, of large tiles.
    constexpr bool kIsLarge = kIsF32 && kRows * kColumns >= 8;
    [[maybe_unused]] constexpr int kUnrolled = !kIsLarge ? kK / kDepth : kSplits ? 1 : 2;
#pragma unroll kUnrolled
    for (int k = 0; k < kK; k += kDepth) {
      if constexpr (!kIsF32) {
        multiply_halves(sums, a, b, k);
      } else if constexpr (kSplits) {
        multiply_split(sums, a, b, k);
      } else {
        multiply_rounded(sums, a, b, k);
      }
    }
  }

 private:
  static __device__ __forceinline__ void left(std::uint32_t (&to)[4], const Element* a, int row,
                                              int k) {
    Fragments<typename A::Tile>::left(to, a, warp_m() + row * 16, k);
  }

  static __device__ __forceinline__ void right(std::uint32_t (&to)[4], const Element* b, int pair,
                                               int k) {
    Fragments<typename B::Tile>::right(to, b, warp_n() + pair * 16, k);
  }

  static __device__ __forceinline__ void multiply_halves(Sums& sums, const Element* a,
                                                         const Element* b, int k) {
    std::uint32_t lefts[kRows][4], rights[kColumns / 2][4];
#pragma unroll
    for (int i = 0; i < kRows; ++i) left(lefts[i], a, i, k);
#pragma unroll
    for (int j = 0; j < kColumns / 2; ++j) right(rights[j], b, j, k);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        multiply<Element>(sums[i][j], lefts[i], rights[j / 2][j % 2 * 2],
                          rights[j / 2][j % 2 * 2 + 1]);
      }
    }
  }

  static __device__ __forceinline__ void multiply_rounded(Sums& sums, const Element* a,
                                                          const Element* b, int k) {
    std::uint32_t lefts[kRows][4], rights[kColumns][2];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      left(lefts[i], a, i, k);
#pragma unroll
      for (int r = 0; r < 4; ++r) lefts[i][r] = tf32_of(__uint_as_float(lefts[i][r]));
    }
#pragma unroll
    for (int j = 0; j < kColumns / 2; ++j) {
      std::uint32_t raw[4];
      right(raw, b, j, k);
#pragma unroll
      for (int r = 0; r < 4; ++r) rights[j * 2 + r / 2][r % 2] = tf32_of(__uint_as_float(raw[r]));
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) multiply_tf32(sums[i][j], lefts[i], rights[j], sums[i][j]);
    }
  }

  /// x = big + small, up to 2^-23 of x: both TF32 numbers, and what is left of x after the first is
  /// exact. Not so if x is not finite, or so large that `big` is not: then sums become NaN.
  static __device__ __forceinline__ void split(std::uint32_t bits, std::uint32_t& big,
                                               std::uint32_t& small) {
    const float x = __uint_as_float(bits);
    big = tf32_of(x);
    small = tf32_of(x - __uint_as_float(big));
  }

  /// Three products of TF32 numbers that give one of f32, small ones first; small x small is below the
  /// rounding of f32. Tensor cores cut off the bits of sums where f32 rounds, so each step's sums
  /// are added with f32 instructions. (Ootomo and Yokota, Recovering single precision accuracy from
  /// Tensor Cores while surpassing the FP32 theoretical peak performance, 2022.)
  static __device__ __forceinline__ void multiply_split(Sums& sums, const Element* a,
                                                        const Element* b, int k) {
    std::uint32_t bigs[kRows][4], smalls[kRows][4];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      std::uint32_t raw[4];
      left(raw, a, i, k);
#pragma unroll
      for (int r = 0; r < 4; ++r) split(raw[r], bigs[i][r], smalls[i][r]);
    }
    constexpr float kZeros[4] = {};
#pragma unroll
    for (int pair = 0; pair < kColumns / 2; ++pair) {
      std::uint32_t raw[4], big[2][2], small[2][2];
      right(raw, b, pair, k);
#pragma unroll
      for (int r = 0; r < 4; ++r) split(raw[r], big[r / 2][r % 2], small[r / 2][r % 2]);
      // As many sums at once as hide the time from one product to the next of the same.
      constexpr int kAtOnce = kRows >= 4 ? 1 : 2;
#pragma unroll
      for (int first = 0; first < 2; first += kAtOnce) {
        float step[kAtOnce][kRows][4];
        const auto each = [&](const auto& use) {
#pragma unroll
          for (int j = 0; j < kAtOnce; ++j) {
#pragma unroll
            for (int i = 0; i < kRows; ++i) use(i, j, first + j);
          }
        };
        each([&](int i, int j, int half) { multiply_tf32(step[j][i], smalls[i], big[half], kZeros); });
        each([&](int i, int j, int half) {
          multiply_tf32(step[j][i], bigs[i], small[half], step[j][i]);
        });
        each([&](int i, int j, int half) {
          multiply_tf32(step[j][i], bigs[i], big[half], step[j][i]);
#pragma unroll
          for (int e = 0; e < 4; ++e) sums[i][pair * 2 + half][e] += step[j][i][e];
        });
      }
    }
  }
};

/// The tile at (`first_m`, `first_n`) of the product of two factors, `steps` tiles deep, in the calling
/// block's shared memory. Only weights are read before the kernel before has ended.
template <class Tiles, class Index>
__device__ __forceinline__ void multiply_tiles(typename Tiles::Sums& sums, typename Tiles::A& a,
                                               typename Tiles::B& b, Index steps) {
  using Element = typename Tiles::Element;
  constexpr int kStages = Tiles::kStages;
  Element* const shared = reinterpret_cast<Element*>(dynamic_shared());
  const auto stage = [&](Index step) {
    return shared + static_cast<int>(step % kStages) * Tiles::kStage;
  };
  const auto fetch_a = [&](Index step) { a.fetch(stage(step), step * Tiles::kK); };
  const auto fetch_b = [&](Index step) {
    b.fetch(stage(step) + Tiles::A::Tile::kSize, step * Tiles::kK);
  };
  const auto keep = [&](Index step) {
    a.keep(stage(step));
    b.keep(stage(step) + Tiles::A::Tile::kSize);
  };
  // Weights do not depend on the kernel before: they are on their way while it ends.
#pragma unroll
  for (int step = 0; step < Tiles::kEarly; ++step) {
    if (step >= steps) continue;
    if (step < Tiles::kEarlyA) fetch_a(step);
    if (step < Tiles::kEarlyB) fetch_b(step);
  }
  gpu::wait_for_inputs();
  gpu::let_next_start();
#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) {
    if (step < steps) {
      if (step >= Tiles::kEarlyA) fetch_a(step);
      if (step >= Tiles::kEarlyB) fetch_b(step);
      keep(step);
    }
    commit_copies();
  }
#pragma unroll 1
  for (Index step = 0; step < steps; ++step) {
    wait_for_copies<kStages - 2>();
    __syncthreads();
    // Into the stage that all warps have left: they passed the barrier after it.
    const Index next = step + (kStages - 1);
    if (next < steps) {
      fetch_a(next);
      fetch_b(next);
    }
    commit_copies();
    Tiles::multiply_tile(sums, stage(step), stage(step) + Tiles::A::Tile::kSize);
    if (next < steps) keep(next);
  }
  wait_for_copies<0>();
  __syncthreads();
}

/// Which part of a product a block has: the outer index, of its batch or groups, and where its tile
/// begins; and the product's extents.
template <class Index>
struct TilePlace {
  Index outer, m, n, rows, columns, depth;
};

/// Finishes a tile of f32 products whose sums are computed one by one. Out of line: hardly ever needed.
template <class Kernel, class Tiles, class SourceA, class SourceB>
__device__ __noinline__ void finish_exactly(const typename Kernel::Arguments& arguments,
                                            TilePlace<typename Kernel::Index> tile) {
  using Index = typename Kernel::Index;
  constexpr int kPack = Kernel::kPack, kPerRow = Tiles::kN / kPack;
  const SourceA a(arguments, tile.outer);
  const SourceB b(arguments, tile.outer);
  for (int piece = threadIdx.x; piece < Tiles::kM * kPerRow; piece += Tiles::kThreads) {
    const Index m = tile.m + piece / kPerRow, n = tile.n + piece % kPerRow * kPack;
    if (m >= tile.rows || n >= tile.columns) continue;
    float sums[kPack];
    const auto line_a = a.line(m);
#pragma unroll
    for (int v = 0; v < kPack; ++v) {
      const auto line_b = b.line(n + v);
      sums[v] = 0;
      // A NaN stays one.
      for (Index k = 0; k < tile.depth && sums[v] == sums[v]; ++k) {
        const auto tap_a = a.tap(k);
        const auto tap_b = b.tap(k);
        const float left = a.inside(line_a, tap_a) ? a.data[a.offset(line_a, tap_a)] : 0.0f;
        const float right = b.inside(line_b, tap_b) ? b.data[b.offset(line_b, tap_b)] : 0.0f;
        sums[v] = fmaf(left, right, sums[v]);
      }
    }
    Kernel::finish(arguments, tile.outer, m, n, sums);
  }
}

/// Computes a tile of the product of `SourceA` and `SourceB`, made of (arguments, outer index), and
/// hands it to `Kernel::finish(arguments, outer, m, n, sums)` by packs of `Kernel::kPack` neighbours
/// along n. Split factors give NaN where one is infinite, or too large to be split: then the
/// tile is computed anew, so that results are NaN only where f32 makes them so.
template <class Kernel, class SourceA, class SourceB>
__device__ __forceinline__ void compute_tile(const typename Kernel::Arguments& arguments,
                                             const TilePlace<typename Kernel::Index>& tile) {
  using Tiles = MmaTiles<Kernel, SourceA, SourceB>;
  using Index = typename Kernel::Index;
  typename Tiles::Sums sums = {};
  {
    typename Tiles::A a({arguments, tile.outer}, tile.m);
    typename Tiles::B b({arguments, tile.outer}, tile.n);
    multiply_tiles<Tiles>(sums, a, b, (tile.depth + Tiles::kK - 1) / Tiles::kK);
  }
  if constexpr (Tiles::kSplits) {
    bool is_nan = false;
#pragma unroll
    for (int i = 0; i < Tiles::kRows; ++i) {
#pragma unroll
      for (int j = 0; j < Tiles::kColumns; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) is_nan |= sums[i][j][e] != sums[i][j][e];
      }
    }
    if (__syncthreads_or(is_nan)) {
      finish_exactly<Kernel, Tiles, SourceA, SourceB>(arguments, tile);
      return;
    }
  }
  auto* const slab =
      reinterpret_cast<float*>(dynamic_shared() + threadIdx.x / 32 * Tiles::Slab::kBytes);
#pragma unroll
  for (int i = 0; i < Tiles::kRows; ++i) {
    Tiles::Slab::template each<Kernel::kPack>(
        sums[i], slab, [&](int row, int column, const float(&values)[Kernel::kPack]) {
          const Index m = tile.m + Tiles::warp_m() + i * 16 + row;
          const Index n = tile.n + Tiles::warp_n() + column;
          if (m < tile.rows && n < tile.columns) {
            Kernel::finish(arguments, tile.outer, m, n, values);
          }
        });
  }
}

}  // namespace ait::cuda
