"""What nvcc makes of rendered kernels: it takes them, and ptxas has nothing to complain about."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ait.codegen.cuda import toolchain
from ait.codegen.target import Target
from ait.errors import ToolchainError
from tests.compile.cuda.attention_cases import (
    HOPPER_ATTENTIONS,
    OWN_ATTENTIONS,
    Heads,
    attention,
    masked,
    packed,
)
from tests.compile.cuda.cases import (
    A100_GEMMS,
    ELEMENTWISE,
    HOPPER_GEMMS,
    OWN_GEMMS,
    activated,
    floats8,
    in_tf32,
    integers,
    layouts,
    linear,
    mma,
    stages,
    wgmma,
)
from tests.compile.cuda.conv_cases import OWN_CONVS, Conv, conv
from tests.compile.cuda.kernels import ROOT, Case
from tests.compile.cuda.ptx import CLUSTER_WAIT, WAIT, Entry, entries
from tests.compile.cuda.row_cases import ROWS, layer_norm

pytestmark = pytest.mark.compile

# A Hopper gemm takes a minute to compile; the plain kernels take seconds each.
_ROWS = [
    "softmax_block",
    "layer_norm_streamed_128",
    "softmax_columns_3",
    "argmax_columns_2",
    "embedding",
    "max_pool",
    "max_pool_2x2",
    "global_average_team_128",
    "bilinear_half_pixel_10",
    "bilinear_nchw_12",
    "run_of_4103_by_2",
    "copy_images_wide",
    "pointwise_across_77",
]
_PLAIN = [
    "linear_odd",
    "linear_f32",
    "grouped_dims",
    "broadcast",
    "dynamic_indices",
    "conv_f32",
    "conv_own_stem",
    "conv_own_shuffled",
    "depthwise",
    "depthwise_heads",
    "attention_own_packed",
]

_HOPPER_ATTENTIONS = [
    "hopper_packed_turns",
    "hopper_many_causal",
    "hopper_split_hidden",
    "hopper_shared",
]

# What is chosen at the sizes of real models: no spills in any of them.
_DEFAULTS = [
    conv("conv_56", Conv(64, 56, 56, 64, 64), block=True),
    conv("conv_14", Conv(64, 14, 14, 256, 256), block=True),
    conv("conv_one_image", Conv(1, 14, 14, 256, 256), block=True),
    conv("conv_mma", Conv(64, 14, 14, 256, 256), config="ConvAttr", block=True),
    conv(
        "conv_mma_stem", Conv(64, 224, 224, 3, 64, (7, 7), (2, 2), (3, 3, 3, 3)), config="ConvAttr"
    ),
    conv("conv_mma_f32", Conv(64, 28, 28, 128, 128), "f32", "ConvAttr", block=True),
    linear(4096, 4096, 4096, "f32", "MmaAttr", "linear_split_tf32"),
    linear(128, 768, 768, "f32", "MmaAttr", "linear_split_tf32_small"),
    linear(
        4096,
        4096,
        4096,
        "f32",
        mma((128, 128, 32), (2, 2), 3, "products = tf32"),
        "linear_tf32",
    ),
    layouts(mma((128, 128, 16), (2, 2), 4, "products = tf32x3"), (1, 4096, 4096, 4096), "f32")[4],
    linear(4096, 4096, 4096, "f16", "MmaAttr", "linear_mma"),
    in_tf32(linear(4096, 4096, 4096, "f32", "WgmmaAttr", "linear_tf32_hopper")),
    integers(4096, 4096, 4096, "WgmmaAttr", "linear_integers"),
    integers(100, 100, 100, "OwnGemmAttr", "linear_integers_anywhere"),
    *(
        floats8(*size, "WgmmaAttr", f"linear_{result}_of_f8_{size[0]}", result)
        for size in ((4096, 4096, 4096), (8192, 8192, 8192), (128, 3072, 768), (16, 4096, 4096))
        for result in ("f16", "f8E4M3FN")
    ),
    # Many sums, and many results or reads at their end
    *(
        stages(4096, 4096, 4096, wgmma(*tile, 3), results, reads_tile)
        for tile in ((128, 256, "cooperative"), (128, 128, "pingpong"), (64, 256, "pingpong"))
        for results, reads_tile in ((1, True), (2, False), (2, True), (3, False))
    ),
    # Activations in the tiles with most sums, with matrices that are added
    *(
        activated(name, 4096, 4096, 4096, wgmma(128, 192, "pingpong", 4), added)
        for name in ("gelu", "gelu_by_tanh", "silu", "tanh")
        for added in (0, 1, 2)
    ),
    *(
        activated("gelu_by_tanh", 4096, 4096, 4096, wgmma(*tile, 3))
        for tile in ((128, 128, "pingpong"), (256, 128, "cooperative"), (128, 256, "cooperative"))
    ),
    activated("gelu_by_tanh", 4096, 4096, 4096, wgmma(128, 128, "pingpong", 6), 0),
    activated("silu", 4096, 4096, 4096, wgmma(128, 192, "pingpong", 4), element="bf16"),
    *(
        activated("gelu", 4096, 4096, 4096, wgmma(*tile, 3), gated=True)
        for tile in ((64, 192, "pingpong"), (128, 96, "pingpong"), (256, 96, "cooperative"))
    ),
    # Where the matrix is read across
    activated("gelu", 128, 4096, 4096, wgmma(128, 192, "pingpong", 4, "swapped")),
    conv("conv_224", Conv(64, 224, 224, 3, 64, (7, 7), (2, 2), (3, 3, 3, 3))),
    *(
        attention(f"attention_{depth}", Heads(4, 16, 1024, 1024, depth), causal=depth == 128)
        for depth in (40, 64, 80, 128, 160, 256)
    ),
    *(
        attention(f"attention_mma_{depth}", Heads(4, 16, 1024, 1024, depth), config="AttentionAttr")
        for depth in (40, 64, 128, 256)
    ),
    attention("attention_one", Heads(1, 12, 128, 128, 64)),
    attention("attention_384", Heads(64, 12, 384, 384, 64)),
    attention("attention_decode", Heads(1, 32, 1, 8192, 128)),
    attention("attention_197", Heads(64, 12, 197, 197, 64)),
    attention("attention_77", Heads(2, 8, 4096, 77, 40)),
    attention("attention_one_query", Heads(64, 12, 1, 197, 64)),
    attention("attention_f32", Heads(8, 12, 384, 384, 64), "f32"),
    attention("attention_f32_128", Heads(1, 8, 1024, 1024, 128), "f32"),
    masked("attention_keys", Heads(64, 12, 384, 384, 64), "added", ""),
    masked("attention_keys_77", Heads(64, 12, 77, 77, 64), "shown", ""),
    packed("attention_masked", 8, 12, 384, 64, "f16", ""),
    packed("attention_mma_masked", 8, 12, 384, 64, "f16", "AttentionAttr"),
]


@dataclass(frozen=True)
class Compiled:
    """What ptxas says, and the PTX that it said it of."""

    log: str
    ptx: str


def compile_kernel(case: Case, folder: Path, text: str = "", only_device: bool = False) -> Compiled:
    """Compiles the case's translation unit, or `text` in its place. Skips without a toolchain.
    `only_device`: without the code for the host."""
    text = text or case.source()
    return compile_text(case.code_target(), case.source_name(), text, folder, only_device)


def compile_text(
    target: Target, name: str, text: str, folder: Path, only_device: bool = False
) -> Compiled:
    """Compiles a translation unit. Skips without a toolchain."""
    try:
        compiler = target.toolchain().compiler_of(name)
    except ToolchainError as error:
        pytest.skip(str(error))
    source = folder / name
    source.write_text(text)
    with TemporaryDirectory() as kept:
        command = [*compiler.arguments(), "--ptxas-options=-v", "-Werror=all-warnings"]
        command += ["--keep", f"--keep-dir={kept}"]
        command += ["-cubin" if only_device else "-c", str(source)]
        command += ["-o", str(source.with_suffix(".o"))]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (ptx,) = Path(kept).glob("*.ptx")
        return Compiled(done.stderr, ptx.read_text())


def assert_clean(compiled: Compiled, has_weights: bool = True) -> None:
    """No spills, no stack, and wgmma neither serialised nor deprived of its registers. Kernels of
    Hopper wait for those that they start beside (assert_waits)."""
    log = compiled.log
    assert "Used" in log, "ptxas reported no kernel"
    assert not re.search(r"C75\d\d", log), log
    for what in ("stack frame", "spill stores", "spill loads"):
        assert set(re.findall(rf"(\d+) bytes {what}", log)) == {"0"}, log
    if ".target sm_90a" in compiled.ptx:
        for entry in entries(compiled.ptx):
            assert_waits(entry, has_weights)


def assert_waits(entry: Entry, has_weights: bool) -> None:
    """No thread of a kernel reads or writes global memory before it has waited: itself, or with its
    cluster for those that have. Weights alone, if there are some, the copy engine brings before.

    Kernels of CUTLASS 3.x wait too, in one warp for all. Other entries of the library, as that of
    CUTLASS 2.x, must not be there: it launches them when the kernel before has ended."""
    assert entry.waits, entry.name
    if entry.name.startswith("_ZN7cutlass13device_kernel"):
        return
    assert entry.name.startswith("_ZN3ait"), entry.name
    early = [
        access.text
        for access in entry.accesses_before((WAIT, CLUSTER_WAIT))
        if not (has_weights and access.brings_tile)
    ]
    assert not early, (entry.name, early[:3])


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in (*OWN_GEMMS, *ELEMENTWISE, *ROWS, *OWN_CONVS, *OWN_ATTENTIONS)
        if case.name in [*_PLAIN, *_ROWS]
    ],
    ids=lambda case: case.name,
)
def test_plain_kernels(case: Case, tmp_path: Path) -> None:
    assert_clean(compile_kernel(case, tmp_path))


@pytest.mark.parametrize("case", _DEFAULTS, ids=lambda case: case.name)
def test_default_configs_do_not_spill(case: Case, tmp_path: Path) -> None:
    assert_clean(compile_kernel(case, tmp_path))


def test_blocks_of_long_rows_leave_room_for_a_second_one(tmp_path: Path) -> None:
    """A norm that stores the sum too: one block waits while the other moves."""
    case = layer_norm(2048, 16384)
    compiled = compile_kernel(case, tmp_path)
    assert_clean(compiled)
    (registers,) = map(int, re.findall(r"Used (\d+) registers", compiled.log))
    (threads,) = map(int, re.findall(r"kTeam = (\d+)", case.source()))
    assert 2 * threads * registers <= 1 << 16


@pytest.mark.parametrize(
    "case",
    [case for case in HOPPER_ATTENTIONS if case.name in _HOPPER_ATTENTIONS],
    ids=lambda case: case.name,
)
def test_hopper_attention(case: Case, tmp_path: Path) -> None:
    assert_clean(compile_kernel(case, tmp_path))


@pytest.mark.parametrize(
    "case",
    [case for case in HOPPER_GEMMS if case.name in ("all_leaves", "linear_stream_k")],
    ids=lambda case: case.name,
)
def test_hopper_gemm_of_cutlass(case: Case, tmp_path: Path) -> None:
    """One with every kind of operand, and one that shares steps along k."""
    assert_clean(compile_kernel(case, tmp_path))


@pytest.mark.parametrize(
    "case",
    [case for case in A100_GEMMS if case.name in ("a100_all_leaves", "a100_linear_split")],
    ids=lambda case: case.name,
)
def test_a100_gemm(case: Case, tmp_path: Path) -> None:
    """Device code alone: PTX is compiled for the device, the host's half is left out."""
    assert_clean(compile_kernel(case, tmp_path, only_device=True))


def test_missing_nvcc_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIT_NVCC", "/nowhere/nvcc")
    with pytest.raises(ToolchainError, match="AIT_NVCC=/nowhere/nvcc"):
        toolchain.find("sm_90a")


def test_missing_cutlass_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIT_CUTLASS", str(tmp_path))
    with pytest.raises(ToolchainError, match="AIT_CUTLASS"):
        toolchain.find_cutlass()
    monkeypatch.delenv("AIT_CUTLASS")
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    with pytest.raises(ToolchainError, match="ait setup cuda"):
        toolchain.find_cutlass()
    (part,) = (part for part in toolchain.describe() if part.name == "CUTLASS")
    assert part.is_missing and "ait setup cuda" in part.detail


def test_launches_depend_on_each_other_unless_they_must_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kernels are launched early, and wait, or neither: never the one without the other."""
    flags = {"-DAIT_CUDA_DEPENDENT_LAUNCH", "-DCUTLASS_ENABLE_GDC_FOR_SM90"}
    for chosen, architecture, expected in (
        (None, "sm_90a", flags),
        ("1", "sm_90a", flags),
        ("0", "sm_90a", set[str]()),
        ("1", "sm_80", set[str]()),
    ):
        monkeypatch.delenv("AIT_DEPENDENT_LAUNCH", raising=False)
        if chosen is not None:
            monkeypatch.setenv("AIT_DEPENDENT_LAUNCH", chosen)
        assert flags.intersection(toolchain.architecture_flags(architecture)) == expected
    monkeypatch.setenv("AIT_DEPENDENT_LAUNCH", "no")
    with pytest.raises(ToolchainError, match="AIT_DEPENDENT_LAUNCH=no: it is 0 or 1"):
        toolchain.find("sm_90a")


def test_every_launch_goes_through_one_function() -> None:
    """gpu::launch_in_clusters, which the emulation holds to launching early; and CUTLASS launches
    what it has a kernel for that waits."""
    code = [*(ROOT / "codegen/cuda").rglob("*.[hj]*"), *(ROOT / "codegen/gpu").rglob("*.[hj]*")]
    texts = {path.name: path.read_text() for path in code}
    assert {name for name, text in texts.items() if re.search("<<<|cudaLaunch[A-Z]", text)} == {
        "gpu.hpp"
    }
    by_library = {name for name, text in texts.items() if "cutlass/gemm/device/" in text}
    assert by_library == {"gemm_sm90.hpp"}
    launches = re.findall(r"adapter\.run\((.*?)\)", texts["gemm_sm90.hpp"])
    assert launches == ["stream, nullptr, gpu::kDependentLaunch"]


def test_kernels_of_our_own_compile_without_cutlass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIT_CUTLASS", raising=False)
    with_cutlass = toolchain.find("sm_90a")
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    without = toolchain.find("sm_90a")
    own, cutlass = "kernel.cu", f"kernel{toolchain.CUTLASS_SUFFIX}"
    # Objects of our own kernels are shared by machines with and without it.
    assert without.compiler_of(own) == with_cutlass.compiler_of(own)
    assert without.compiles(own) and not without.compiles(cutlass)
    with pytest.raises(ToolchainError, match="CUTLASS headers are missing: run `ait setup cuda`"):
        without.compiler_of(cutlass)


@pytest.mark.parametrize("case", [*OWN_GEMMS, *A100_GEMMS], ids=lambda case: case.name)
def test_sources_that_include_cutlass_say_so_by_their_name(case: Case) -> None:
    includes_it = '#include "ait/cuda/gemm_sm' in case.source()
    assert case.source_name().endswith(toolchain.CUTLASS_SUFFIX) == includes_it
