"""Tuning: the store, the choice, and candidates that fail, hang or crash, on this machine's CPU."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

import ait
from ait import nn
from ait.codegen.build import BuildOptions
from ait.codegen.compile import CompileOptions, library_toolchain
from ait.codegen.cuda.configs import Cuda
from ait.codegen.cuda.toolchain import CUTLASS_SUFFIX
from ait.codegen.gpu.dialect import Plain
from ait.codegen.target import code_target
from ait.codegen.tuning import measure as measuring
from ait.codegen.tuning.measure import Outcome
from ait.codegen.tuning.store import Timing, TimingStore, fastest, user_store
from ait.codegen.tuning.tune import Tuner, shipped
from ait.dialects.kernel import GemmOp, GroupOp
from ait.errors import CompileError
from ait.ir.context import make_context
from ait.passes.pipelines import run_pipeline
from ait.tools.ait import main


def timing(problem: str = "p", config: str = "a", **changes: Any) -> Timing:
    values = {
        "target": "cuda:sm_90a", "device": "H200", "toolchain": "nvcc 13.0.88", "seconds": 1.0,
        "failure": "", "about": "gemm", "measured": "2026-01-01",
    }  # fmt: skip
    return Timing(problem, config, **{**values, **changes})


class Present:
    """A target whose device this machine has."""

    def __init__(self, name: str = "cpu"):
        self._target = code_target(name)

    def present_device(self, index: int = 0) -> str:
        return "this machine"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


def lowered(*widths: int):
    """A chain of linears, as select-config leaves it."""
    layers = [nn.Linear(a, b, bias=False) for a, b in pairwise(widths)]
    model = nn.Sequential(*layers).init_random()
    spec = ait.TensorSpec((ait.Dim("batch", 1, 64), widths[0]), "f32")
    module = ait.trace(model, {"x": spec}).clone().module
    run_pipeline(module, ("default",), target="cpu")
    return module


def linear_for_gpu():
    """A linear in f16 that a Hopper GPU has a dozen configs for, as select-config leaves it."""
    spec = ait.TensorSpec((128, 768), "f16")
    module = ait.trace(nn.Linear(768, 3072).half(), {"x": spec}, require_weights=False).module
    run_pipeline(module, ("default",), target="cuda:sm_90a")
    return module


def group_for_gpu():
    """Two linears of other inputs, which share a launch."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(768, 768), nn.Linear(512, 320)

        def forward(self, x: nn.Tensor, y: nn.Tensor) -> tuple[nn.Tensor, ...]:
            return self.first(x), self.second(y)

    specs = {"x": ait.TensorSpec((128, 768), "f16"), "y": ait.TensorSpec((100, 512), "f16")}
    module = ait.trace(Two().half(), specs, require_weights=False).module
    run_pipeline(module, ("default",), target="cuda:sm_90a")
    return module


def configs_of(module) -> list[str]:
    return [str(op.config) for op in module.walk() if isinstance(op, GemmOp)]


@pytest.fixture
def store(tmp_path: Path) -> TimingStore:
    return TimingStore(tmp_path / "timings.sqlite")


# The store


@given(rows=st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from("abc"), st.floats(1e-9, 1))))
def test_the_store_gives_the_last_time_of_each_config(tmp_path_factory, rows) -> None:
    store = TimingStore(tmp_path_factory.mktemp("store") / "t.sqlite")
    for problem, config, seconds in rows:
        store.put([timing(problem, config, seconds=seconds)])
    for problem in "pq":
        wanted = {c: s for p, c, s in rows if p == problem}
        assert store.times(problem, "cuda:sm_90a", "nvcc 13.0.88").seconds == wanted
        best = fastest(wanted)
        assert best is None if not wanted else wanted[best] == min(wanted.values())


def test_times_of_two_toolchains_or_devices_are_not_compared(store: TimingStore) -> None:
    store.put([timing(config="a", seconds=2.0), timing(config="b", seconds=3.0)])
    store.put([timing(config="b", seconds=1.0, toolchain="nvcc 12.9.1", measured="2027-01-01")])
    store.put([timing(config="b", seconds=0.1, target="cuda:sm_80")])
    assert store.times("p", "cuda:sm_90a", "nvcc 13.0.88").seconds == {"a": 2.0, "b": 3.0}
    # A toolchain that nothing was measured with takes what was measured last.
    assert store.times("p", "cuda:sm_90a", "nvcc 14.0.1").seconds == {"b": 1.0}
    assert store.times("q", "cuda:sm_90a", "nvcc 13.0.88").seconds == {}
    # Its own device counts more than its own toolchain.
    store.put([timing(config="a", seconds=5.0, device="H100", toolchain="nvcc 12.9.1")])
    found = store.times("p", "cuda:sm_90a", "nvcc 13.0.88", "H100")
    assert (found.device, found.toolchain, found.seconds) == ("H100", "nvcc 12.9.1", {"a": 5.0})


def test_without_the_device_the_one_of_the_description_counts(store: TimingStore) -> None:
    h100, h200 = "NVIDIA H100 80GB HBM3", "NVIDIA H200"
    store.put([timing(config="a", seconds=1.0, device=h100, measured="2027-01-01")])

    def device_of(*present: str) -> str:
        found = store.times("p", "cuda:sm_90a", "nvcc 13.0.88", *(present or (None,)), "H200")
        return found.device

    # What there is counts for the other one too, and for a machine that has none.
    assert device_of() == device_of(h100) == device_of(h200) == h100
    store.put([timing(config="a", seconds=2.0, device=h200, toolchain="nvcc 12.9.1")])
    assert (device_of(), device_of(h100), device_of(h200)) == (h200, h100, h200)
    assert device_of("NVIDIA H100 PCIe") == h200


def test_failed_configs_are_never_the_fastest() -> None:
    assert fastest({"a": None, "b": 2.0}) == "b"
    assert fastest({"a": None}) is None


def test_merging_keeps_the_newer_measurement(store: TimingStore, tmp_path: Path) -> None:
    other = TimingStore(tmp_path / "other.sqlite")
    store.put([timing(config="a", seconds=1.0, measured="2026-03-01")])
    other.put([timing(config="a", seconds=2.0, measured="2026-02-01")])
    other.put([timing(config="b", seconds=3.0)])
    assert store.merge(other) == 1
    assert store.times("p", "cuda:sm_90a", "nvcc 13.0.88").seconds == {"a": 1.0, "b": 3.0}
    with pytest.raises(CompileError, match="no such file"):
        store.merge(TimingStore(tmp_path / "absent.sqlite"))


def test_another_file_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database at all, but long enough to look like one" * 50)
    with pytest.raises(CompileError, match=r"notes\.txt: not a file of timings"):
        TimingStore(path).all()


def test_the_command_lists_exports_and_merges(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("AIT_CACHE_DIR", str(tmp_path / "cache"))
    user_store().put([timing(about="gemm m=8"), timing("q", seconds=None, failure="too slow")])
    assert main(["timings", "list", "--kernel", "m=8"]) == 0
    assert "1 timings" in capsys.readouterr().out
    shared = tmp_path / "shared.sqlite"
    assert main(["timings", "export", str(shared)]) == 0
    monkeypatch.setenv("AIT_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert main(["timings", "merge", str(shared)]) == 0
    assert sorted(row.failure for row in user_store().all()) == ["", "too slow"]
    capsys.readouterr()
    assert main(["timings", "merge", str(tmp_path / "absent")]) == 1
    assert "absent: no such file" in capsys.readouterr().err


# The choice


def tuner(store: TimingStore, level: int = 1, target: Any = None, **options: Any) -> Tuner:
    target = target or Present()
    return Tuner(target, library_toolchain(target), level, stores=[store], **options)


def test_a_stored_time_decides_without_a_device(store: TimingStore, monkeypatch) -> None:
    module = lowered(256, 512)
    (first,) = configs_of(module)
    (op,) = (op for op in module.walk() if isinstance(op, GemmOp))
    other = str(code_target("cpu").candidates(op)[1])
    chooser = tuner(store, target=code_target("cpu"))
    (kernel,) = chooser._kernels([module])
    release = chooser._release
    rows = {first: 2.0, other: 1.0, "#cpu.gemm<of another version>": 0.1}
    store.put(
        timing(kernel.problem, config, seconds=seconds, target="cpu", toolchain=release)
        for config, seconds in rows.items()
    )
    report = chooser.tune(module)
    assert configs_of(module) == [other] and other != first
    assert (report.known, report.measured, report.changed) == (1, 0, 1)


def test_level_0_asks_nobody(store: TimingStore) -> None:
    module = lowered(256, 512)
    before = configs_of(module)
    store.put([timing()])
    report = tuner(store, level=0).tune(module)
    assert configs_of(module) == before
    assert (report.known, report.measured, report.changed) == (0, 0, 0)


def test_what_was_measured_is_chosen_and_not_measured_again(store, monkeypatch) -> None:
    calls: list[int] = []

    def fake(candidates, *_) -> list[Outcome]:
        calls.append(len(candidates))
        return [Outcome(1.0 / (1 + i)) for i in range(len(candidates))]

    monkeypatch.setattr("ait.codegen.tuning.tune.measure", fake)
    module = lowered(256, 512, 256)
    first = tuner(store).tune(module)
    chosen = configs_of(module)
    again = lowered(256, 512, 256)
    second = tuner(store).tune(again)
    assert len(calls) == 1 and calls[0] > 2
    assert configs_of(again) == chosen
    assert first.measured == second.known == 2
    assert second.measured == 0


def test_stored_times_without_the_models_choice_are_of_another_version(store) -> None:
    module = lowered(256, 512)
    before = configs_of(module)
    (op,) = (op for op in module.walk() if isinstance(op, GemmOp))
    other = str(code_target("cpu").candidates(op)[1])
    chooser = tuner(store, target=code_target("cpu"))
    (kernel,) = chooser._kernels([module])
    store.put([timing(kernel.problem, other, target="cpu", toolchain=chooser._release)])
    report = chooser.tune(module)
    assert configs_of(module) == before
    assert (report.known, report.changed) == (0, 0)


def test_level_2_measures_what_the_store_lacks_of_this_device(store, monkeypatch) -> None:
    tried: list[str] = []

    def fake(candidates, *_) -> list[Outcome]:
        tried.extend(str(c.view.config) for c in candidates)
        return [Outcome(1.0 / len(tried)) for _ in candidates]

    gpu = Present("cuda:sm_90a")
    monkeypatch.setattr("ait.codegen.tuning.tune.measure", fake)
    tuner(store, target=gpu).tune(linear_for_gpu())
    first = list(tried)
    module = linear_for_gpu()
    report = tuner(store, level=2, target=gpu).tune(module)
    assert first and set(first).isdisjoint(tried[len(first) :]) and len(tried) > len(first)
    assert (report.known, report.measured) == (0, 1)
    assert configs_of(module)[0] in tried[len(first) :]
    # Times of another device are not compared with this one's: all are measured anew.
    elsewhere = Present("cuda:sm_90a")
    elsewhere.present_device = lambda index=0: "another machine"
    tried.clear()
    tuner(store, level=2, target=elsewhere).tune(linear_for_gpu())
    assert set(first) < set(tried)


def test_what_has_no_compiler_here_is_not_tried(store, monkeypatch) -> None:
    target = code_target("cuda:sm_90a")
    complete = library_toolchain(target)
    lacking = replace(
        complete,
        compilers={end: c for end, c in complete.compilers.items() if end != CUTLASS_SUFFIX},
        missing={CUTLASS_SUFFIX: "install it"},
    )
    (op,) = (op for op in linear_for_gpu().walk() if isinstance(op, GemmOp))
    suffixes = {str(config): target.kernel_suffix(config) for config in target.candidates(op)}
    trials = Tuner(target, lacking, 3, stores=[store]).trials([linear_for_gpu()])
    wanted = [config for config, suffix in suffixes.items() if suffix != CUTLASS_SUFFIX]
    assert [trial.config for trial in trials] == wanted != list(suffixes)
    # Nor is anything, where the choice itself cannot be compared with the others.
    first, *_ = target.candidates(op)
    monkeypatch.setattr(target, "_suffixes", {type(first): CUTLASS_SUFFIX})
    assert Tuner(target, lacking, 3, stores=[store]).trials([linear_for_gpu()]) == []


def test_level_1_tries_what_compiles_in_seconds(store, monkeypatch) -> None:
    tried: list[str] = []

    def fake(candidates, *_) -> list[Outcome]:
        tried.extend(str(c.view.config) for c in candidates)
        return [Outcome(1.0) for _ in candidates]

    monkeypatch.setattr("ait.codegen.tuning.tune.measure", fake)
    gpu = Present("cuda:sm_90a")
    (op,) = (op for op in linear_for_gpu().walk() if isinstance(op, GemmOp))
    first, *_, last = map(str, gpu.candidates(op))
    for quick, wanted in ((last, [first, last]), ("none", [])):
        gpu.is_quick = lambda config, quick=quick: str(config) == quick
        tried.clear()
        tuner(store, 1, gpu).tune(linear_for_gpu())
        assert tried == wanted
        store.path.unlink(missing_ok=True)
    gpu.is_quick = lambda config: False
    tuner(store, 2, gpu).tune(linear_for_gpu())
    assert len(tried) > 4


def test_the_device_is_looked_for_once_and_its_errors_come_when_it_is_needed(
    store: TimingStore,
) -> None:
    looks: list[int] = []

    def fail() -> str:
        looks.append(1)
        raise CompileError("the driver is broken")

    target = Present("cuda:sm_90a")
    target.present_device = fail
    for level, expected in ((0, 0), (1, 1)):
        chooser = tuner(store, level, target)
        chooser.look_for_device()
        chooser.look_for_device()
        chooser.tune(ModuleOp([]))
        if level:
            with pytest.raises(CompileError, match="the driver is broken"):
                chooser.tune(linear_for_gpu())
        else:
            chooser.tune(linear_for_gpu())
        assert len(looks) == expected


def test_members_of_a_group_keep_the_configs_that_suit_each_other(store, monkeypatch) -> None:
    def fake(candidates, *_) -> list[Outcome]:
        return [Outcome(1.0 / (1 + i)) for i in range(len(candidates))]

    monkeypatch.setattr("ait.codegen.tuning.tune.measure", fake)
    module = group_for_gpu()
    chosen = configs_of(module)
    assert any(isinstance(op, GroupOp) for op in module.walk()) and len(set(chosen)) == 1
    report = tuner(store, 3, Present("cuda:sm_90a")).tune(module)
    assert configs_of(module) == chosen and report.changed == 0


def test_shipped_timings_decide_on_a_machine_without_a_gpu(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AIT_CACHE_DIR", str(tmp_path / "cache"))
    target = code_target("cuda:sm_90a")
    monkeypatch.setattr(target, "_present_device", lambda index: None)
    chooser = Tuner(target, library_toolchain(target), 1, stores=[])
    trials = chooser.trials([linear_for_gpu()], "H100")
    assert len(trials) > 2
    # The last one is the fastest.
    outcomes = [Outcome(1.0 / (1 + i)) for i in range(len(trials))]
    shipped = TimingStore(tmp_path / "timings.sqlite")

    def chosen() -> list[str]:
        module = linear_for_gpu()
        Tuner(target, library_toolchain(target), 1).tune(module)
        return configs_of(module)

    monkeypatch.setattr(target, "timings", tmp_path / "absent")
    assert chosen() == [trials[0].config]
    monkeypatch.setattr(target, "timings", shipped.path)
    shipped.put(chooser.timings(trials, outcomes, "NVIDIA H100 80GB HBM3"))
    assert chosen() == [trials[-1].config]
    # The target's description is of the H200: its times count more, if there are any.
    shipped.put(chooser.timings(trials, outcomes[::-1], "NVIDIA H200"))
    assert chosen() == [trials[0].config]


def test_shipped_configs_are_those_of_this_version() -> None:
    """Each can be read, and is spelled as it is now: else its time would never count."""
    context = make_context()
    for dialect in (Cuda, Plain):
        context.load_dialect(dialect)
    (store,) = shipped(code_target("cuda:sm_90a"))
    timings = store.all()
    assert {timing.target for timing in timings} == {"cuda:sm_90a"}
    for text in {timing.config for timing in timings}:
        assert str(Parser(context, text).parse_attribute()) == text
    best = {t.problem for t in timings if t.seconds is not None}
    assert len(best) > 40 and best == {t.problem for t in timings}


def test_sizes_to_tune_at_are_part_of_what_is_known(store, monkeypatch) -> None:
    sizes: list[int] = []

    def fake(candidates, *_) -> list[Outcome]:
        sizes.extend(c.symbols["batch"] for c in candidates)
        return [Outcome(1.0) for _ in candidates]

    monkeypatch.setattr("ait.codegen.tuning.tune.measure", fake)
    for at in ({}, {"batch": 8}, {"batch": 8}, {"batch": 1000}):
        tuner(store, sizes=at).tune(lowered(256, 512))
    assert set(sizes) == {64, 8}  # what is out of range counts as the bound, which was known


def test_choices_say_what_the_models_would_lose(store) -> None:
    """Of three kernels, one runs twice, and nothing is known of the last one."""
    module = lowered(256, 256, 256, 512, 128)
    chooser = tuner(store, target=code_target("cpu"))
    same, wider, _ = chooser._kernels([module])
    times = {same.problem: (1.5, 1.0, 4.0), wider.problem: (7.0, 9.0, 8.0)}
    for kernel in (same, wider):
        rows = zip(map(str, kernel.configs), times[kernel.problem], strict=False)
        store.put(
            timing(kernel.problem, c, seconds=s, target="cpu", toolchain=chooser._release)
            for c, s in rows
        )
    first, second = chooser.choices([module])
    assert (first.launches, first.modelled[1], first.fastest[1], first.loss) == (2, 1.5, 1.0, 1.0)
    assert first.fastest[0] == str(same.configs[1])
    assert second.modelled == second.fastest == (str(wider.configs[0]), 7.0)


def test_unknown_levels_and_dims_are_refused(store: TimingStore, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="tuning level 7: there are levels 0 to 3"):
        tuner(store, level=7)
    program = ait.trace(nn.ReLU(), {"x": ait.TensorSpec((ait.Dim("batch", 1, 8), 4), "f32")})
    options = CompileOptions(tune_at={"seq": 8})
    with pytest.raises(CompileError, match="no dynamic dim 'seq'"):
        ait.compile(program, "cpu", tmp_path / "m.so", options)


# Measuring


@pytest.mark.slow
def test_candidates_are_measured_and_bad_ones_cost_themselves_only(store, monkeypatch) -> None:
    """Of the candidates one does not compile, one crashes and one hangs."""
    target = Present()
    render = target._target.render
    faults = iter(["#error no", 'extern "C" void abort(void);', "", "for (;;) {}"])
    bodies = {"#error no": "", 'extern "C" void abort(void);': "abort();", "for (;;) {}": None}

    def broken(view, symbol: str) -> str:
        fault = next(faults, "")
        text = render(view, symbol)
        if not fault:
            return text
        body = bodies[fault] if bodies[fault] is not None else "for (volatile int i = 0;; i = i) {}"
        head = "" if bodies[fault] is None else fault
        signature = f"ait::Status {symbol}(const ait::Launch&, void* const*, const int64_t*)"
        includes = '#include <cstdint>\n#include "ait/launch.hpp"\n#include "ait/status.hpp"\n'
        return f"{includes}{head}\n{signature} {{ {body} return ait::ok(); }}\n"

    target.render = broken
    monkeypatch.setattr(measuring, "_SECONDS_A_CANDIDATE", 2.0)
    module = lowered(256, 512)
    report = tuner(store, level=1, target=target, build=BuildOptions(jobs=2)).tune(module)
    rows = store.all()
    failures = [row.failure for row in rows if row.seconds is None]
    assert report.measured == 1 and len(report.problems) == 3
    for text in ("does not compile", "ended the process (status -6)", "took more than 2 s"):
        assert text in failures
    good = [row for row in rows if row.seconds is not None]
    assert len(good) >= 1 and all(0 < row.seconds < 1 for row in good)
    assert configs_of(module) == [min(good, key=lambda row: row.seconds).config]
