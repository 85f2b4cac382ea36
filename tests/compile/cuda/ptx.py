"""PTX of kernels: what one may do before it has waited for those that it starts beside."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

_ENTRY = re.compile(r"\.entry\s+(?P<name>\w+)\s*\([^)]*\)[^{;]*\{")
_TOKEN = re.compile(
    r"\s*(?:(?P<open>\{)|(?P<close>\})|(?P<label>[$\w]+):(?!:)|(?P<statement>[^;]*);)"
)
_STATEMENT = re.compile(
    r"(?P<guard>@!?[%$\w]+\s+)?(?P<opcode>[\w.:]+)\s*(?P<operands>.*)", re.DOTALL
)

WAIT = "griddepcontrol.wait"
CLUSTER_WAIT = "barrier.cluster.wait"
_NOT_GLOBAL = frozenset({"shared", "local", "param", "const"})


@dataclass(frozen=True)
class Statement:
    """`target`: the number of the statement that it may branch to."""

    text: str
    opcode: str
    is_guarded: bool
    target: int | None = None

    @property
    def next_ones(self) -> Sequence[int]:
        """Steps to the statements that may follow, but for a branch."""
        ends = self.opcode.split(".")[0] in ("bra", "ret", "exit", "trap") and not self.is_guarded
        return () if ends else (1,)

    @property
    def brings_tile(self) -> bool:
        """Whether the copy engine brings something into shared memory."""
        return self.opcode.startswith("cp.async.bulk.") and ".shared::cluster.global" in self.opcode

    @property
    def accesses_global_memory(self) -> bool:
        """Or may do so, as functions do. Prefetches are none: they neither change nor give
        anything."""
        parts = [part.split("::")[0] for part in self.opcode.split(".")]
        if parts[0] == "cp":
            return "global" in parts and "prefetch" not in parts
        if parts[0] in ("ld", "ldu", "st", "atom", "red"):
            return not _NOT_GLOBAL.intersection(parts)
        return parts[0] == "call"


@dataclass(frozen=True)
class Entry:
    """A `__global__` function, by its mangled name."""

    name: str
    statements: Sequence[Statement]

    @property
    def waits(self) -> bool:
        """For the kernels that it starts beside."""
        return any(statement.opcode == WAIT for statement in self.statements)

    def accesses_before(self, waits: Collection[str]) -> list[Statement]:
        """Accesses of global memory that threads may reach past none of the instructions."""
        return [s for s in self._before(waits) if s.accesses_global_memory]

    def _before(self, waits: Collection[str]) -> Iterator[Statement]:
        seen, left = set[int](), [0]
        while left:
            at = left.pop()
            if at in seen or at >= len(self.statements):
                continue
            seen.add(at)
            statement = self.statements[at]
            if statement.opcode.startswith(tuple(waits)):
                continue
            yield statement
            left += [at + step for step in statement.next_ones]
            left += [] if statement.target is None else [statement.target]


def entries(ptx: str) -> list[Entry]:
    """All of a PTX file."""
    ptx = re.sub(r"//.*", "", ptx)
    return [Entry(m["name"], _statements(ptx, m.end())) for m in _ENTRY.finditer(ptx)]


def _statements(ptx: str, at: int) -> Sequence[Statement]:
    """Those of the body that begins there. Names of labels count in their block alone."""
    blocks, opened = [0], 0
    labels: dict[tuple[int, str], int] = {}
    found: list[tuple[re.Match[str], Sequence[int]]] = []
    while blocks:
        token = _TOKEN.match(ptx, at)
        assert token, ptx[at : at + 100]
        at = token.end()
        if token["open"]:
            opened += 1
            blocks.append(opened)
        elif token["close"]:
            blocks.pop()
        elif token["label"]:
            labels[blocks[-1], token["label"]] = len(found)
        elif statement := _STATEMENT.fullmatch(token["statement"].strip()):
            found.append((statement, tuple(blocks)))
    return [_statement(match, inside, labels) for match, inside in found]


def _statement(
    match: re.Match[str], blocks: Sequence[int], labels: Mapping[tuple[int, str], int]
) -> Statement:
    opcode, operands = match["opcode"], match["operands"]
    assert not opcode.startswith("brx"), "tables of branches are not read"
    target = None
    if opcode.split(".")[0] == "bra":
        target = next(labels[b, operands] for b in reversed(blocks) if (b, operands) in labels)
    return Statement(match[0], opcode, match["guard"] is not None, target)
