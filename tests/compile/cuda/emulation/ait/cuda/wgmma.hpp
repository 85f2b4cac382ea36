// The products of codegen/cuda/include/ait/cuda/wgmma.hpp on the host: each thread computes its own
// sums from what the descriptors say is in shared memory (PTX ISA, "Asynchronous warpgroup level
// matrix multiply-accumulate": canonical layouts, matrix descriptor).
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "ait/cuda/tf32.hpp"
#include "ait/cuda/warp.hpp"

namespace ait::cuda {

enum class Major { K = 0, MN = 1 };

using gpu::shared_of;

/// Where TMA and the tensor cores keep the byte at an address of shared memory.
inline std::uint32_t swizzled_address(std::uint32_t address, int bytes) {
  const std::uint32_t pieces = bytes == 0 ? 0 : static_cast<std::uint32_t>(bytes) / 16 - 1;
  return address ^ ((address >> 7 & pieces) << 4);
}

/// Element (i, k) of a factor, i along m or n.
template <class Element, Major MajorT>
float factor_at(std::uint64_t descriptor, int i, int k) {
  const auto field = [&](int bit) {
    return static_cast<std::uint32_t>(descriptor >> bit & 0x3fff) << 4;
  };
  const std::uint32_t start = field(0), leading = field(16), stride = field(32);
  const int mode = static_cast<int>(descriptor >> 62), bytes = mode == 0 ? 0 : 256 >> mode;
  if (mode == 0) std::abort();
  constexpr int kBytes = sizeof(Element);
  const int width = bytes / 2;
  const std::uint32_t address =
      MajorT == Major::K ? start + i % 8 * bytes + i / 8 * stride + k * kBytes
                         : start + i / width * leading + k / 8 * stride + k % 8 * bytes + i % width * 2;
  const char* at = shared_of(emulation::current->block) + swizzled_address(address, bytes);
  if constexpr (std::is_same_v<Element, Tf32>) {
    // Tensor cores ignore the low bits.
    return __uint_as_float(*reinterpret_cast<const std::uint32_t*>(at) & ~0x1fffu);
  } else {
    return convert<float>(*reinterpret_cast<const Element*>(at));
  }
}

/// Adds products with the two rows of a thread, `left`.
template <class Element, int Columns, Major MajorB, int Depth>
void add_products(float (&d)[Columns / 2], const float (&left)[2][Depth], std::uint64_t b,
                  int accumulate) {
  const int lane = threadIdx.x % 32;
  for (int j = 0; j < Columns / 4; ++j) {
    const int column = j / 2 * 8 + lane % 4 * 2 + j % 2;
    float sums[2] = {};
    for (int k = 0; k < Depth; ++k) {
      const float right = factor_at<Element, MajorB>(b, column, k);
      sums[0] += left[0][k] * right;
      sums[1] += left[1][k] * right;
    }
    for (int half = 0; half < 2; ++half) {
      float& sum = d[j / 2 * 4 + half * 2 + j % 2];
      sum = accumulate ? sum + sums[half] : sums[half];
    }
  }
}

template <class Element, int Columns, Major MajorA = Major::K, Major MajorB = Major::K>
void multiply_shared(float (&d)[Columns / 2], std::uint64_t a, std::uint64_t b, int accumulate) {
  static_assert(Columns % 8 == 0 && Columns >= 8 && Columns <= 256);
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32 % 4 * 16 + lane / 4;
  constexpr int kDepth = 32 / sizeof(Element);
  float left[2][kDepth];
  for (int k = 0; k < kDepth; ++k) {
    for (int half = 0; half < 2; ++half) {
      left[half][k] = factor_at<Element, MajorA>(a, first + half * 8, k);
    }
  }
  add_products<Element, Columns, MajorB>(d, left, b, accumulate);
}

template <class Element, int Columns, Major MajorA, Major MajorB>
void multiply_shared(int (&d)[Columns / 2], std::uint64_t a, std::uint64_t b, int accumulate) {
  static_assert(std::is_same_v<Element, std::int8_t> && MajorA == Major::K && MajorB == Major::K);
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32 % 4 * 16 + lane / 4;
  for (int i = 0; i < Columns / 2; ++i) {
    const int row = first + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    int sum = accumulate ? d[i] : 0;
    for (int k = 0; k < 32; ++k) {
      sum += static_cast<int>(factor_at<Element, MajorA>(a, row, k)) *
             static_cast<int>(factor_at<Element, MajorB>(b, column, k));
    }
    d[i] = sum;
  }
}

/// The left factor's 64 x 16 elements are in the registers of the warpgroup, as fragments.
template <class Element, int Columns, Major MajorB = Major::K>
void multiply_registers(float (&d)[Columns / 2], const std::uint32_t (&a)[4], std::uint64_t b,
                        int accumulate) {
  static std::uint32_t fragments[1024][4];
  std::memcpy(fragments[threadIdx.x], a, sizeof a);
  __syncwarp();
  float left[2][16];
  for (int k = 0; k < 16; ++k) {
    for (int half = 0; half < 2; ++half) {
      const std::uint32_t pair = fragments[threadIdx.x / 4 * 4 + k % 8 / 2][k / 8 * 2 + half];
      left[half][k] = convert<float>(Element{static_cast<std::uint16_t>(pair >> k % 2 * 16)});
    }
  }
  add_products<Element, Columns, MajorB>(d, left, b, accumulate);
  __syncwarp();
}

}  // namespace ait::cuda
