// Accesses of several elements at once, and the check of what they need.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "ait/gpu.hpp"

namespace ait::gpu {

/// Which of `count` parts, say tiles or blocks, is number `number` of a kernel that may go backwards
/// (Launch::backwards).
template <class Number>
__device__ __forceinline__ Number in_order(Number number, Number count, bool backwards) {
  return backwards ? count - 1 - number : number;
}

/// `Count` elements that are read or written by one instruction, or one for each 16 bytes.
template <class Element, int Count>
struct alignas(sizeof(Element) * Count < 16 ? sizeof(Element) * Count : 16) Pack {
  Element value[Count];
};

template <int Count, class Element>
__device__ __forceinline__ Pack<Element, Count> load_pack(const Element* pointer) {
  return *reinterpret_cast<const Pack<Element, Count>*>(pointer);
}

/// The same of elements that nobody reads again soon: they displace nothing from the first cache.
/// Zeros unless `is_inside`.
template <int Count, class Element>
__device__ __forceinline__ Pack<Element, Count> load_once(const Element* pointer, bool is_inside) {
  Pack<Element, Count> pack{};
  if constexpr (sizeof(pack) == 16) {
    std::uint32_t words[4];
    load_words_once(pointer, is_inside, words);
    memcpy(&pack, words, 16);
  } else {
    if (is_inside) pack = load_pack<Count>(pointer);
  }
  return pack;
}

template <int Count, class Element>
__device__ __forceinline__ void store_pack(Element* pointer, const Pack<Element, Count>& pack) {
  *reinterpret_cast<Pack<Element, Count>*>(pointer) = pack;
}

/// One of two packs, without a branch: no load is waited for to know which.
template <class Element, int Count>
__device__ __forceinline__ Pack<Element, Count> choose(bool is_first,
                                                       const Pack<Element, Count>& first,
                                                       const Pack<Element, Count>& second) {
  constexpr int kWords = static_cast<int>((sizeof(first) + 3) / 4);
  std::uint32_t x[kWords] = {}, y[kWords] = {};
  memcpy(x, &first, sizeof(first));
  memcpy(y, &second, sizeof(second));
#pragma unroll
  for (int i = 0; i < kWords; ++i) x[i] = is_first ? x[i] : y[i];
  Pack<Element, Count> chosen;
  memcpy(&chosen, x, sizeof(chosen));
  return chosen;
}

/// The larger of each two elements, NaN if either is: two at once where the device compares so.
template <class Element, int Count>
__device__ __forceinline__ Pack<Element, Count> maximum(const Pack<Element, Count>& a,
                                                        const Pack<Element, Count>& b) {
  Pack<Element, Count> larger;
  if constexpr (kComparesPairs<Element>) {
    constexpr int kWords = (Count + 1) / 2;
    std::uint32_t x[kWords] = {}, y[kWords] = {};
    memcpy(x, &a, sizeof(a));
    memcpy(y, &b, sizeof(b));
#pragma unroll
    for (int i = 0; i < kWords; ++i) x[i] = maximum_of_pairs<Element>(x[i], y[i]);
    memcpy(&larger, x, sizeof(larger));
  } else {
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      const auto x = ait::convert<float>(a.value[i]), y = ait::convert<float>(b.value[i]);
      larger.value[i] = x > y || x != x ? a.value[i] : b.value[i];
    }
  }
  return larger;
}

/// An error unless `pointer` can be addressed in pieces of `bytes`; `operand` counts ins, then outs.
inline Status check_alignment(const void* pointer, unsigned bytes, int operand) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0) return ok();
  char message[160];
  std::snprintf(message, sizeof(message),
                "operand %d of a kernel starts at an address that is no multiple of %u bytes; give "
                "the tensor in an aligned buffer",
                operand, bytes);
  return Status{AIT_INVALID_INPUT, message};
}

}  // namespace ait::gpu
