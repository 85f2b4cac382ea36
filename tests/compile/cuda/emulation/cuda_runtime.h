// CUDA on the host, just enough to execute the plain kernels in tests: each thread of a block is a
// fiber, clusters of blocks run one after the other, a barrier switches to the next fiber. Undefined
// behaviour of the device (misaligned packs, indices outside of shared arrays) is left to the host
// compiler's sanitizers.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <math.h>
#include <vector>

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#define __noinline__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static
#define __align__(bytes) __attribute__((aligned(bytes)))

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

inline dim3 threadIdx, blockIdx, gridDim, blockDim;

namespace emulation {

enum class Waits { no, warp, block, cluster };

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  bool done = false;
  Waits waits = Waits::no;
  unsigned block = 0;  // of the cluster
  // How often it has come to the cluster's barrier, and gone on.
  unsigned arrivals = 0, passes = 0;
};

constexpr unsigned kWarp = 32;

inline ucontext_t scheduler;
inline Fiber* current = nullptr;
inline std::function<void()>* body = nullptr;
inline std::vector<Fiber> fibers;
inline long polls = 0;  // since something last happened
inline bool last_first = false;  // the order of clusters
inline unsigned living[16];       // threads of each block of the cluster that have not ended
inline unsigned cluster_round = 0;  // how often all threads of the cluster have come to its barrier
inline std::function<void()> check_end;  // what has to hold when a cluster has ended

[[noreturn]] inline void fail(const char* why) {
  std::fprintf(stderr, "%s\n", why);
  std::abort();
}

// The number of the running thread in its cluster.
inline unsigned self() { return static_cast<unsigned>(current - fibers.data()); }

// Lets others run until something has happened that the thread looks for.
inline void poll() {
  constexpr long kMost = 200'000'000;
  if (++polls > kMost) fail("threads wait for what never happens");
  swapcontext(&current->context, &scheduler);
}

inline void barrier(Waits what) {
  current->waits = what;
  swapcontext(&current->context, &scheduler);
}

// The cluster's barrier: a thread arrives, and waits later for all to have arrived.
inline void arrive_cluster() {
  if (current->arrivals++ != current->passes) fail("a thread arrives at its cluster's barrier twice");
}
inline void wait_cluster() {
  if (current->arrivals != ++current->passes) fail("a thread waits for its cluster, but has not arrived");
  if (cluster_round < current->passes) barrier(Waits::cluster);
}

inline void enter() {
  (*body)();
  current->done = true;
  --living[current->block];
  swapcontext(&current->context, &scheduler);
}

// Lets the threads [first, last) go on if all that live wait for each other.
inline bool release(unsigned first, unsigned last, Waits what) {
  bool any = false;
  for (unsigned i = first; i < last; ++i) {
    if (fibers[i].done) continue;
    if (fibers[i].waits != what) return false;
    any = true;
  }
  for (unsigned i = first; i < last; ++i) fibers[i].waits = Waits::no;
  return any;
}

// Ends a round of the cluster's barrier if all that live have arrived.
inline bool release_cluster(unsigned all) {
  bool any = false;
  for (unsigned i = 0; i < all; ++i) {
    if (fibers[i].done) continue;
    if (fibers[i].arrivals <= cluster_round) return false;
    any = true;
  }
  if (!any) return false;
  ++cluster_round;
  for (unsigned i = 0; i < all; ++i) {
    if (fibers[i].waits == Waits::cluster) fibers[i].waits = Waits::no;
  }
  return true;
}

// Runs the blocks of one cluster: every fiber up to its next barrier, again and again until all are
// done. A barrier that some thread of the warp or block never reaches is an error, as it is on the
// device.
inline void run_cluster(unsigned threads, unsigned blocks, dim3 first) {
  constexpr std::size_t kStack = 256 << 10;
  const unsigned all = threads * blocks;
  if (fibers.size() < all) fibers.resize(all);
  for (unsigned i = 0; i < all; ++i) {
    Fiber& fiber = fibers[i];
    if (!fiber.stack) fiber.stack.reset(new char[kStack]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
    fiber.done = false;
    fiber.waits = Waits::no;
    fiber.block = i / threads;
    fiber.arrivals = fiber.passes = 0;
  }
  std::fill_n(living, blocks, threads);
  cluster_round = 0;
  for (bool alive = true; alive;) {
    bool moved = false;
    alive = false;
    for (unsigned i = 0; i < all; ++i) {
      if (fibers[i].done) continue;
      alive = true;
      if (fibers[i].waits != Waits::no) continue;
      threadIdx = dim3(i % threads, 0, 0);
      blockIdx = dim3(first.x + fibers[i].block, first.y, first.z);
      current = &fibers[i];
      swapcontext(&scheduler, &fibers[i].context);
      moved = true;
    }
    for (unsigned block = 0; block < all; block += threads) {
      for (unsigned warp = block; warp < block + threads; warp += kWarp) {
        const unsigned end = warp + kWarp < block + threads ? warp + kWarp : block + threads;
        moved |= release(warp, end, Waits::warp);
      }
      moved |= release(block, block + threads, Waits::block);
    }
    moved |= release_cluster(all);
    if (alive && !moved) fail("threads wait for others that have taken another way");
  }
  if (check_end) check_end();
}

// What each thread shows the others of its warp.
inline std::uint32_t shown[8192];

}  // namespace emulation

inline float __uint_as_float(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline std::uint32_t __float_as_uint(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline void __syncthreads() { emulation::barrier(emulation::Waits::block); }
inline void __syncwarp() { emulation::barrier(emulation::Waits::warp); }

inline int __syncthreads_or(int mine) {
  static int any[2];
  static std::vector<int> rounds(8192);
  // Two cells by turns: nobody is still in the round before the last one.
  int& cell = any[rounds[emulation::self()]++ % 2];
  cell |= mine != 0;
  __syncthreads();
  const int result = cell;
  __syncthreads();
  cell = 0;
  return result;
}

inline std::uint32_t __shfl_xor_sync(unsigned, std::uint32_t value, int mask) {
  const unsigned self = emulation::self();
  emulation::shown[self] = value;
  __syncwarp();
  const std::uint32_t result = emulation::shown[self ^ static_cast<unsigned>(mask)];
  __syncwarp();
  return result;
}

inline int __shfl_sync(unsigned, int value, int lane) {
  const unsigned self = emulation::self();
  emulation::shown[self] = static_cast<std::uint32_t>(value);
  __syncwarp();
  const std::uint32_t result =
      emulation::shown[self / emulation::kWarp * emulation::kWarp + static_cast<unsigned>(lane)];
  __syncwarp();
  return static_cast<int>(result);
}

inline int min(int a, int b) { return a < b ? a : b; }

struct float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

inline int atomicCAS(int* address, int expected, int value) {
  const int old = *address;
  if (old == expected) *address = value;
  return old;
}

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidDevice = 101 };
inline const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
enum { cudaDevAttrMultiProcessorCount };
inline cudaError_t cudaDeviceGetAttribute(int* value, int, int) {
  *value = 2;  // few, so that grid-stride loops have more than one step
  return cudaSuccess;
}

enum { cudaFuncAttributeMaxDynamicSharedMemorySize };
inline cudaError_t cudaFuncSetAttribute(const void*, int, int bytes) {
  return bytes <= 227 << 10 ? cudaSuccess : cudaErrorInvalidValue;
}

enum { cudaLaunchAttributeProgrammaticStreamSerialization, cudaLaunchAttributeClusterDimension };
struct cudaLaunchAttribute {
  int id;
  struct {
    int programmaticStreamSerializationAllowed;
    struct {
      unsigned x, y, z;
    } clusterDim;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

inline cudaError_t cudaOccupancyMaxActiveClusters(int* count, const void*,
                                                  const cudaLaunchConfig_t*) {
  *count = 2;  // few, so that each takes several tiles
  return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments... arguments) {
  std::function<void()> body = [&] { kernel(arguments...); };
  emulation::body = &body;
  gridDim = config->gridDim;
  blockDim = config->blockDim;
  unsigned cluster = 1;
  bool is_early = false;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config->attrs[i];
    if (attribute.id == cudaLaunchAttributeClusterDimension) cluster = attribute.val.clusterDim.x;
    if (attribute.id == cudaLaunchAttributeProgrammaticStreamSerialization) {
      is_early = attribute.val.programmaticStreamSerializationAllowed != 0;
    }
  }
  // Kernels of Hopper all start beside the one before them.
  if (!is_early || config->gridDim.x % cluster != 0) return cudaErrorInvalidValue;
  for (unsigned y = 0; y < config->gridDim.y; ++y) {
    for (unsigned begin = 0; begin < config->gridDim.x; begin += cluster) {
      const unsigned x = emulation::last_first ? config->gridDim.x - cluster - begin : begin;
      emulation::run_cluster(config->blockDim.x, cluster, dim3(x, y, 0));
    }
  }
  return cudaSuccess;
}
