"""What the CUDA and HIP targets share: device scalar code and templates of plain kernels.

Both are the same C++ once a target brings the header `ait/gpu.hpp`, which gives the launch of a
kernel, the stream and the error handling of its runtime.
"""
