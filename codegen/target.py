"""What code generation asks of a target, beyond what passes may know of it.

A family is a module `ait.codegen.<family>.target` with `make_target(name)`; passes/target.py lists
the families. Building a target never probes hardware and needs no compiler: `toolchain()` looks for
one, and only building a library calls it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from xdsl.ir import Attribute

from ait.codegen.build import Toolchain
from ait.codegen.group_view import LaunchView
from ait.passes.target import DeviceDescription, TargetInfo, find_target
from ait.runtime.sources import Device


class Target(TargetInfo, Protocol):
    """A device that kernels are generated for."""

    @property
    def device(self) -> Device:
        """Which of the runtime's devices the library is for."""
        ...

    def kernel_suffix(self, config: Attribute | None) -> str:
        """The suffix of the sources of kernels with such a config, which picks their compiler:
        `.kernel.cpp`, `.cu`, `.cutlass.cu`, `.hip`. None: of kernels that have none.

        Not `.cpp`: those are the runtime and the model, compiled as plain host code.
        """
        ...

    @property
    def port_alignment(self) -> int:
        """Alignment in bytes that kernels rely on for inputs and outputs; 1: the element's own."""
        ...

    def render(self, view: LaunchView, symbol: str) -> str:
        """The translation unit of one launch, which defines

            ait::Status SYMBOL(const ait::Launch& launch, void* const* pointers,
                               const int64_t* extents)

        `pointers` are the addresses of the op's ins, then outs, from which the operands' offsets
        count, of a group member by member; `extents` the values of `view.extents`. Equal views give
        equal text: nothing of the model may get into it.
        Raises CompileError for an op that no kernel of the target can run.
        """
        ...

    @property
    def timings(self) -> Path | None:
        """The file of kernel timings that the target ships, if any (codegen/tuning/store.py)."""
        ...

    def is_quick(self, config: Attribute) -> bool:
        """Whether a kernel of the config compiles in seconds: tuning tries others only when it is
        asked to take its time."""
        ...

    def present_device(self, index: int = 0) -> str | None:
        """The name of this machine's device of that index, if it runs the target's code; else
        None."""
        ...

    def present_description(self, index: int = 0) -> DeviceDescription:
        """The description of this machine's device of that index, if it is a known one that runs
        the target's code; else the target's own."""
        ...

    def toolchain(self) -> Toolchain:
        """The compilers for kernels and `.cpp`. Raises ToolchainError.

        Include folders and flags of the runtime are added by whoever builds a library.
        """
        ...


def code_target(name: str) -> Target:
    """The target that `name` spells, for code generation. Raises CompileError on others."""
    return cast(Target, find_target(name))
