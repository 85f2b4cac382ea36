// Device memory and streams through the CUDA runtime, which is linked statically.
#include <cuda_runtime_api.h>

#define AIT_GPU(Name) cuda##Name
#define AIT_GPU_KIND AIT_CUDA
#define AIT_GPU_LABEL "CUDA"
#define AIT_GPU_ALLOCATE_MAPPED(memory, bytes) \
  cudaHostAlloc(memory, bytes, cudaHostAllocPortable | cudaHostAllocMapped)
#define AIT_GPU_FREE_MAPPED(memory) cudaFreeHost(memory)
#define AIT_GPU_RECORD_IN_GRAPH(event, stream) \
  cudaEventRecordWithFlags(event, stream, cudaEventRecordExternal)
#define AIT_GPU_GRAPHS_TIME_EVENTS true

#include "device_gpu.hpp"

// The toolkit's full package has NVTX, which is headers only; without it ranges have no names.
#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>

namespace ait::device {

void begin_range(const char* name) noexcept { nvtxRangePushA(name); }
void end_range() noexcept { nvtxRangePop(); }

}  // namespace ait::device
#else
namespace ait::device {

void begin_range(const char*) noexcept {}
void end_range() noexcept {}

}  // namespace ait::device
#endif
