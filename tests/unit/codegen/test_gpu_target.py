"""What a GPU target remembers of its families' answers, and what it says of configs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest

import ait
from ait import nn
from ait.codegen.cuda import probe
from ait.codegen.cuda.target import make_target
from ait.codegen.gpu.family import Refusal
from ait.codegen.kernel_view import KernelView
from ait.dialects.kernel import KernelOp
from ait.passes.pipelines import run_pipeline
from tests.compile.cuda.attention_cases import Heads, attention
from tests.compile.cuda.cases import linear
from tests.compile.cuda.conv_cases import Conv, conv
from tests.compile.cuda.kernels import Case


def kernels() -> list[KernelOp]:
    """Of five linears, two of which are like others, as select-config leaves them."""
    widths = (256, 256, 256, 768, 768, 77)
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    spec = ait.TensorSpec((128, widths[0]), "f16")
    model = nn.Sequential(*layers).half()
    module = ait.trace(model, {"x": spec}, require_weights=False).module
    run_pipeline(module, ("default",), target="cuda:sm_90a")
    return [op for op in module.walk() if isinstance(op, KernelOp) and op.config is not None]


def test_kernels_that_are_alike_are_weighed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ops = kernels()  # before families are counted that targets share
    target = make_target("cuda:sm_90a")
    asked: Counter[tuple[str, str]] = Counter()

    def counted(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def candidates(view: KernelView, device: Any) -> Any:
            asked[name, view.problem] += 1
            return answer(view, device)

        return candidates

    for family in {id(f): f for found in target._families.values() for f in found}.values():
        name = type(family).__name__
        monkeypatch.setattr(family, "candidates", counted(name, family.candidates))
    problems = {KernelView(op).problem for op in ops}
    answers = [(target.refusal(op), target.candidates(op), target.refusal(op)) for op in ops]
    assert 1 < len(problems) < len(ops)
    assert len(asked) > len(problems) and set(asked.values()) == {1}
    # A target that was asked nothing before answers the same.
    for op, answer in zip(ops, answers, strict=True):
        fresh = make_target("cuda:sm_90a")
        assert answer == (fresh.refusal(op), fresh.candidates(op), fresh.refusal(op))


def test_reasons_of_a_refusal_are_remembered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    target = make_target("cuda:sm_90a")
    op = kernels()[-1]
    families = target._families[type(op)][:3]

    def refusing(reason: str) -> Callable[..., Any]:
        def candidates(view: KernelView, device: Any) -> Any:
            raise Refusal(reason)

        return candidates

    for family, reason in zip(families, ("odd", "wide", "odd"), strict=True):
        monkeypatch.setattr(family, "candidates", refusing(reason))
    monkeypatch.setattr(target, "_families", {type(op): families})
    assert target.refusal(op) == target.refusal(op) == "odd; wide"  # each reason once
    assert not target.candidates(op)


_HEADS, _IMAGES = Heads(2, 4, 256, 256, 64), Conv(2, 16, 16, 64, 64)

# By config, whether the kernel of one op goes backwards
DIRECTIONS: dict[str, Mapping[str, bool]] = {
    "gemm": {"WgmmaAttr": True, "GemmAttr": False, "MmaAttr": False, "OwnGemmAttr": False},
    "conv": {"HopperConvAttr": True, "HaloConvAttr": True, "ConvAttr": False},
    "attention": {"HopperAttentionAttr": True, "AttentionAttr": False},
    "causal": {"HopperAttentionAttr": False, "AttentionAttr": False},
    "pointwise": {"ElementwiseAttr": True},
    "across": {"TransposeAttr": False},
}


def _case(kind: str, config: str) -> Case:
    match kind:
        case "gemm":
            return linear(512, 256, 128, config=config)
        case "conv":
            return conv(kind, _IMAGES, config=config)
        case "pointwise" | "across":
            strides = [1, 256] if kind == "across" else [256, 1]
            place = f"<offset 0, sizes [256, 256], strides {strides}>"
            square, body = "tensor<256x256xf16>", "{^bb0(%p : f32): kernel.yield %p : f32}"
            return Case(
                kind,
                {"x": square, "o": square},
                f"kernel.pointwise ins(%x {place} : {square}) outs(%o : {square}) body {body}",
                config=config,
            )
        case _:
            return attention(kind, _HEADS, config=config, causal=kind == "causal")


@pytest.mark.parametrize(
    ("kind", "config"), [(kind, config) for kind in DIRECTIONS for config in DIRECTIONS[kind]]
)
def test_the_config_says_whether_a_kernel_goes_backwards(kind: str, config: str) -> None:
    op = _case(kind, config).kernel()
    assert type(op.config).__name__ == config
    target = make_target("cuda:sm_90a")
    assert target.goes_backwards(op) == DIRECTIONS[kind][config]
    op.config = None
    assert not target.goes_backwards(op)


@pytest.mark.parametrize("name", ["cuda:sm_90a", "cuda:sm_90a+tf32", "cuda:sm_90a+f32"])
def test_times_are_held_against_the_device_that_took_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels are chosen for an architecture, whichever of its devices is here; measured times are
    compared with what the one here can do, if it is known."""
    devices = ("NVIDIA H200", "NVIDIA H100 80GB HBM3", "an unknown one", None)
    monkeypatch.setattr(probe, "present_device", lambda architecture, index: devices[index])
    target = make_target(name)
    assert target.description.name == "H200"
    found = {device: target.present_description(i) for i, device in enumerate(devices)}
    h100 = found.pop("NVIDIA H100 80GB HBM3")
    assert all(device == target.description for device in found.values())
    assert h100.name == "H100"
    assert h100.memory_bandwidth < 0.75 * target.description.memory_bandwidth
    assert h100.matrix_peak == target.description.matrix_peak
