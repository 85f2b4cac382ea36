// Device side of our own CUDA kernels: accesses of several elements at once.
#pragma once

#include "ait/gpu.hpp"

namespace ait::cuda {

/// `Count` elements that are read or written by one instruction (up to 16 bytes).
template <class Element, int Count>
struct alignas(sizeof(Element) * Count) Pack {
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

}  // namespace ait::cuda
