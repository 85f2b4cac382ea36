"""What the numbers of a benchmark belong to."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def commit() -> str:
    """The commit that is checked out here; "unknown" outside of a repository."""
    return _git("rev-parse", "HEAD") or "unknown"


def _git(*arguments: str) -> str:
    """What git says about this repository; nothing outside of one."""
    try:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def host(*packages: str) -> dict[str, Any]:
    """The processor, how many of its cores this process may use and how busy they are, versions
    (of `packages` too), the commit, whether files differ from it, and the day. To be asked before
    a benchmark adds its own load."""
    import ait
    from ait.codegen.build import usable_cores  # where libraries only run, there may be no xDSL

    return {
        "processor": processor(),
        "cores": usable_cores(),
        "load_before": os.getloadavg()[0],
        "versions": {
            "python": platform.python_version(),
            "ait": ait.__version__,  # it need not be installed
            **{name: version(name) for name in ("xdsl", *packages)},
        },
        "commit": commit(),
        "uncommitted_changes": bool(_git("status", "--porcelain")),
        "date": time.strftime("%Y-%m-%d"),
    }


def processor() -> str:
    """The processor's name, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


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


@contextmanager
def variables(values: Mapping[str, str]) -> Generator[None]:
    """Environment variables of this process and of those that it starts; as before, then."""
    before = {name: os.environ.get(name) for name in values}
    os.environ |= values
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def write_results(
    path: Path, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any] | None = None
) -> None:
    """Writes rows with what they belong to: the environment, and `facts` in place of what that has.

    Called after each case: a run that is stopped has not measured for nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    results = {**environment(), **(facts or {}), "rows": rows}
    path.write_text(json.dumps(results, indent=2) + "\n")
