// What Hopper (compute capability 9.0a) adds to a CUDA thread: barriers in shared memory that count
// bytes, the copy engine for tiles (TMA), matrix products of a warpgroup, registers that move between
// warps. One instruction a function; names in quotes are those of the PTX ISA. wgmma.hpp has the
// products themselves, tensor_map.hpp the host's side of TMA.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <cstring>

#include "ait/cuda/warp.hpp"
#include "ait/cuda/wgmma.hpp"

namespace ait::cuda {

/// The block's dynamic shared memory, aligned to 1024 bytes as swizzled tiles want. A kernel uses
/// either this or `dynamic_shared`.
__device__ __forceinline__ char* dynamic_shared_tiles() {
  extern __shared__ __align__(1024) char tiles[];
  return tiles;
}

// Barriers ("mbarrier"): a phase ends when all arrivals and all expected bytes have come.

using Barrier = std::uint64_t;

__device__ __forceinline__ void init_barrier(Barrier* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals)
               : "memory");
}

/// Shows initialised barriers to the copy engine and to the cluster; a block's (or cluster's)
/// synchronisation must follow.
__device__ __forceinline__ void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void arrive(Barrier* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
}

/// Arrives, and makes the phase wait for so many more bytes, of copies or of what others send. Some may
/// have come already.
__device__ __forceinline__ void arrive_expecting(Barrier* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                   shared_address(barrier)),
               "r"(bytes)
               : "memory");
}

/// Whether the phase of this parity has ended; may wait for a while.
__device__ __forceinline__ bool test_barrier(Barrier* barrier, std::uint32_t parity) {
  std::uint32_t done;
  asm volatile(
      "{\n.reg .pred done;\nmbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
      "selp.u32 %0, 1, 0, done;\n}"
      : "=r"(done)
      : "r"(shared_address(barrier)), "r"(parity)
      : "memory");
  return done != 0;
}

/// Waits for the end of the phase of this parity: of a new barrier, 0 is the first phase, and 1 "the
/// one before", which has ended.
__device__ __forceinline__ void wait_barrier(Barrier* barrier, std::uint32_t parity) {
  while (!test_barrier(barrier, parity)) {
  }
}

/// The same, and then sees what other blocks of the cluster have sent.
__device__ __forceinline__ void wait_barrier_cluster(Barrier* barrier, std::uint32_t parity) {
  std::uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n.reg .pred done;\n"
        "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%1], %2;\n"
        "selp.u32 %0, 1, 0, done;\n}"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  }
}

// Fences.

/// Shows what threads wrote to shared memory to the copy engine and to the tensor cores: each
/// writing thread calls it, before the barrier that they all pass.
__device__ __forceinline__ void fence_shared_for_engines() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// Before the first product of a sequence: sums and registers of factors are as written.
__device__ __forceinline__ void fence_products() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

/// Ends a group of products.
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/// Waits until at most the `Pending` newest groups of products are under way.
template <int Pending>
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}

/// Keeps the compiler from moving accesses of a register across products that use it.
__device__ __forceinline__ void pin(float& value) { asm volatile("" : "+f"(value)::"memory"); }
__device__ __forceinline__ void pin(std::uint32_t& value) { asm volatile("" : "+r"(value)::"memory"); }

// Named barriers: `threads` of the block (a multiple of 32). Number 0 is __syncthreads'.

__device__ __forceinline__ void sync_threads(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

/// Arrives without waiting; the threads that wait count too.
__device__ __forceinline__ void arrive_threads(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

// Registers of a warpgroup ("setmaxnreg"): a multiple of 8 from 24 to 256 for each thread. All its
// warps call it, in a kernel with `__launch_bounds__(threads, 1)`.

template <int Registers>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}

template <int Registers>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}

/// Whether this is the one thread of a converged warp that acts for it ("elect.sync").
__device__ __forceinline__ bool is_elected() {
  std::uint32_t elected;
  asm volatile(
      "{\n.reg .pred elected;\nelect.sync _|elected, 0xffffffff;\n"
      "selp.u32 %0, 1, 0, elected;\n}"
      : "=r"(elected));
  return elected != 0;
}

/// Waits for so many cycles of the multiprocessor.
__device__ __forceinline__ void pause(int cycles) {
  const long long begin = clock64();
  while (clock64() - begin < cycles) {
  }
}

// Clusters.

__device__ __forceinline__ int cluster_rank() {
  std::uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}

/// Tells the cluster that the thread has come so far: that the block's shared memory is there, and after
/// `fence_barriers` its barriers, or that it has read what others may now take away. Shows no writes to
/// them: then the thread would wait for all that the multiprocessor has under way.
__device__ __forceinline__ void arrive_cluster() {
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}

/// Waits until all threads of all blocks of the cluster have arrived.
__device__ __forceinline__ void wait_cluster() {
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/// All threads of all blocks of the cluster meet, but may not see each other's writes.
__device__ __forceinline__ void meet_cluster() {
  arrive_cluster();
  wait_cluster();
}

/// The same, and they see each other's writes.
__device__ __forceinline__ void sync_cluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  wait_cluster();
}

/// The address of another block's shared memory at the place of `pointer` in one's own.
__device__ __forceinline__ std::uint32_t remote_address(const void* pointer, int block) {
  std::uint32_t address;
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(address)
      : "r"(shared_address(pointer)), "r"(block));
  return address;
}

/// Sends a value of whole words to another block's shared memory, where its bytes count at a barrier
/// ("st.async"): who waits for the phase by `wait_barrier_cluster` sees it. `to` and `barrier` are
/// addresses as `remote_address` gives them. Plain stores would need a barrier that shows writes, which
/// waits for all that the multiprocessor has under way.
template <class T>
__device__ __forceinline__ void send_remote(std::uint32_t to, std::uint32_t barrier, const T& value) {
  static_assert(sizeof(T) % 4 == 0);
  std::uint32_t words[sizeof(T) / 4];
  memcpy(words, &value, sizeof(T));
#pragma unroll
  for (unsigned i = 0; i < sizeof(T) / 4; ++i) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(
                     to + i * 4),
                 "r"(words[i]), "r"(barrier)
                 : "memory");
  }
}

/// The same at once, to an address that is a multiple of as many bytes.
__device__ __forceinline__ void send_remote(std::uint32_t to, std::uint32_t barrier,
                                            const float (&values)[2]) {
  asm volatile(
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1, %2}, [%3];" ::"r"(to),
      "f"(values[0]), "f"(values[1]), "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void send_remote(std::uint32_t to, std::uint32_t barrier,
                                            const float (&values)[4]) {
  asm volatile(
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(
          to),
      "f"(values[0]), "f"(values[1]), "f"(values[2]), "f"(values[3]), "r"(barrier)
      : "memory");
}

__device__ __forceinline__ float4 load_remote(std::uint32_t address) {
  float4 value;
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
               : "r"(address)
               : "memory");
  return value;
}

// Tiles by the copy engine ("cp.async.bulk.tensor"): one thread starts a copy. Coordinates are in
// elements, innermost dim first; what lies outside of the tensor reads as zero and is not written.

/// Which data should stay in the L2 cache: policies as `createpolicy.fractional` makes them.
namespace cache {
constexpr std::uint64_t kNormal = 0x1000000000000000;
constexpr std::uint64_t kEvictFirst = 0x12F0000000000000;
constexpr std::uint64_t kEvictLast = 0x14F0000000000000;
}  // namespace cache

__device__ __forceinline__ void prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

#define AIT_TMA_LOAD(DIMS, COORDINATES, ...)                                                      \
  asm volatile("cp.async.bulk.tensor." DIMS                                                       \
               ".shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint"         \
               " [%0], [%1, {" COORDINATES "}], [%2], %3;" ::"r"(shared_address(to)),             \
               "l"(map), "r"(shared_address(barrier)), "l"(policy), __VA_ARGS__                   \
               : "memory")

/// Starts the load of a box to shared memory; its bytes count at `barrier`.
__device__ __forceinline__ void load_tile(void* to, const CUtensorMap* map, Barrier* barrier, int x,
                                          int y, std::uint64_t policy = cache::kNormal) {
  AIT_TMA_LOAD("2d", "%4, %5", "r"(x), "r"(y));
}
__device__ __forceinline__ void load_tile(void* to, const CUtensorMap* map, Barrier* barrier, int x,
                                          int y, int z, std::uint64_t policy = cache::kNormal) {
  AIT_TMA_LOAD("3d", "%4, %5, %6", "r"(x), "r"(y), "r"(z));
}
__device__ __forceinline__ void load_tile(void* to, const CUtensorMap* map, Barrier* barrier, int x,
                                          int y, int z, int u,
                                          std::uint64_t policy = cache::kNormal) {
  AIT_TMA_LOAD("4d", "%4, %5, %6, %7", "r"(x), "r"(y), "r"(z), "r"(u));
}
__device__ __forceinline__ void load_tile(void* to, const CUtensorMap* map, Barrier* barrier, int x,
                                          int y, int z, int u, int v,
                                          std::uint64_t policy = cache::kNormal) {
  AIT_TMA_LOAD("5d", "%4, %5, %6, %7, %8", "r"(x), "r"(y), "r"(z), "r"(u), "r"(v));
}
#undef AIT_TMA_LOAD

/// Loads the pixels of a column of an im2col map of an NHWC tensor: from the filter's corner (w, h) of
/// image n on, moved by the taps (right, down), channels c and the following.
__device__ __forceinline__ void load_pixels(void* to, const CUtensorMap* map, Barrier* barrier,
                                            int c, int w, int h, int n, std::uint16_t right,
                                            std::uint16_t down,
                                            std::uint64_t policy = cache::kNormal) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8}, %9;" ::"r"(
          shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(c), "r"(w), "r"(h), "r"(n), "h"(right), "h"(down),
      "l"(policy)
      : "memory");
}

// Factors in shared memory, as products and TMA know them.

/// A tile of 16-bit elements, rows of `Bytes` (128, 64 or 32) that are swizzled as TMA does with a
/// box of that width: the 16-byte pieces of row r are exchanged by the number
/// r % 8 (128 bytes), r / 2 % 4 (64 bytes), r / 4 % 2 (32 bytes).
///
/// `Major::K`: a row is an index of m (or n) with Bytes / 2 steps of k. `Major::MN`: a row is a step
/// of k with Bytes / 2 indices of m (or n); more of them lie `block_bytes` further on.
/// A tile begins at a multiple of 8 * Bytes.
template <int Bytes, Major MajorT>
struct SharedMatrix {
  static_assert(Bytes == 128 || Bytes == 64 || Bytes == 32);
  static constexpr std::uint64_t kSwizzle = Bytes == 128 ? 1 : Bytes == 64 ? 2 : 3;

  /// The descriptor ("matrix-descriptor") of the tile that begins at `pointer`.
  static __device__ __forceinline__ std::uint64_t describe(const void* pointer,
                                                           int block_bytes = 16) {
    constexpr std::uint64_t kEightRows = 8 * Bytes;
    return static_cast<std::uint64_t>((shared_address(pointer) & 0x3ffff) >> 4) |
           static_cast<std::uint64_t>(block_bytes >> 4) << 16 | (kEightRows >> 4) << 32 |
           kSwizzle << 62;
  }

  /// What to add to a descriptor for the k of the next instruction (within the row, where k is inner).
  static constexpr std::uint64_t kNextK = (MajorT == Major::K ? 32 : 16 * Bytes) >> 4;
};

/// Where byte `offset` of a tile is after TMA's swizzle of rows of `Bytes`.
template <int Bytes>
__device__ __forceinline__ std::uint32_t swizzled(std::uint32_t offset) {
  static_assert(Bytes == 128 || Bytes == 64 || Bytes == 32);
  constexpr std::uint32_t kPieces = Bytes / 16 - 1;
  return offset ^ ((offset >> 7 & kPieces) << 4);
}

/// Four 8 x 8 matrices of 16-bit elements to shared memory, as `load_matrices` reads them
/// ("stmatrix"): lane i gives the address of row i % 8 of matrix i / 8.
__device__ __forceinline__ void store_matrices(void* row, const std::uint32_t (&from)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
                   shared_address(row)),
               "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3])
               : "memory");
}

/// The same of the transposed matrices.
__device__ __forceinline__ void store_transposed(void* row, const std::uint32_t (&from)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(
                   shared_address(row)),
               "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3])
               : "memory");
}

// A kernel that depends on the one before it waits with gpu::wait_for_inputs ("griddepcontrol.wait")
// and lets the next one start with gpu::let_next_start ("griddepcontrol.launch_dependents").

}  // namespace ait::cuda
