// Host side of a GPU kernel's translation unit, for HIP: launches and their errors. Its CUDA twin has
// the same names, so that plain kernels are written once.
#pragma once

#include "hip_compat.h"

#include <cstdint>

#include "ait/launch.hpp"
#include "ait/scalar.hpp"
#include "ait/status.hpp"

// CUDA's mark of kernel parameters that stay where they are; HIP's always do.
#define __grid_constant__

namespace ait::gpu {

inline hipStream_t stream_of(const Launch& launch) {
  return static_cast<hipStream_t>(launch.stream);
}

inline Status status_of(hipError_t error, const char* what) {
  if (error == hipSuccess) return ok();
  return device_error(what, hipGetErrorString(error));
}

/// Kernels of one stream run in order and see each other's writes: there is nothing to wait for,
/// and nothing to let start early.
__device__ __forceinline__ void wait_for_inputs() {}
__device__ __forceinline__ void let_next_start() {}

/// Compute units of the current device, asked once a device (a race asks twice, no more).
inline int multiprocessors() {
  constexpr int kDevices = 64;
  static int counts[kDevices] = {};
  int device = 0;
  if (hipGetDevice(&device) != hipSuccess || device < 0 || device >= kDevices) return 1;
  if (counts[device] == 0) {
    int count = 0;
    (void)hipDeviceGetAttribute(&count, hipDeviceAttributeMultiprocessorCount, device);
    counts[device] = count > 0 ? count : 1;
  }
  return counts[device];
}

/// The word of the thread whose number differs in the bits of `mask`, which is less than 32.
__device__ __forceinline__ std::uint32_t shuffle_word(std::uint32_t word, int mask) {
  return static_cast<std::uint32_t>(__shfl_xor(static_cast<int>(word), mask));
}

/// Whether `maximum_of_pairs` takes two elements of a type: none, the device's maximum drops NaN.
template <class Element>
constexpr bool kComparesPairs = false;

template <class Element>
__device__ __forceinline__ std::uint32_t maximum_of_pairs(std::uint32_t a, std::uint32_t) {
  return a;
}

/// 16 aligned bytes that nobody reads again soon; zeros unless `is_inside`.
__device__ __forceinline__ void load_words_once(const void* pointer, bool is_inside,
                                                std::uint32_t (&words)[4]) {
  const auto* from = static_cast<const std::uint32_t*>(__builtin_assume_aligned(pointer, 16));
  for (int i = 0; i < 4; ++i) words[i] = is_inside ? __builtin_nontemporal_load(from + i) : 0;
}

/// Starts `kernel` on the launch's stream with `shared` bytes of dynamic shared memory. An empty grid
/// is no launch at all.
template <class... Parameters, class... Arguments>
Status launch_with_shared(const Launch& launch, void (*kernel)(Parameters...), dim3 grid,
                          dim3 block, unsigned shared, Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return ok();
  kernel<<<grid, block, shared, stream_of(launch)>>>(static_cast<Parameters>(arguments)...);
  return status_of(hipGetLastError(), "kernel launch failed");
}

/// The same without dynamic shared memory.
template <class... Parameters, class... Arguments>
Status launch(const Launch& launch, void (*kernel)(Parameters...), dim3 grid, dim3 block,
              Arguments... arguments) {
  return launch_with_shared(launch, kernel, grid, block, 0, arguments...);
}

}  // namespace ait::gpu
