// Words that the threads of a warp exchange, and matrices that they turn, for HIP. Its CUDA twin has the same
// names.
#pragma once

#include "ait/gpu.hpp"

namespace ait::gpu {

/// The word of another one of 32 neighbouring threads, all of which call it.
__device__ __forceinline__ std::uint32_t word_of_lane(std::uint32_t word, int lane) {
  return static_cast<std::uint32_t>(__shfl(static_cast<int>(word), lane, 32));
}

/// Whether 32 threads turn 8 x 8 matrices of a type with one instruction: there is none.
template <class Element>
constexpr bool kTurnsMatrices = false;

void load_turned(std::uint32_t (&to)[4], const void* row);

}  // namespace ait::gpu
