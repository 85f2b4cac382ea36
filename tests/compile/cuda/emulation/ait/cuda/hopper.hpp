// codegen/cuda/include/ait/cuda/hopper.hpp on the host, as far as kernels that are emulated need it.
// Copies and products happen at once; barriers count arrivals and bytes as the device's do.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <type_traits>

#include "ait/cuda/tensor_map.hpp"
#include "ait/cuda/warp.hpp"
#include "ait/cuda/wgmma.hpp"

namespace ait::cuda {

inline char* dynamic_shared_tiles() { return shared_of(emulation::current->block); }

/// The address within the block's shared memory.
inline std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(static_cast<const char*>(pointer) - dynamic_shared_tiles());
}

using Barrier = std::uint64_t;

struct BarrierState {
  std::uint16_t phase, arrivals;
  std::int16_t pending;
  std::int16_t reserved;
};

/// Bytes that phases of barriers still wait for.
inline std::map<const Barrier*, long>& expected_bytes() {
  static std::map<const Barrier*, long> bytes;
  return bytes;
}

inline void check_bytes() {
  for (const auto& [barrier, left] : expected_bytes()) {
    if (left != 0) emulation::fail("other bytes have come than a barrier expected");
  }
  expected_bytes().clear();
}

template <class Change>
void change_barrier(Barrier* barrier, const Change& change) {
  BarrierState state;
  std::memcpy(&state, barrier, sizeof state);
  change(state);
  if (state.pending < 0) std::abort();
  if (state.pending == 0 && expected_bytes()[barrier] == 0) {
    state.phase ^= 1;
    state.pending = static_cast<std::int16_t>(state.arrivals);
  }
  std::memcpy(barrier, &state, sizeof state);
  emulation::polls = 0;
}

inline void init_barrier(Barrier* barrier, int arrivals) {
  const BarrierState state{0, static_cast<std::uint16_t>(arrivals),
                           static_cast<std::int16_t>(arrivals), 0};
  std::memcpy(barrier, &state, sizeof state);
  expected_bytes()[barrier] = 0;
  emulation::check_end = check_bytes;
}

inline void fence_barriers() {}

inline void arrive(Barrier* barrier) {
  change_barrier(barrier, [](BarrierState& state) { --state.pending; });
}

inline void arrive_expecting(Barrier* barrier, int bytes) {
  expected_bytes()[barrier] += bytes;
  arrive(barrier);
}

inline void wait_barrier(Barrier* barrier, std::uint32_t parity) {
  for (;;) {
    BarrierState state;
    std::memcpy(&state, barrier, sizeof state);
    if (state.phase != parity) return;
    emulation::poll();
  }
}

inline void wait_barrier_cluster(Barrier* barrier, std::uint32_t parity) {
  wait_barrier(barrier, parity);
}

inline void fence_shared_for_engines() {}
inline void pause(int) {}
inline void fence_products() {}
inline void pin(float&) {}
inline void pin(std::uint32_t&) {}
inline void commit_products() {}
template <int Pending>
void wait_for_products() {}
template <int Registers>
void give_registers() {}
template <int Registers>
void take_registers() {}

inline bool is_elected() { return threadIdx.x % 32 == 0; }

/// Named barriers of each block: how often all have met, and how many are there.
inline void sync_threads(int barrier, int threads) {
  struct Meeting {
    int round = 0, present = 0;
  };
  static Meeting meetings[16][16];
  Meeting& meeting = meetings[emulation::current->block][barrier];
  const int round = meeting.round;
  if (++meeting.present == threads) {
    meeting = {round + 1, 0};
    emulation::polls = 0;
  }
  while (meeting.round == round) emulation::poll();
}

inline void arrive_cluster() { emulation::arrive_cluster(); }
inline void wait_cluster() { emulation::wait_cluster(); }
inline void meet_cluster() {
  arrive_cluster();
  wait_cluster();
}

inline int cluster_rank() { return static_cast<int>(emulation::current->block); }

/// The block in the high bits, the address in the low ones.
inline std::uint32_t remote_address(const void* pointer, int block) {
  return static_cast<std::uint32_t>(block) << 20 | shared_address(pointer);
}

/// Its bytes count at once. The block it is sent to must have begun, and not have left; pairs and fours
/// of floats go as one, and lie at multiples of their size.
template <class T>
void send_remote(std::uint32_t to, std::uint32_t barrier, const T& value) {
  constexpr bool kIsOne = std::is_same_v<T, float[2]> || std::is_same_v<T, float[4]>;
  static_assert(sizeof value % 4 == 0);
  if (to % (kIsOne ? sizeof value : 4) != 0 || barrier % sizeof(Barrier) != 0) {
    emulation::fail("what is sent to another block is misaligned");
  }
  const std::uint32_t block = to >> 20;
  if (barrier >> 20 != block) emulation::fail("bytes count at a barrier of another block");
  if (emulation::current->passes == 0) emulation::fail("a block is told before it is known to be there");
  if (emulation::living[block] == 0) emulation::fail("a block is told that has left");
  std::memcpy(shared_of(block) + (to & 0xfffff), &value, sizeof value);
  auto* const counts = reinterpret_cast<Barrier*>(shared_of(block) + (barrier & 0xfffff));
  expected_bytes()[counts] -= static_cast<long>(sizeof value);
  change_barrier(counts, [](BarrierState&) {});
}

namespace cache {
constexpr std::uint64_t kNormal = 0, kEvictFirst = 1, kEvictLast = 2;
}  // namespace cache

inline void prefetch_map(const CUtensorMap*) {}

/// Where a byte of a tile that is swizzled by so many bytes lies.
template <int Bytes>
std::uint32_t swizzled(std::uint32_t offset) {
  return swizzled_address(offset, Bytes);
}

inline void store_matrices_as(void* row, const std::uint32_t (&from)[4], bool transposed) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) std::abort();
  const Exchange<std::uint16_t*> rows(static_cast<std::uint16_t*>(row));
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4 * 2;
  for (int matrix = 0; matrix < 4; ++matrix) {
    for (int i = 0; i < 2; ++i) {
      const auto bits = static_cast<std::uint16_t>(from[matrix] >> i * 16);
      (transposed ? rows[matrix * 8 + t + i][g] : rows[matrix * 8 + g][t + i]) = bits;
    }
  }
}

inline void store_matrices(void* row, const std::uint32_t (&from)[4]) {
  store_matrices_as(row, from, false);
}
inline void store_transposed(void* row, const std::uint32_t (&from)[4]) {
  store_matrices_as(row, from, true);
}

template <class... Coordinates>
void load_tile(void* to, const CUtensorMap* map, Barrier* barrier, Coordinates... coordinates) {
  const std::int64_t first[] = {coordinates...};
  if (static_cast<int>(sizeof...(coordinates)) != map->rank) std::abort();
  const std::uint32_t start = shared_address(to);
  if (start % 128 != 0) std::abort();
  int elements = 1;
  for (int i = 0; i < map->rank; ++i) elements *= map->box[i];
  for (int e = 0; e < elements; ++e) {
    bool inside = true;
    const char* from = map->data;
    for (int i = 0, rest = e; i < map->rank; rest /= map->box[i], ++i) {
      const std::int64_t at = first[i] + rest % map->box[i];
      inside &= at >= 0 && at < map->sizes[i];
      from += at * map->strides[i];
    }
    const std::uint32_t address =
        swizzled_address(start + static_cast<std::uint32_t>(e * map->element_bytes), map->swizzle);
    char* place = dynamic_shared_tiles() + address;
    inside ? (void)std::memcpy(place, from, map->element_bytes)
           : (void)std::memset(place, 0, map->element_bytes);
    if (map->rounds) {
      float value;
      std::memcpy(&value, place, sizeof value);
      const std::uint32_t rounded = tf32_of(value);
      std::memcpy(place, &rounded, sizeof rounded);
    }
  }
  expected_bytes()[barrier] -= elements * map->element_bytes;
  change_barrier(barrier, [](BarrierState&) {});
}

template <int Bytes, Major MajorT>
struct SharedMatrix {
  static std::uint64_t describe(const void* pointer, int block_bytes = 16) {
    constexpr std::uint64_t kEightRows = 8 * Bytes;
    return static_cast<std::uint64_t>((shared_address(pointer) & 0x3ffff) >> 4) |
           static_cast<std::uint64_t>(block_bytes >> 4) << 16 | (kEightRows >> 4) << 32 |
           std::uint64_t{Bytes == 128 ? 1 : Bytes == 64 ? 2 : 3} << 62;
  }
  static constexpr std::uint64_t kNextK = (MajorT == Major::K ? 32 : 16 * Bytes) >> 4;
};

}  // namespace ait::cuda
