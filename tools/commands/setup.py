"""`ait setup`: fetch what a GPU target needs to compile."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "target",
        choices=("cuda", "hip"),
        help="cuda: CUTLASS, and nvcc if the system has none; hip: Composable Kernel",
    )


def run(arguments: argparse.Namespace) -> int:
    """Perform the command; returns the exit code. Raises ToolchainError."""
    if arguments.target == "cuda":
        from ait.codegen.cuda import toolchain
    else:
        from ait.codegen.hip import toolchain
    print(f"{arguments.target}: {toolchain.fetch()}")
    return 0
