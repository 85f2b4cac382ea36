// What a warp of an NVIDIA GPU (compute capability 8.0 and newer) does as one: asynchronous copies to
// shared memory, matrix fragments and their products, and exchanges between its threads. All 32
// threads call these together. The tests have a header of this name for the host.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ait/gpu/access.hpp"
#include "ait/gpu/shared_memory.hpp"

namespace ait::cuda {

using gpu::dynamic_shared;

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// Starts a copy of 4, 8 or 16 aligned bytes to shared memory; of zeros, if not `inside`.
template <int Bytes>
__device__ __forceinline__ void copy_async(void* to, const void* from, bool inside) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  const int bytes = inside ? Bytes : 0;
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
                 "l"(from), "r"(bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)),
                 "l"(from), "n"(Bytes), "r"(bytes)
                 : "memory");
  }
}

/// The same of 16 bytes, whose neighbours are wanted too: the last-level cache reads the line of 128 bytes.
__device__ __forceinline__ void copy_async_line(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(shared_address(to)),
               "l"(from)
               : "memory");
}

/// Ends a group of the thread's copies.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until at most the `Pending` newest groups of the thread's copies are under way.
template <int Pending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

/// Starts to bring the line of an address to the last-level cache.
__device__ __forceinline__ void prefetch_cache(const void* pointer) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(pointer));
}

/// Four 8 x 8 matrices of 16-bit elements: lane i gives the address of row i % 8 of matrix i / 8,
/// and gets of each matrix the elements (lane / 4, lane % 4 * 2) and the next one. Of 32-bit elements
/// the matrices are 8 x 4, and a lane gets the element (lane / 4, lane % 4).
__device__ __forceinline__ void load_matrices(std::uint32_t (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

/// The same of the transposed matrices.
__device__ __forceinline__ void load_transposed(std::uint32_t (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

/// sums [16, 8] += a [16, 16] b [16, 8]. A lane has, with g = lane / 4 and t = lane % 4 * 2: of the
/// sums (g, t), (g, t + 1), (g + 8, t), (g + 8, t + 1); of a, in pairs along k, the rows g, g + 8 at
/// k = t, then at k = t + 8; of b the column g at k = t and k = t + 8.
template <class Element>
__device__ __forceinline__ void multiply(float (&sums)[4], const std::uint32_t (&a)[4],
                                         std::uint32_t b0, std::uint32_t b1) {
  if constexpr (std::is_same_v<Element, half_t>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    static_assert(std::is_same_v<Element, bfloat16_t>);
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

/// The TF32 number (8 bits of exponent, 10 of mantissa) nearest to `x`, as the bits of an f32.
__device__ __forceinline__ std::uint32_t tf32_of(float x) {
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

/// sums [16, 8] = more + a [16, 8] b [8, 8] of TF32 numbers; other low bits are ignored. A lane has the
/// sums as in `multiply`, and, with t = lane % 4, of a the elements (g, t), (g + 8, t), (g, t + 4),
/// (g + 8, t + 4), of b (t, g) and (t + 4, g).
__device__ __forceinline__ void multiply_tf32(float (&sums)[4], const std::uint32_t (&a)[4],
                                              const std::uint32_t (&b)[2],
                                              const float (&more)[4]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%10, %11, %12, %13};"
      : "=f"(sums[0]), "=f"(sums[1]), "=f"(sums[2]), "=f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(more[0]),
        "f"(more[1]), "f"(more[2]), "f"(more[3]));
}

/// Two values as 16-bit elements, the first in the low half.
template <class Element>
__device__ __forceinline__ std::uint32_t pair_of(float low, float high) {
  std::uint32_t bits;
  if constexpr (std::is_same_v<Element, half_t>) {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  }
  return bits;
}

/// The value of the lane whose number differs in the bits of `mask`.
__device__ __forceinline__ float other_lane(float value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

/// The word of the lane of that number.
__device__ __forceinline__ std::uint32_t word_of_lane(std::uint32_t word, int lane) {
  return __shfl_sync(0xffffffffu, word, lane);
}

/// 2^x to about 2 ulp; 0 for -inf, and for results below the normal numbers.
__device__ __forceinline__ float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace ait::cuda
