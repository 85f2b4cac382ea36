// Device memory and streams through the HIP runtime.
#ifndef __HIP_PLATFORM_AMD__
#define __HIP_PLATFORM_AMD__ 1
#endif
#include <hip/hip_runtime_api.h>

#define AIT_GPU(Name) hip##Name
#define AIT_GPU_KIND AIT_HIP
#define AIT_GPU_LABEL "HIP"

#include "device_gpu.hpp"
