"""What the CUDA and HIP targets share: scalar device code, and the kernels of our own.

These are the same C++ for both once a target brings the header `ait/gpu.hpp`, which has the launch
of a kernel and the error handling of its runtime. What needs a vendor's library stays with the
target.
"""
