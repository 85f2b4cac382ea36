// The pool behind a convolution of few channels (conv_stem.hpp), such as in a network's first layers:
// what rows and columns share of windows stays in registers, and only what was pooled is written.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "ait/cuda/conv_stem.hpp"
#include "ait/gpu/window.hpp"

namespace ait::cuda {

/// A value as words, of which the compiler makes no elements of 16 bits where it moves or chooses them.
template <class Value>
struct Words {
  static constexpr int kCount = static_cast<int>((sizeof(Value) + 3) / 4);
  std::uint32_t word[kCount] = {};

  __device__ __forceinline__ Words() {}
  explicit __device__ __forceinline__ Words(const Value& value) {
    memcpy(word, &value, sizeof(value));
  }
  __device__ __forceinline__ Value value() const {
    Value value;
    memcpy(&value, word, sizeof(value));
    return value;
  }

  /// These, or the others.
  __device__ __forceinline__ Words if_or(bool are_these, const Words& others) const {
    Words chosen;
#pragma unroll
    for (int i = 0; i < kCount; ++i) chosen.word[i] = are_these ? word[i] : others.word[i];
    return chosen;
  }
  /// Those of the lane that has the next pair of columns.
  __device__ __forceinline__ Words of_next_pair() const {
    Words next;
#pragma unroll
    for (int i = 0; i < kCount; ++i) next.word[i] = word_of_lane(word[i], (threadIdx.x + 4) % 32);
    return next;
  }
};

/// What a thread knows of the windows of a strip: of two neighbouring columns of the convolution, some
/// channels.
template <class Kernel>
struct StemWindows {
  using Stem = StemConv<Kernel>;
  using Index = typename Kernel::Index;
  using Kind = typename Kernel::Kind;
  using State = Words<typename Kind::State>;
  using Arguments = typename Kernel::Arguments;
  using Pixel = Words<decltype(Kind::outside())>;
  static constexpr int kPack = Stem::kPack, kPacks = Stem::kPacks;

  int image, p, q, seen;
  Index column[2];
  bool is_inside[2];
  State window[kPacks];
  typename Kernel::MiddleExtras extras[kPacks];  // if all pixels have the same

  explicit __device__ __forceinline__ StemWindows(const Arguments& arguments) {
    if constexpr (!Kernel::kMiddleVaries) {
#pragma unroll
      for (int pack = 0; pack < kPacks; ++pack) {
        extras[pack] = Kernel::read_middle(arguments, 0, 0, 0, channel(pack));
      }
    }
  }

  /// The first channel of a pack, of one that is there.
  static __device__ __forceinline__ int channel(int pack) {
    return std::min(Stem::channel(threadIdx.x % 4, pack), Kernel::kOutputs - kPack);
  }

  __device__ __forceinline__ void begin(const StemStrip<Kernel>& strip) {
    image = strip.image;
    q = strip.pair + Stem::pair();
    p = strip.first;
    seen = 0;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int x = q * 2 - Kernel::kWindowLeft + half;
      is_inside[half] = x >= 0 && x < Kernel::kColumns;
      column[half] = is_inside[half] ? x : 0;
    }
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) window[pack] = State(Kind::nothing());
  }

  /// The part of the windows that a row of the convolution is.
  __device__ __forceinline__ void pool_columns(const Arguments& arguments,
                                               const float (&sums)[Stem::kN / 2], int row,
                                               State (&part)[kPacks]) const {
    const bool is_row = row >= 0 && row < static_cast<int>(arguments.middle_rows);
    row = is_row ? row : 0;
    // All reads are under way before the first is used.
    typename Kernel::MiddleExtras read[kPacks][2];
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if constexpr (Kernel::kMiddleVaries) {
          read[pack][half] =
              Kernel::read_middle(arguments, image, row, column[half], channel(pack));
        } else {
          read[pack][half] = extras[pack];
        }
      }
    }
    const Pixel outside(Kind::outside());
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) {
      const auto pixel = [&](int half) {
        float values[kPack];
        Stem::take(sums, pack, half, values);
#pragma unroll
        for (int i = 0; i < kPack; ++i) {
          values[i] = Kernel::middle(arguments, read[pack][half], image, row, column[half],
                                     channel(pack), i, values[i]);
        }
        Pixel made;
#pragma unroll
        for (int i = 0; i < Pixel::kCount; ++i) {
          const float next = 2 * i + 1 < kPack ? values[(2 * i + 1) % kPack] : 0.0f;
          made.word[i] = pair_of<typename Stem::Element>(values[2 * i], next);
        }
        return made.if_or(is_row && is_inside[half], outside);
      };
      const Pixel first = pixel(0), second = pixel(1);
      typename Kind::State seen = Kind::of(first.value());
      Kind::add(seen, second.value());
      if constexpr (Kernel::kWindowW > 2) Kind::add(seen, first.of_next_pair().value());
      part[pack] = State(seen);
    }
  }

  /// Adds a row of the convolution, and stores the windows that end with it.
  __device__ __forceinline__ void add(const Arguments& arguments,
                                      const float (&sums)[Stem::kN / 2], int row) {
    State part[kPacks];
    pool_columns(arguments, sums, row, part);
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) {
      window[pack] = State(Kind::merge(window[pack].value(), part[pack].value()));
    }
    if (++seen < Kernel::kWindowH) return;
    if (threadIdx.x % 32 / 4 < Stem::kPairs && q < Kernel::kPairs) store(arguments);
    // The last row may be the next window's first.
    constexpr bool kShares = Kernel::kWindowH > Kernel::kWindowStrideH;
    static_assert(Kernel::kWindowH - Kernel::kWindowStrideH == (kShares ? 1 : 0));
    seen = kShares ? 1 : 0;
    ++p;
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) {
      window[pack] = kShares ? part[pack] : State(Kind::nothing());
    }
  }

  __device__ __forceinline__ void store(const Arguments& arguments) const {
    const gpu::Along<int> down{p, static_cast<int>(arguments.rows),
                               static_cast<int>(arguments.middle_rows)};
    const gpu::Along<int> across{q, Kernel::kPairs, Kernel::kColumns};
    const int taps = Kernel::Vertical::template counted<Kernel::kCountsPadding>(down) *
                     Kernel::Horizontal::template counted<Kernel::kCountsPadding>(across);
    const float share = gpu::share_of(taps);
#pragma unroll
    for (int pack = 0; pack < kPacks; ++pack) {
      const int n = Stem::channel(threadIdx.x % 4, pack);
      if (n >= Kernel::kOutputs) continue;
      float values[kPack];
#pragma unroll
      for (int i = 0; i < kPack; ++i) values[i] = Kind::result(window[pack].value(), i, share);
      const auto extras = Kernel::read(arguments, image, p, q, n);
      Kernel::finish(arguments, extras, image, p, q, n, values);
    }
  }
};

}  // namespace ait::cuda
