// Convolution of few channels on Hopper (wgmma), such as a network's first: the taps of a row and their
// channels are one run of memory, or one in each plane where every channel is a plane of its own, so
// k = planes x rows of taps x such runs.
//
// A warpgroup walks down a strip of an image, row by row of the convolution. Whole rows of the image
// lie in shared memory, where TMA puts zeros around them; each thread takes its pixels' runs from there
// to its registers, which the products read. They stay there while rows of taps move down over them: a
// strip reads each row of the image once. A thread has pairs of neighbouring columns, and what becomes
// of them is the kernel's `Finish`: `StemRows` stores them, conv_pool.hpp pools them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "ait/cuda/conv_finish.hpp"
#include "ait/cuda/hopper.hpp"
#include "ait/cuda/tensor_map.hpp"

namespace ait::cuda {

/// How `Kernel` divides shared memory, images and channels.
template <class Kernel>
struct StemConv {
  using Element = typename Kernel::Element;
  static constexpr int kStages = Kernel::kStages, kWarpgroups = Kernel::kWarpgroups;
  static constexpr int kThreads = 128 * kWarpgroups;

  // Of a thread's sums for a pixel, `kPack` neighbours are neighbouring channels, and its packs are
  // those of three other threads apart, so that these four write neighbours.
  static constexpr int kN = (Kernel::kOutputs + 15) / 16 * 16;
  static constexpr int kPack = Kernel::kPack, kPacks = kN / (4 * kPack);
  static_assert(kN % (4 * kPack) == 0 && Kernel::kOutputs % kPack == 0);

  /// The first channel of a pack of the thread that is the `thread`-th of the four.
  static constexpr __host__ __device__ int channel(int thread, int pack) {
    return (pack * 4 + thread) * kPack;
  }

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

  // The rows of taps that see the same rows of the image as others, of the row above, did; if they lie
  // so. The copies of a row of the convolution bring the others.
  static constexpr bool kKeepsRows =
      Kernel::kDilationH == 1 && Kernel::kTapsH >= Kernel::kStrideH;
  static constexpr int kOldRows = kKeepsRows ? Kernel::kTapsH - Kernel::kStrideH : 0;
  static constexpr int kNewRows =
      kKeepsRows ? Kernel::kStrideH : (Kernel::kTapsH - 1) * Kernel::kDilationH + 1;
  // So many copies come before a strip's first row is complete; the first may bring too much.
  static constexpr int kCopiesBefore = (kOldRows + Kernel::kStrideH - 1) / Kernel::kStrideH;

  // Windows begin at the first column of a pair; where they are wider, a warp has a pair more than it
  // has windows.
  static constexpr int kPairs = Kernel::kWindowW > 2 ? 7 : 8, kTilePairs = 4 * kPairs;
  static constexpr int kColumnTiles = (Kernel::kPairs + kTilePairs - 1) / kTilePairs;
  static constexpr int kLastColumn = 2 * (3 * kPairs + 7) + 1;
  // A copy begins at a multiple of 16 bytes, so many elements before the first pixel's run: as many in
  // each tile, which has a multiple of eight columns.
  static constexpr int kBegin =
      -Kernel::kWindowLeft * kPixelStep - Kernel::kLeft * kChannels - kShift;
  static constexpr int kLead = (kBegin % 8 + 8) % 8;
  static constexpr int kTileStep = 2 * kTilePairs * kPixelStep;
  static_assert(kTileStep % 8 == 0);
  static constexpr int kWidth = kLastColumn * kPixelStep + kPieces * 8 + kLead;
  // A copy's box is 256 elements wide at most: of pairs, where a row has whole ones.
  using Moved = std::conditional_t<Kernel::kRowElements % 2 == 0, float, Element>;
  static constexpr int kMoved = sizeof(Moved) / sizeof(Element);
  static constexpr int kBoxes = (kWidth + 256 * kMoved - 1) / (256 * kMoved);
  static constexpr int kBox = ((kWidth + kBoxes - 1) / kBoxes + 7) / 8 * 8;
  static constexpr int kBoxBytes =
      kBox * kNewRows * Kernel::kPlanes * static_cast<int>(sizeof(Element));
  static constexpr int kBoxStep = (kBoxBytes + 127) / 128 * 128;
  static constexpr int kStageBytes = kBoxes * kBoxStep;

  // Weights as 64 steps of k after the other, rows of 128 bytes.
  using Factor = SharedMatrix<128, Major::K>;
  static constexpr int kPartBytes = kN * 128, kParts = (kSteps * 16 + 63) / 64;
  static constexpr int kWeightBytes = kParts * kPartBytes;
  static constexpr int kBeforeBarriers = kWeightBytes + kWarpgroups * kStages * kStageBytes;
  static constexpr int kBeforeLoads = kBeforeBarriers + kWarpgroups * 2 * kStages * 8;
  static constexpr int kSharedBytes = kBeforeLoads + kWarpgroups * 32;

  static __device__ __forceinline__ int warpgroup() { return static_cast<int>(threadIdx.x) / 128; }
  static __device__ __forceinline__ char* stage(int index) {
    return dynamic_shared_tiles() + kWeightBytes + (warpgroup() * kStages + index) * kStageBytes;
  }
  static __device__ __forceinline__ Barrier* full(int index) {
    return reinterpret_cast<Barrier*>(dynamic_shared_tiles() + kBeforeBarriers) +
           warpgroup() * 2 * kStages + index;
  }
  static __device__ __forceinline__ Barrier* empty(int index) { return full(kStages + index); }

  /// The thread's pair of columns in a tile.
  static __device__ __forceinline__ int pair() {
    return static_cast<int>(threadIdx.x) / 32 % 4 * kPairs + static_cast<int>(threadIdx.x) % 32 / 4;
  }

  /// A pack of the sums of one of the thread's columns.
  static __device__ __forceinline__ void take(const float (&sums)[kN / 2], int pack, int half,
                                              float (&values)[kPack]) {
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
      const int at = pack * kPack + i;
      values[i] = sums[at / 2 * 4 + half * 2 + at % 2];
    }
  }

  /// Writes all weights to shared memory, in the order of the runs; zeros where a run has none.
  static __device__ __forceinline__ void keep_weights(const typename Kernel::Arguments& arguments) {
    const int inner = threadIdx.x % 64;
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int k = part * 64 + inner;
      const int run = k / (kPieces * 8), element = k % (kPieces * 8) - kShift;
      const bool is_tap = run < kRuns && element >= 0 && element < kRun;
      const int r = is_tap ? run % Kernel::kTapsH : 0, s = is_tap ? element / kChannels : 0;
      const int c = is_tap ? run / Kernel::kTapsH * kChannels + element % kChannels : 0;
      // Many reads at once: they come from far.
      constexpr int kAtOnce = kThreads / 64;
#pragma unroll 32
      for (int i = 0; i < (kN + kAtOnce - 1) / kAtOnce; ++i) {
        const int n = i * kAtOnce + static_cast<int>(threadIdx.x) / 64;
        const int sum = n / 8 * 2 + n % 2;  // of the thread that has this column of the products
        const int o = channel(n % 8 / 2, sum / kPack) + sum % kPack;
        const bool is_weight = is_tap && (kN % kAtOnce == 0 || n < kN) &&
                               (kN == Kernel::kOutputs || o < Kernel::kOutputs);
        const Element value = Kernel::weight(arguments, is_weight ? o : 0, r, s, c);
        const std::uint32_t at = swizzled<128>(n * 128 + inner * 2);
        if (kN % kAtOnce == 0 || n < kN) {
          *reinterpret_cast<Element*>(dynamic_shared_tiles() + part * kPartBytes + at) =
              is_weight ? value : Element{0};
        }
      }
    }
  }
};

/// Rows of results of an image and some pairs of columns: what a warpgroup does at once. Strip number
/// `tile` of all, of images that have `height` rows of results.
template <class Kernel>
struct StemStrip {
  using Stem = StemConv<Kernel>;
  int image, pair, first, rows;

  __device__ __forceinline__ StemStrip(int tile, int height) {
    const int strips = count(height), strip = tile / Stem::kColumnTiles;
    pair = tile % Stem::kColumnTiles * Stem::kTilePairs;
    image = strip / strips;
    first = strip % strips * Kernel::kTileRows;
    rows = min(Kernel::kTileRows, height - first);
  }

  /// How many lie above each other.
  static __host__ __device__ __forceinline__ int count(int height) {
    return (height + Kernel::kTileRows - 1) / Kernel::kTileRows;
  }
  template <class Arguments>
  static __host__ __device__ __forceinline__ int count_all(const Arguments& arguments) {
    const int height = static_cast<int>(arguments.rows);
    return static_cast<int>(arguments.images) * count(height) * Stem::kColumnTiles;
  }

  /// The first row of the convolution that the strip needs; it may be none of the image.
  __device__ __forceinline__ int first_row() const {
    return first * Kernel::kWindowStrideH - Kernel::kWindowTop;
  }
  __device__ __forceinline__ int end_row() const {
    return first_row() + (rows - 1) * Kernel::kWindowStrideH + Kernel::kWindowH;
  }
};

/// The copies of a warpgroup that are next: they run ahead of its products, by `kStages` - 1 rows. Its
/// leader has this in shared memory, where it takes no registers from the others.
template <class Kernel>
struct StemLoads {
  using Stem = StemConv<Kernel>;
  using Strip = StemStrip<Kernel>;
  int tile, left;  // copies of the strip
  int x, y, image;
  Ring<Stem::kStages> ring;

  static __device__ __forceinline__ StemLoads& of_warpgroup() {
    char* const all = dynamic_shared_tiles() + Stem::kBeforeLoads;
    return reinterpret_cast<StemLoads*>(all)[Stem::warpgroup()];
  }

  __device__ __forceinline__ void begin(int from, int height) {
    const Strip strip(from, height);
    tile = from;
    left = strip.end_row() - strip.first_row() + Stem::kCopiesBefore;
    x = Stem::kBegin - Stem::kLead + strip.pair * 2 * Stem::kPixelStep;
    y = (strip.first_row() - Stem::kCopiesBefore) * Kernel::kStrideH - Kernel::kTop + Stem::kOldRows;
    image = strip.image;
  }

  /// Starts a copy to the oldest stage, once that is empty.
  template <class Arguments>
  __device__ __forceinline__ void next(const Arguments& arguments, const CUtensorMap* map) {
    if (left == 0) {
      const int from = tile + static_cast<int>(gridDim.x) * Stem::kWarpgroups;
      if (from >= Strip::count_all(arguments)) return;
      begin(from, static_cast<int>(arguments.rows));
    }
    const int stage = ring.stage;
    wait_barrier(Stem::empty(stage), ring.parity ^ 1);
    arrive_expecting(Stem::full(stage), Stem::kBoxes * Stem::kBoxBytes);
#pragma unroll
    for (int box = 0; box < Stem::kBoxes; ++box) {
      load_tile(Stem::stage(stage) + box * Stem::kBoxStep, map, Stem::full(stage),
                (x + box * Stem::kBox) / Stem::kMoved, y, 0, image);
    }
    ring.next();
    y += Kernel::kStrideH;
    --left;
  }
};

/// A thread's part of the pixels that a warpgroup multiplies: two neighbouring columns, of which it has
/// a pair of elements in each piece of a run.
template <class Kernel>
struct StemPixels {
  using Stem = StemConv<Kernel>;
  std::uint32_t from[2][Stem::kPieces];
  std::uint32_t kept[Stem::kPieces];
  std::uint32_t factors[Stem::kSteps][4];

  __device__ __forceinline__ StemPixels() {
    const int pair = threadIdx.x % 4 * 2;  // of elements
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int column = 2 * Stem::pair() + half;
#pragma unroll
      for (int piece = 0; piece < Stem::kPieces; ++piece) {
        const int element = column * Stem::kPixelStep + Stem::kLead + pair + piece * 8;
        from[half][piece] =
            element / Stem::kBox * Stem::kBoxStep + element % Stem::kBox * 2;
      }
    }
    // What lies beside a run is another pixel's, and may be no number.
#pragma unroll
    for (int piece = 0; piece < Stem::kPieces; ++piece) {
      const int tap = piece * 8 + pair - Stem::kShift;
      kept[piece] = (tap >= 0 && tap < Stem::kRun ? 0x0000ffffu : 0u) |
                    (tap + 1 >= 0 && tap + 1 < Stem::kRun ? 0xffff0000u : 0u);
    }
#pragma unroll
    for (int step = 0; step < Stem::kSteps; ++step) {
#pragma unroll
      for (int i = 0; i < 4; ++i) factors[step][i] = 0;
    }
  }

  /// The pair of a run's piece, `tap` rows of taps from the top.
  __device__ __forceinline__ std::uint32_t& factor(int half, int plane, int tap, int piece) {
    const int at = (plane * Kernel::kTapsH + tap) * Stem::kPieces + piece;
    return factors[at / 2][at % 2 * 2 + half];
  }

  /// Moves to the next row of the convolution: `stage` has the new rows of the image.
  __device__ __forceinline__ void move_down(const char* stage) {
#pragma unroll
    for (int plane = 0; plane < Kernel::kPlanes; ++plane) {
#pragma unroll
      for (int tap = 0; tap < Kernel::kTapsH; ++tap) {
#pragma unroll
        for (int piece = 0; piece < Stem::kPieces; ++piece) {
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            factor(half, plane, tap, piece) =
                tap < Stem::kOldRows
                    ? factor(half, plane, tap + Kernel::kStrideH, piece)
                    : load(stage, half, plane, tap - Stem::kOldRows, piece);
          }
        }
      }
    }
  }

  __device__ __forceinline__ std::uint32_t load(const char* stage, int half, int plane, int tap,
                                                int piece) const {
    const int row = plane * Stem::kNewRows + tap * Kernel::kDilationH;
    const std::uint32_t bits = *reinterpret_cast<const std::uint32_t*>(
        stage + from[half][piece] + row * (Stem::kBox * 2));
    const bool whole =
        piece * 8 >= Stem::kShift && piece * 8 + 8 - Stem::kShift <= Stem::kRun;
    return whole ? bits : bits & kept[piece];
  }
};

/// What is done with rows of the convolution: the region, and its stores.
template <class Kernel>
struct StemRows {
  using Stem = StemConv<Kernel>;
  using Arguments = typename Kernel::Arguments;
  static constexpr int kPack = Stem::kPack, kPacks = Stem::kPacks;

  int image, column;

  explicit __device__ __forceinline__ StemRows(const Arguments&) {}

  __device__ __forceinline__ void begin(const StemStrip<Kernel>& strip) {
    image = strip.image;
    column = 2 * (strip.pair + Stem::pair());
  }

  __device__ __forceinline__ void add(const Arguments& arguments,
                                      const float (&sums)[Stem::kN / 2], int row) const {
    const auto n = [](int pack) { return Stem::channel(threadIdx.x % 4, pack); };
    const auto is_inside = [&](int pack, int half) {
      return column + half < Kernel::kColumns && n(pack) < Kernel::kOutputs;
    };
    // All reads are under way before the first is used.
    typename Kernel::Extras extras[kPacks][2];
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if (is_inside(pack, half)) {
          extras[pack][half] = Kernel::read(arguments, image, row, column + half, n(pack));
        }
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int pack = 0; pack < kPacks; ++pack) {
        if (!is_inside(pack, half)) continue;
        float values[kPack];
        Stem::take(sums, pack, half, values);
        Kernel::finish(arguments, extras[pack][half], image, row, column + half, n(pack), values);
      }
    }
  }
};

/// `Kernel` is generated. It has the types `Element`, `Index`, `Arguments` (with the numbers of images
/// and of rows of the result) and `Extras`, the constants used here, `weight(arguments, n, r, s, c)`,
/// and `read` and `finish` of a pack of a pixel's channels. `Finish` takes the sums of row after row.
template <class Kernel, class Finish>
__global__ void __launch_bounds__(StemConv<Kernel>::kThreads, 1)
    conv_stem(const __grid_constant__ typename Kernel::Arguments arguments,
              const __grid_constant__ CUtensorMap image) {
  using Stem = StemConv<Kernel>;
  using Strip = StemStrip<Kernel>;
  // Leaders of warpgroups share no scheduler of the multiprocessor.
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const bool is_leader = warp % 4 == Stem::warpgroup() % 4 && threadIdx.x % 32 == 0;
  if (is_leader) {
    prefetch_map(&image);
    for (int i = 0; i < Stem::kStages; ++i) {
      init_barrier(Stem::full(i), 1);
      init_barrier(Stem::empty(i), 4);
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

  const int height = static_cast<int>(arguments.rows), strips = Strip::count_all(arguments);
  int tile = static_cast<int>(blockIdx.x + gridDim.x * Stem::warpgroup());
  if (tile >= strips) return;
  auto& loads = StemLoads<Kernel>::of_warpgroup();
  if (is_leader) {
    loads.ring = Ring<Stem::kStages>();
    loads.begin(tile, height);
    for (int i = 0; i < Stem::kStages - 1; ++i) loads.next(arguments, &image);
  }
  __syncwarp();

  Ring<Stem::kStages> ring;
  StemPixels<Kernel> pixels;
  const auto move_down = [&] {
    // To the stage that all warps have left in the step before.
    if (is_leader) loads.next(arguments, &image);
    __syncwarp();
    wait_barrier(Stem::full(ring.stage), ring.parity);
    pixels.move_down(Stem::stage(ring.stage));
    __syncwarp();
    if (threadIdx.x % 32 == 0) arrive(Stem::empty(ring.stage));
    ring.next();
  };
  const std::uint64_t weights = Stem::Factor::describe(dynamic_shared_tiles());
  const auto multiply = [&](float(&sums)[Stem::kN / 2]) {
    fence_products();
#pragma unroll
    for (int step = 0; step < Stem::kSteps; ++step) {
      constexpr int kNextPart = Stem::kPartBytes / 16;
      multiply_registers<typename Stem::Element, Stem::kN>(
          sums, pixels.factors[step],
          weights + step / 4 * kNextPart + step % 4 * Stem::Factor::kNextK, step > 0);
    }
    commit_products();
    wait_for_products<0>();
  };

  Finish finish(arguments);
  for (; tile < strips; tile += static_cast<int>(gridDim.x) * Stem::kWarpgroups) {
    const Strip strip(tile, height);
    finish.begin(strip);
    for (int i = 0; i < Stem::kCopiesBefore; ++i) move_down();
    int row = strip.first_row();
    for (const int end = strip.end_row(); row < end; ++row) {
      float sums[Stem::kN / 2];
      move_down();
      multiply(sums);
      finish.add(arguments, sums, row);
    }
  }
}

/// How many rows an image has, and elements from one row, plane and image to the next.
struct ImageRows {
  std::int64_t height, row, plane, image;
};

template <class Kernel, class Finish>
Status run_conv_stem(const Launch& launch, const typename Kernel::Arguments& arguments,
                     const typename Kernel::Element* image, const ImageRows& rows) {
  using Stem = StemConv<Kernel>;
  if (arguments.images <= 0 || arguments.rows <= 0) return ok();
  const int64_t most = (arguments.rows / Kernel::kTileRows + 1) * Stem::kColumnTiles;
  if (arguments.images > INT32_MAX / 2 / most || rows.height > INT32_MAX / 16) {
    return Status{AIT_INVALID_INPUT, "a convolution's result has too many tiles for one launch"};
  }
  CUtensorMap map;
  constexpr int kMoved = Stem::kMoved;
  const Tiles<4> tiles_of_rows{
      {Kernel::kRowElements / kMoved, rows.height, Kernel::kPlanes, arguments.images},
      {rows.row / kMoved, rows.plane / kMoved, rows.image / kMoved},
      {Stem::kBox / kMoved, Stem::kNewRows, Kernel::kPlanes, 1},
      0};
  AIT_TRY(make_map(&map, reinterpret_cast<const typename Stem::Moved*>(image), tiles_of_rows));
  // Few strips are spread over all multiprocessors: a warpgroup is faster alone.
  const int blocks = std::min(StemStrip<Kernel>::count_all(arguments), gpu::multiprocessors());
  return gpu::launch_with_shared(
      launch, conv_stem<Kernel, Finish>, dim3(static_cast<unsigned>(blocks)), dim3(Stem::kThreads),
      Stem::kSharedBytes, arguments, map);
}

}  // namespace ait::cuda
