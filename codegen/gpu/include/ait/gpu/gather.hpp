// Indices that come with the data.
#pragma once

#include <cstdint>

#include "ait/gpu/elementwise.hpp"
#include "ait/launch.hpp"

namespace ait::gpu {

/// Raises an error that whoever waits for the launch gets: the index at `position` is not in
/// [0, extent). The first thread that finds one has its say.
__device__ __forceinline__ void report_index(DeviceReport* report, int64_t index, int64_t position,
                                             int64_t extent) {
  if (report == nullptr || atomicCAS(&report->is_raised, 0, 1) != 0) return;
  report->index = index;
  report->position = position;
  report->extent = extent;
}

}  // namespace ait::gpu
