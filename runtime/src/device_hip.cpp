// Device memory and streams through the HIP runtime.
#ifndef __HIP_PLATFORM_AMD__
#define __HIP_PLATFORM_AMD__ 1
#endif
#include <hip/hip_runtime_api.h>

#define AIT_GPU(Name) hip##Name
#define AIT_GPU_KIND AIT_HIP
#define AIT_GPU_LABEL "HIP"
// Not coherent: atomics of the device then need none of the bus.
#define AIT_GPU_ALLOCATE_MAPPED(memory, bytes) \
  hipHostMalloc(memory, bytes, hipHostMallocPortable | hipHostMallocMapped | hipHostMallocNonCoherent)
#define AIT_GPU_FREE_MAPPED(memory) hipHostFree(memory)
#define AIT_GPU_RECORD_IN_GRAPH(event, stream) hipEventRecord(event, stream)
#define AIT_GPU_GRAPHS_TIME_EVENTS false

#include "device_gpu.hpp"

namespace ait::device {

void begin_range(const char*) noexcept {}
void end_range() noexcept {}

}  // namespace ait::device
