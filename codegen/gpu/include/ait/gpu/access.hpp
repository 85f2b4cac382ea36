// Accesses of several elements at once, and the check of what they need.
#pragma once

#include <cstdint>
#include <string>

#include "ait/gpu.hpp"

namespace ait::gpu {

/// `Count` elements that are read or written by one instruction, or one for each 16 bytes.
template <class Element, int Count>
struct alignas(sizeof(Element) * Count < 16 ? sizeof(Element) * Count : 16) Pack {
  Element value[Count];
};

template <int Count, class Element>
__device__ __forceinline__ Pack<Element, Count> load_pack(const Element* pointer) {
  return *reinterpret_cast<const Pack<Element, Count>*>(pointer);
}

template <int Count, class Element>
__device__ __forceinline__ void store_pack(Element* pointer, const Pack<Element, Count>& pack) {
  *reinterpret_cast<Pack<Element, Count>*>(pointer) = pack;
}

/// An error unless `pointer` can be addressed in pieces of `bytes`; `operand` counts ins, then outs.
inline Status check_alignment(const void* pointer, unsigned bytes, int operand) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0) return ok();
  return Status{AIT_INVALID_INPUT, "operand " + std::to_string(operand) +
                                       " of a kernel starts at an address that is no multiple of " +
                                       std::to_string(bytes) +
                                       " bytes; give the tensor in an aligned buffer"};
}

}  // namespace ait::gpu
