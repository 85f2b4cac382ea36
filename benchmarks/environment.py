"""What the numbers of a benchmark on a GPU belong to."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def commit() -> str:
    """The commit that is checked out here; "unknown" outside of a repository."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        found = ""
    return found or "unknown"


def environment() -> dict[str, Any]:
    """The GPU and its driver, versions, the commit and the day. Needs PyTorch and a GPU."""
    import torch  # pyright: ignore[reportMissingImports]

    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    drivers = subprocess.run(query, capture_output=True, text=True).stdout.split()
    return {
        "device": torch.cuda.get_device_name(),
        "driver": drivers[0] if drivers else "",  # one line a GPU, all the same
        "versions": {
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        },
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def write_results(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows with what they belong to. Called after each case: a run that is stopped has not
    measured for nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**environment(), "rows": rows}, indent=2) + "\n")
