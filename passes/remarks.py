"""Why passes did what they did: every fusion and every refusal can be asked about.

Passes call `remark`; whoever wants to know opens `collect_remarks` around them. Nothing is built or
kept when nobody listens.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Operation

from ait.passes.origins import Locations, locations_of


@dataclass(frozen=True)
class Remark:
    """One decision of a pass: "applied", "missed" (with the reason), or a "note".

    `location` is the op as users know it. `op_name`, `source` (where in the model it comes from, or
    an empty string), `results` (names of its results that have one) and `origins` (what it was made
    of) are those of the op when the decision was made; `op` itself may be gone since.
    """

    pass_name: str
    kind: str
    location: str
    message: str
    op: Operation | None = None
    op_name: str = ""
    source: str = ""
    results: tuple[str, ...] = ()
    origins: Locations = ()

    def __str__(self) -> str:
        return f"{self.location}: {self.message} [{self.pass_name}, {self.kind}]"


_collected: ContextVar[list[Remark] | None] = ContextVar("remarks", default=None)


@contextmanager
def collect_remarks() -> Generator[list[Remark]]:
    """The remarks of all passes that run inside of the context, in order.

    A context around this one has them too, once this one ends.
    """
    collected: list[Remark] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)
        around = _collected.get()
        if around is not None:
            around.extend(collected)


def remark(pass_name: str, kind: str, op: Operation, message: str) -> None:
    """Tells whoever listens about a decision on `op`."""
    collected = _collected.get()
    if collected is not None:
        collected.append(
            Remark(
                pass_name,
                kind,
                describe(op),
                message,
                op,
                op_name=op.name,
                source=source_of(op),
                results=tuple(r.name_hint for r in op.results if r.name_hint),
                origins=locations_of(op),
            )
        )


def describe(op: Operation) -> str:
    """An op as users know it: its kind and the model layer it comes from."""
    source = source_of(op)
    return f"{op.name} ({source})" if source else op.name


def source_of(op: Operation) -> str:
    """The model layer that an op comes from, or an empty string."""
    source = op.attributes.get("source")
    return source.data if isinstance(source, StringAttr) else ""
