"""The reader of PTX finds what may come before a wait."""

from __future__ import annotations

import pytest

from tests.compile.cuda.ptx import WAIT, entries

_KERNEL = """
.version 9.0
.target sm_90a
.visible .entry kernel(
\t.param .u64 kernel_param_0
)
.maxntid 128, 1, 1
{
\tld.param.u64 \t%rd1, [kernel_param_0];
\tmov.u32 \t%r1, %tid.x;
BODY
\tret;
}
"""
_WAIT = "// begin inline asm\ngriddepcontrol.wait;\n"
_LOAD = "ld.global.v2.u32 {%r2, %r3}, [%rd1];"
_STORE = "st.volatile.global.u32 [%rd1], %r1;"


@pytest.mark.parametrize(
    ("body", "early"),
    [
        (_WAIT + _LOAD + _STORE, []),
        (_LOAD + _WAIT + _STORE, ["ld"]),
        (_STORE, ["st"]),
        ("@%p1 bra $L__0;" + _WAIT + "$L__0:" + _STORE, ["st"]),
        ("@%p1 bra $L__0;" + _WAIT + _STORE + "$L__0:", []),
        ("@%p1 bra $L__0;" + _WAIT + "bra.uni $L__1;$L__0:" + _WAIT + "$L__1:" + _LOAD, []),
        ("$L__0:" + _LOAD + _WAIT + "@!%p1 bra $L__0;", ["ld"]),
        ("bra $L__0; $L__1:" + _STORE + "ret; $L__0:" + _WAIT + "bra $L__1;", []),
        # Names of labels count in their block alone.
        ("{DONE: bra DONE;}" + _STORE, []),
        ("{@%p1 bra DONE; bra DONE; DONE:}{bra DONE;" + _WAIT + "DONE:}" + _STORE, ["st"]),
        ("st.shared.u32 [%r1], %r2; ld.param.u32 %r1, [a];" + _WAIT, []),
        ("prefetch.global.L2 [%rd1]; cp.async.bulk.prefetch.L2.global [%rd1], 16;" + _WAIT, []),
        ("cp.async.cg.shared.global [%r1], [%rd1], 16; cp.async.commit_group;" + _WAIT, ["cp"]),
        ("red.async.shared::cluster.u32 [%r1], 1; red.global.add.u32 [%rd1], 1;", ["red"]),
        ("ld.u32 %r1, [%rd1];" + _WAIT, ["ld"]),
        ("{ call.uni function, (param0); }" + _WAIT, ["call"]),
    ],
)
def test_accesses_before_a_wait(body: str, early: list[str]) -> None:
    (entry,) = entries(_KERNEL.replace("BODY", body))
    assert entry.name == "kernel"
    assert entry.waits == (_WAIT in body)
    assert [s.opcode.split(".")[0] for s in entry.accesses_before([WAIT])] == early
