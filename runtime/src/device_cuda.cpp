// Device memory and streams through the CUDA runtime, which is linked statically.
#include <cuda_runtime_api.h>

#define AIT_GPU(Name) cuda##Name
#define AIT_GPU_KIND AIT_CUDA
#define AIT_GPU_LABEL "CUDA"
#define AIT_GPU_ALLOCATE_MAPPED(memory, bytes) \
  cudaHostAlloc(memory, bytes, cudaHostAllocPortable | cudaHostAllocMapped)
#define AIT_GPU_FREE_MAPPED(memory) cudaFreeHost(memory)

#include "device_gpu.hpp"
