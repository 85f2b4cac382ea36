"""Reports of models without building them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from examples import bert, resnet50
from xdsl.dialects.builtin import ModuleOp

import ait
from ait import nn
from ait.codegen.plan import make_plan
from ait.codegen.report.data import Recorder, ReportData
from ait.ir.program import Program
from ait.nn import functional as F
from ait.passes.pipelines import run_pipeline
from ait.passes.remarks import collect_remarks
from ait.passes.target import find_target

FACTS: dict[str, Any] = {
    "kernels": 1,
    "workspace": [0, 64],
    "weight_bytes": 128,
    "library_bytes": 4096,
    "compile_seconds": 1.5,
    "phases": {"passes": 0.5},
    "passes": [{"name": "lower-graph", "seconds": 0.25}],
}


def report_of(program: Program, name: str = "model", target: str = "cpu") -> ReportData:
    """What the driver would report of a compile, with made-up times and sizes."""
    module = program.clone().module
    recorder = Recorder(find_target(target))
    seen: list[str] = []

    def after_pass(name: str, module: ModuleOp) -> None:
        if name == "lower-graph" and name not in seen:
            recorder.lowered(module)
        seen.append(name)

    with collect_remarks() as remarks:
        run_pipeline(module, target=target, verify=True, after_pass=after_pass)
    return recorder.finished(name, module, make_plan(module), remarks, FACTS)


class Mlp(nn.Module):
    """Linear, gelu, linear and a residual."""

    def __init__(self) -> None:
        self.up = nn.Linear(16, 32)
        self.down = nn.Linear(32, 16)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return self.down(F.gelu(self.up(x))) + x


class Joined(nn.Module):
    """Pieces of one tensor: two are computed, the third must be copied."""

    def __init__(self) -> None:
        self.left = nn.Linear(16, 32)
        self.right = nn.Linear(16, 32)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        return F.softmax(nn.cat([F.relu(self.left(x)), self.right(x), x], -1), -1)


def mlp() -> Program:
    batch = ait.Dim("batch", 1, 64)
    return ait.trace(Mlp().init_random(0), {"x": ait.TensorSpec((batch, 16), "f32")})


def joined() -> Program:
    return ait.trace(Joined().init_random(0), {"x": ait.TensorSpec((8, 16), "f32")})


def small_bert(layers: int = 2) -> Program:
    config = replace(
        bert.BertConfig(),
        num_hidden_layers=layers,
        hidden_size=32,
        num_attention_heads=4,
        intermediate_size=64,
        vocab_size=50,
    )
    model = bert.BertForSequenceClassification(config).init_random(0)
    return ait.trace(model, bert.specs(4, 16))


def resnet() -> Program:
    return ait.trace(resnet50.resnet50().init_random(0), resnet50.specs(32, 2))


class TwoNorms(nn.Module):
    """Two kernels of one kind that need nothing of each other."""

    def __init__(self) -> None:
        self.a = nn.LayerNorm(8)
        self.b = nn.LayerNorm(16)

    def forward(self, x: nn.Tensor, y: nn.Tensor) -> tuple[nn.Tensor, nn.Tensor]:
        return self.a(x), self.b(y)


def two_norms() -> Program:
    specs = {"x": ait.TensorSpec((4, 8), "f32"), "y": ait.TensorSpec((4, 16), "f32")}
    return ait.trace(TwoNorms().init_random(0), specs)
