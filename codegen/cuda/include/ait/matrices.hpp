// Words that the threads of a warp exchange, and matrices that they turn, for CUDA. Its HIP twin has the
// same names.
#pragma once

#include "ait/cuda/warp.hpp"

namespace ait::gpu {

using cuda::word_of_lane;

/// Whether a warp turns 8 x 8 matrices of a type with one instruction.
template <class Element>
constexpr bool kTurnsMatrices = sizeof(Element) == 2;

/// Four such matrices: see cuda::load_transposed.
__device__ __forceinline__ void load_turned(std::uint32_t (&to)[4], const void* row) {
  cuda::load_transposed(to, row);
}

}  // namespace ait::gpu
