"""Choosing configs by measurement: what is known of a kernel, and how it is found out.

`store` keeps times of configs, `measure` builds and runs candidates in a child process
(`worker`), and `tune` gives the kernels of a lowered program their fastest known config.
"""
