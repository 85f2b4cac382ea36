"""What build_*.py compile runs on a GPU, against the interpreter: single kernels, whole models
through the C interface and the Python loader, and random programs, of a new seed each time.

An environment variable names a folder of each that was made before, for a machine that cannot
compile.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not any(Path("/dev").glob("nvidia[0-9]*")), reason="needs an NVIDIA GPU"),
]
_MOST_SECONDS = 600


def _kernels(folder: Path, seed: int) -> None:
    from tests.gpu.build_kernels import all_cases, build

    print(f"inputs of build_kernels --seed {seed}")
    build(folder, all_cases(), jobs=os.cpu_count() or 1, seed=seed)


def _models(folder: Path, seed: int) -> None:
    from tests.gpu.build_models import build

    print(f"inputs and replaced weights of build_models --seed {seed}")
    build(folder, seed=seed)


def _programs(folder: Path, seed: int) -> None:
    from tests.gpu.build_programs import COUNT, NETWORKS, build

    print(f"programs of build_programs {COUNT} {seed} {NETWORKS}")
    build(folder, COUNT, seed, NETWORKS)


@pytest.mark.parametrize(
    ("runner", "variable", "build"),
    [
        pytest.param("run_prebuilt.py", "AIT_PREBUILT", _kernels, id="kernels"),
        pytest.param("run_models.py", "AIT_PREBUILT_MODELS", _models, id="models"),
        pytest.param("run_programs.py", "AIT_PREBUILT_PROGRAMS", _programs, id="programs"),
    ],
)
def test_gpu_matches_the_interpreter(
    runner: str, variable: str, build: Callable[[Path, int], None], tmp_path: Path
) -> None:
    folder = Path(os.environ.get(variable) or tmp_path)
    if folder == tmp_path:
        build(folder, secrets.randbits(32))
    # In a process of its own, which a faulting kernel may take.
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / runner), str(folder)],
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
