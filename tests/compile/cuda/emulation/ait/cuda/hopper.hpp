// Hopper's operations of codegen/cuda/include/ait/cuda/hopper.hpp and wgmma.hpp on the host, for kernels
// without clusters: barriers that count arrivals and bytes, copies of boxes with the copy engine's
// swizzle, products from descriptors and from the fragments of the warp's other lanes. Copies and
// products are done at once: a kernel that waits for too little is not found here.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>

#include "ait/cuda/tensor_map.hpp"
#include "ait/cuda/warp.hpp"

namespace ait::cuda {

enum class Major { K = 0, MN = 1 };

/// Full of NaN at first: what nobody has written must not matter.
inline char* dynamic_shared_tiles() {
  alignas(1024) static char memory[227 << 10];
  static bool once = (std::memset(memory, 0xff, sizeof(memory)), true);
  (void)once;
  return memory;
}

inline std::uint32_t tiles_offset(const void* pointer) {
  return static_cast<std::uint32_t>(static_cast<const char*>(pointer) - dynamic_shared_tiles());
}

template <class Done>
void wait_until(const Done& done) {
  for (int tries = 0; !done(); ++tries) {
    if (tries == 1 << 20) {
      std::fprintf(stderr, "a barrier that nobody completes\n");
      std::abort();
    }
    emulation::barrier(emulation::Waits::no);
  }
}

using Barrier = std::uint64_t;

struct BarrierState {
  int arrivals = 0, pending = 0, bytes = 0;
  std::uint32_t phase = 0;

  void settle() {
    if (pending != 0 || bytes != 0) return;
    pending = arrivals;
    ++phase;
  }
};
inline BarrierState& state_of(Barrier* barrier) {
  static std::map<Barrier*, BarrierState> all;
  return all[barrier];
}

inline void init_barrier(Barrier* barrier, int arrivals) {
  state_of(barrier) = {arrivals, arrivals, 0, 0};
}
inline void fence_barriers() {}
inline void arrive_expecting(Barrier* barrier, int bytes) {
  BarrierState& state = state_of(barrier);
  state.bytes += bytes;
  --state.pending;
  state.settle();
}
inline void arrive(Barrier* barrier) { arrive_expecting(barrier, 0); }
inline void wait_barrier(Barrier* barrier, std::uint32_t parity) {
  wait_until([&] { return state_of(barrier).phase % 2 != parity; });
}

struct NamedBarrier {
  int arrived = 0, generation = 0;
};
inline NamedBarrier named_barriers[16];

inline void arrive_threads(int barrier, int threads) {
  NamedBarrier& named = named_barriers[barrier];
  if (++named.arrived < threads) return;
  named.arrived = 0;
  ++named.generation;
}
inline void sync_threads(int barrier, int threads) {
  const int generation = named_barriers[barrier].generation;
  arrive_threads(barrier, threads);
  wait_until([&] { return named_barriers[barrier].generation != generation; });
}

inline void fence_shared_for_engines() {}
inline void fence_products() {}
inline void commit_products() {}
template <int Pending>
void wait_for_products() {}
template <int Registers>
void give_registers() {}
template <int Registers>
void take_registers() {}

namespace cache {
constexpr std::uint64_t kNormal = 0, kEvictFirst = 1, kEvictLast = 2;
}  // namespace cache

inline void prefetch_map(const CUtensorMap*) {}

/// The place in shared memory of a swizzled one: pieces of 16 bytes are exchanged by the bits above
/// 128 bytes, of which rows of `bytes` use some.
inline std::uint32_t swizzled_place(std::uint32_t place, int bytes) {
  return bytes == 0 ? place : place ^ ((place >> 7 & (bytes / 16 - 1)) << 4);
}
template <int Bytes>
std::uint32_t swizzled(std::uint32_t offset) {
  return swizzled_place(offset, Bytes);
}

inline void load_tile(void* to, const CUtensorMap* map, Barrier* barrier, int x, int y, int z, int u,
                      std::uint64_t = cache::kNormal) {
  const int at[4] = {x, y, z, u};
  const std::uint32_t start = tiles_offset(to);
  if (map->rank != 4 || start % 128 != 0 || x * map->element_bytes % 16 != 0) {
    std::fprintf(stderr, "a copy that is not aligned\n");
    std::abort();
  }
  std::uint32_t bytes = 0;
  for (int d = 0; d < map->box[3]; ++d) {
    for (int c = 0; c < map->box[2]; ++c) {
      for (int b = 0; b < map->box[1]; ++b) {
        for (int a = 0; a < map->box[0]; ++a, bytes += map->element_bytes) {
          const std::int64_t index[4] = {at[0] + a, at[1] + b, at[2] + c, at[3] + d};
          bool inside = true;
          std::int64_t from = 0;
          for (int i = 0; i < 4; ++i) {
            inside &= index[i] >= 0 && index[i] < map->sizes[i];
            from += index[i] * map->strides[i];
          }
          char* const place = dynamic_shared_tiles() + swizzled_place(start + bytes, map->swizzle);
          if (inside) {
            std::memcpy(place, map->data + from, map->element_bytes);
          } else {
            std::memset(place, 0, map->element_bytes);
          }
        }
      }
    }
  }
  state_of(barrier).bytes -= static_cast<int>(bytes);
  state_of(barrier).settle();
}

template <int Bytes, Major MajorT>
struct SharedMatrix {
  static_assert(MajorT == Major::K, "factors along k are emulated");
  static constexpr std::uint64_t kSwizzle = Bytes == 128 ? 1 : Bytes == 64 ? 2 : 3;
  static constexpr std::uint64_t kNextK = 2;

  static std::uint64_t describe(const void* pointer) {
    return tiles_offset(pointer) >> 4 | std::uint64_t{8 * Bytes >> 4} << 32 | kSwizzle << 62;
  }
};

/// The element of a described factor. Rows are swizzled by where they lie.
template <class Element>
float described(std::uint64_t factor, int row, int k) {
  const int bytes = 256 >> (factor >> 62);
  const std::uint32_t begin = (factor & 0x3fff) << 4, eight = (factor >> 32 & 0x3fff) << 4;
  const std::uint32_t place = begin + row / 8 * eight + row % 8 * bytes + k * 2;
  Element element;
  std::memcpy(&element, dynamic_shared_tiles() + swizzled_place(place, bytes), sizeof(element));
  return ait::convert<float>(element);
}

/// Adds products to the sums of a thread: `left(row, k)` for the two rows of it.
template <class Element, int Columns, class Left>
void multiply_rows(float (&d)[Columns / 2], const Left& left, std::uint64_t b, int accumulate) {
  for (int i = 0; i < Columns / 2; ++i) {
    const int half = i / 2 % 2, column = i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2;
    float sum = accumulate != 0 ? d[i] : 0.0f;
    for (int k = 0; k < 16; ++k) sum += left(half, k) * described<Element>(b, column, k);
    d[i] = sum;
  }
}

template <class Element, int Columns, Major MajorA = Major::K, Major MajorB = Major::K>
void multiply_shared(float (&d)[Columns / 2], std::uint64_t a, std::uint64_t b, int accumulate) {
  const int row = threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4;
  const auto left = [&](int half, int k) { return described<Element>(a, row + half * 8, k); };
  multiply_rows<Element, Columns>(d, left, b, accumulate);
}

template <class Element, int Columns, Major MajorB = Major::K>
void multiply_registers(float (&d)[Columns / 2], const std::uint32_t (&a)[4], std::uint64_t b,
                        int accumulate) {
  static std::uint32_t fragments[1024][4];
  std::memcpy(fragments[threadIdx.x], a, sizeof(a));
  __syncwarp();
  const unsigned quad = threadIdx.x / 4 * 4;
  const auto left = [&](int half, int k) {
    const std::uint32_t pair = fragments[quad + k % 8 / 2][k / 8 * 2 + half];
    return ait::convert<float>(Element{static_cast<std::uint16_t>(pair >> k % 2 * 16)});
  };
  multiply_rows<Element, Columns>(d, left, b, accumulate);
  __syncwarp();
}

}  // namespace ait::cuda
