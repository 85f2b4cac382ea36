"""Single kernels on a GPU: ait against the best that PyTorch calls, in one process, in turn.

    python -m benchmarks.kernels --build FOLDER            # anywhere: every case, compiled
    python -m benchmarks.kernels --libraries FOLDER        # on the GPU: needs PyTorch
    python -m benchmarks.kernels --group gemm ...          # some of them

A case is a program of one op that goes through the whole compiler, at tuning level 0. `gemm`,
`conv` and `attention` say which cases there are and what they run against; `measure` runs them. A
result is the median over replays of a CUDA graph of many launches, divided by their number. The
launches of a graph use copies of the data in turn, which exceed the GPU's cache where 16 do.
`compile_s` is of compiling a case of which nothing was compiled yet, but for the runtime. `memory`,
which has a command line of its own, has the kernels that only move data.
"""
