// Packs that threads bring to shared memory for themselves.
#pragma once

#include "ait/cuda/warp.hpp"
#include "ait/gpu/access.hpp"

namespace ait::cuda {

/// Starts the copy of a pack to shared memory, for the thread that then waits for it.
template <int Count, class Element>
__device__ __forceinline__ void copy_pack(gpu::Pack<Element, Count>& to, const Element* from) {
  constexpr int kBytes = sizeof(to) < 16 ? sizeof(to) : 16;
  if constexpr (kBytes < 4) {
    to = gpu::load_pack<Count>(from);
  } else {
#pragma unroll
    for (int at = 0; at < static_cast<int>(sizeof(to)); at += kBytes) {
      copy_async<kBytes>(reinterpret_cast<char*>(&to) + at,
                         reinterpret_cast<const char*>(from) + at, true);
    }
  }
}

}  // namespace ait::cuda
