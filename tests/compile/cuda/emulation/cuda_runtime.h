// CUDA on the host, just enough to execute the plain kernels in tests: each thread of a block is a
// fiber, blocks run one after the other, and a barrier switches to the next fiber. Undefined
// behaviour of the device (misaligned packs, indices outside of shared arrays) is left to the host
// compiler's sanitizers.
#pragma once

#include <ucontext.h>

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

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  bool done = false;
};

inline ucontext_t scheduler;
inline Fiber* current = nullptr;
inline std::function<void()>* body = nullptr;

inline void barrier() { swapcontext(&current->context, &scheduler); }

inline void enter() {
  (*body)();
  current->done = true;
  swapcontext(&current->context, &scheduler);
}

// Runs one block: every fiber up to its next barrier, again and again until all are done.
inline void run_block(unsigned threads) {
  constexpr std::size_t kStack = 256 << 10;
  static std::vector<Fiber> fibers;
  if (fibers.size() < threads) fibers.resize(threads);
  for (unsigned i = 0; i < threads; ++i) {
    Fiber& fiber = fibers[i];
    if (!fiber.stack) fiber.stack.reset(new char[kStack]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
    fiber.done = false;
  }
  for (bool alive = true; alive;) {
    alive = false;
    for (unsigned i = 0; i < threads; ++i) {
      if (fibers[i].done) continue;
      threadIdx = dim3(i, 0, 0);
      current = &fibers[i];
      swapcontext(&scheduler, &fibers[i].context);
      alive = alive || !fibers[i].done;
    }
  }
}

}  // namespace emulation

inline void __syncthreads() { emulation::barrier(); }
inline void __syncwarp() { emulation::barrier(); }

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0 };
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

enum { cudaLaunchAttributeProgrammaticStreamSerialization };
struct cudaLaunchAttribute {
  int id;
  struct {
    int programmaticStreamSerializationAllowed;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments... arguments) {
  std::function<void()> body = [&] { kernel(arguments...); };
  emulation::body = &body;
  gridDim = config->gridDim;
  blockDim = config->blockDim;
  for (unsigned y = 0; y < config->gridDim.y; ++y) {
    for (unsigned x = 0; x < config->gridDim.x; ++x) {
      blockIdx = dim3(x, y, 0);
      emulation::run_block(config->blockDim.x);
    }
  }
  return cudaSuccess;
}
