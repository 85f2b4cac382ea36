// Host side of a GPU kernel's translation unit, for CUDA: launches and their errors. Its HIP twin
// has the same names, so that plain kernels are written once.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "ait/launch.hpp"
#include "ait/scalar.hpp"
#include "ait/status.hpp"

namespace ait::gpu {

inline cudaStream_t stream_of(const Launch& launch) {
  return static_cast<cudaStream_t>(launch.stream);
}

inline Status status_of(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return ok();
  return device_error(what, cudaGetErrorString(error));
}

inline int current_device() {
  int device = 0;
  cudaGetDevice(&device);
  return device;
}

/// Multiprocessors of the current device, asked once a device (a race asks twice, no more).
inline int multiprocessors() {
  constexpr int kDevices = 64;
  static int counts[kDevices] = {};
  const int device = current_device();
  if (device < 0 || device >= kDevices) return 1;
  if (counts[device] == 0) {
    int count = 0;
    cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
    counts[device] = count > 0 ? count : 1;
  }
  return counts[device];
}

/// Blocks until the kernels before this one on the stream are complete and their writes visible.
/// Every kernel calls it before its first access to memory, but for reads of weights, and also where it
/// has no work: only then does the end of a kernel mean the end of all before it, which the kernel after
/// the next needs.
__device__ __forceinline__ void wait_for_inputs() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel of the stream start; it still waits for the end of this one.
__device__ __forceinline__ void let_next_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/// The word of the thread whose number in its warp differs in the bits of `mask`. All threads of
/// the warp take part.
__device__ __forceinline__ std::uint32_t shuffle_word(std::uint32_t word, int mask) {
  return __shfl_xor_sync(0xffffffffu, word, mask);
}

/// Whether `maximum_of_pairs` takes two elements of a type.
template <class Element>
constexpr bool kComparesPairs = false;

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
template <>
constexpr bool kComparesPairs<half_t> = true;
template <>
constexpr bool kComparesPairs<bfloat16_t> = true;
#endif

/// The larger of each two 16-bit floats in a word, NaN if either is.
template <class Element>
__device__ __forceinline__ std::uint32_t maximum_of_pairs(std::uint32_t a, std::uint32_t b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  if constexpr (std::is_same_v<Element, half_t>) {
    asm("max.NaN.f16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
  } else {
    asm("max.NaN.bf16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
  }
#endif
  return a;
}

/// 16 aligned bytes that nobody reads again soon; zeros unless `is_inside`. There is no branch, and it
/// stays after `wait_for_inputs` where it stands there.
__device__ __forceinline__ void load_words_once(const void* pointer, bool is_inside,
                                                std::uint32_t (&words)[4]) {
  for (std::uint32_t& word : words) word = 0;
#if defined(__CUDA_ARCH__)
  asm volatile(
      "{\n.reg .pred inside;\nsetp.ne.b32 inside, %5, 0;\n"
      "@inside ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
      : "+r"(words[0]), "+r"(words[1]), "+r"(words[2]), "+r"(words[3])
      : "l"(pointer), "r"(static_cast<int>(is_inside)));
#else
  if (is_inside) memcpy(words, __builtin_assume_aligned(pointer, 16), 16);
#endif
}

/// Whether a kernel may start before those that it waits for have ended: programmatic dependent launch,
/// compute capability 9.0.
#if defined(AIT_CUDA_DEPENDENT_LAUNCH)
constexpr bool kDependentLaunch = true;
#else
constexpr bool kDependentLaunch = false;
#endif

/// Starts `kernel` on the launch's stream, where it may overlap the end of the kernel before it
/// (`kDependentLaunch`), in clusters of `cluster` blocks along x, with `shared` bytes of dynamic shared
/// memory. An empty grid is no launch at all.
template <class... Parameters, class... Arguments>
Status launch_in_clusters(const Launch& launch, void (*kernel)(Parameters...), dim3 grid,
                          dim3 block, unsigned cluster, unsigned shared,
                          const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return ok();
  constexpr unsigned kWithoutAsking = 48u << 10;
  if (shared > kWithoutAsking) {
    AIT_TRY(status_of(
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)),
        "a kernel needs more shared memory than the device has"));
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = stream_of(launch);
  cudaLaunchAttribute attributes[2]{};
  config.attrs = attributes;
  if constexpr (kDependentLaunch) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster > 1) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = cluster;
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  }
  return status_of(
      cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...),
      "kernel launch failed");
}

/// How many clusters of `cluster` blocks of a kernel the current device runs at once: fewer than
/// multiprocessors would allow, since a cluster lies within one of the parts that these come in.
template <auto Kernel>
Status clusters_at_once(dim3 block, unsigned cluster, unsigned shared, int* count) {
  constexpr int kDevices = 64;
  static int counts[kDevices] = {};
  const int device = current_device();
  if (device < 0 || device >= kDevices) return status_of(cudaErrorInvalidDevice, "no such device");
  if (counts[device] == 0) {
    AIT_TRY(status_of(
        cudaFuncSetAttribute(reinterpret_cast<const void*>(Kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)),
        "a kernel needs more shared memory than the device has"));
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = cluster;
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(cluster);
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.attrs = &attribute;
    config.numAttrs = 1;
    int found = 0;
    AIT_TRY(status_of(
        cudaOccupancyMaxActiveClusters(&found, reinterpret_cast<const void*>(Kernel), &config),
        "clusters of a kernel cannot be counted"));
    counts[device] = found > 0 ? found : 1;
  }
  *count = counts[device];
  return ok();
}

/// The same without clusters.
template <class... Parameters, class... Arguments>
Status launch_with_shared(const Launch& launch, void (*kernel)(Parameters...), dim3 grid,
                          dim3 block, unsigned shared, const Arguments&... arguments) {
  return launch_in_clusters(launch, kernel, grid, block, 1, shared, arguments...);
}

/// The same without dynamic shared memory.
template <class... Parameters, class... Arguments>
Status launch(const Launch& launch, void (*kernel)(Parameters...), dim3 grid, dim3 block,
              const Arguments&... arguments) {
  return launch_with_shared(launch, kernel, grid, block, 0, arguments...);
}

}  // namespace ait::gpu
