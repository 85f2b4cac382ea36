"""The test kernels on a GPU under the tools of compute-sanitizer.

    pip install nvidia-cuda-sanitizer-api==13.0.85          (or a CUDA toolkit on the PATH)
    python -m tests.gpu.sanitize [FOLDER] [--tool racecheck] [--kernel NAME]

FOLDER is one of build_kernels.py, and built anew if not given. Needs no xDSL where it is. memcheck
finds accesses out of bounds or misaligned, initcheck reads of global memory that nothing has
written, racecheck unordered accesses to shared memory. Prints what they find and exits 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

TOOLS = ("memcheck", "initcheck", "racecheck")
_RUNNER = Path(__file__).parent / "run_prebuilt.py"
# A kernel runs up to a thousand times slower than without, so it runs only once or twice.
_REPEATS = 1
_SHOWN_LINES = 60


def find_sanitizer() -> str | None:
    """compute-sanitizer on the PATH or among the packages of this Python."""
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    places = sorted(str(path) for path in packages.glob("cu*/bin"))
    return shutil.which("compute-sanitizer", path=os.pathsep.join([os.environ["PATH"], *places]))


def sanitize(sanitizer: str, tool: str, folder: Path, names: Sequence[str]) -> bool:
    """Runs kernels under a tool; says whether it found nothing and all results were right."""
    command = [sanitizer, "--tool", tool, "--error-exitcode", "3", "--print-limit", "20"]
    command += [sys.executable, str(_RUNNER), str(folder), *names, "--repeats", str(_REPEATS)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    clean = done.returncode == 0
    summary = next((line for line in reversed(lines) if "SUMMARY" in line), "no summary")
    print(f"{tool}: {'clean' if clean else 'FAILED'}: {summary.strip('= ')}", flush=True)
    if not clean:
        told = [line for line in lines if line.startswith("=") or not line.endswith("ok")]
        print("\n".join(told[:_SHOWN_LINES]), flush=True)
    return clean


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="run the test kernels under compute-sanitizer")
    parser.add_argument("folder", nargs="?", type=Path, help="of build_kernels.py")
    parser.add_argument("--tool", action="append", choices=TOOLS, help="(default: all)")
    parser.add_argument("--kernel", action="append", default=[], help="(default: all)")
    options = parser.parse_args(arguments)
    sanitizer = find_sanitizer()
    if sanitizer is None:
        print("compute-sanitizer is missing: pip install nvidia-cuda-sanitizer-api==13.0.85")
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder
        if folder is None:
            from tests.gpu.build_kernels import all_cases, build

            folder = Path(scratch)
            build(folder, all_cases(), jobs=os.cpu_count() or 1)
        results = [sanitize(sanitizer, t, folder, options.kernel) for t in options.tool or TOOLS]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
