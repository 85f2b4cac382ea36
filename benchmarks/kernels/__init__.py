"""Single kernels on a GPU, against the device's own limits and PyTorch."""
