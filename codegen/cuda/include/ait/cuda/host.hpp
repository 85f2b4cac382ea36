// Host side of the CUDA templates: facts of the device, and checks of pointers.
#pragma once

#include <cstdint>

#include "ait/gpu.hpp"

namespace ait::cuda {

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

/// An error unless `pointer` can be addressed in pieces of `bytes`; `operand` counts ins, then outs.
inline Status check_alignment(const void* pointer, unsigned bytes, int operand) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0) return ok();
  return Status{AIT_INVALID_INPUT, "operand " + std::to_string(operand) +
                                       " of a kernel starts at an address that is no multiple of " +
                                       std::to_string(bytes) +
                                       " bytes; give the tensor in an aligned buffer"};
}

}  // namespace ait::cuda
