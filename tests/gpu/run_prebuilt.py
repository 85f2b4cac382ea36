"""Runs prebuilt test kernels on a GPU and compares; needs NumPy and a driver, nothing of ait.

    python run_prebuilt.py [FOLDER] [NAME...] [--repeats N]

Prints a line a kernel and exits 1 if one is wrong. See build_kernels.py. `--repeats`: launches
after the first, which must give the same bits, and are timed.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_REPEATS = 50
# Twice the rounding of the storage type; sums of f32 are in another order than the reference's.
_TOLERANCES = {"float16": 2.0**-9, "bfloat16": 2.0**-6, "float32": 2e-5, "float8_e4m3fn": 2.0**-3}


def run_case(folder: Path, case: dict[str, Any], repeats: int) -> tuple[str, float]:
    """An error, or an empty text, and the microseconds of a launch."""
    data = np.load(folder / f"{case['name']}.npz")
    library = ctypes.CDLL(str(folder / f"{case['name']}.so"))
    arrays = {name: np.ascontiguousarray(data[f"in_{name}"]) for name, _ in case["operands"]}
    count, outs = len(arrays), case["outs"]
    pointers = (ctypes.c_void_p * count)(*(a.ctypes.data for a in arrays.values()))
    sizes = (ctypes.c_int64 * count)(*(a.nbytes for a in arrays.values()))
    extents = (ctypes.c_int64 * max(1, len(case["extents"])))(*case["extents"])
    microseconds = ctypes.c_float(0)
    message = ctypes.create_string_buffer(1000)
    code = library.run_case(
        count, pointers, sizes, count - len(outs), extents, repeats,
        ctypes.byref(microseconds), message,
    )  # fmt: skip
    if case["error"]:
        raised = message.value.decode()
        return "" if raised == case["error"] else f"{raised!r}, not {case['error']!r}", 0.0
    if code:
        return f"error {code}: {message.value.decode()}", 0.0
    types = dict(case["operands"])
    problems = [difference(arrays[n], data[f"out_{n}"], types[n]) for n in outs]
    return "; ".join(filter(None, problems)), microseconds.value


def difference(actual: np.ndarray, expected: np.ndarray, dtype: str) -> str:
    """How two arrays differ, or an empty text."""
    expected = expected.reshape(actual.shape)
    if dtype not in _TOLERANCES:
        wrong = actual != expected
    else:
        actual, expected = number(actual, dtype), number(expected, dtype)
        tolerance = _TOLERANCES[dtype]
        wrong = ~np.isclose(actual, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not wrong.any():
        return ""
    first = np.argwhere(wrong)[0] if wrong.ndim else ()
    at = tuple(int(i) for i in first)
    return f"{wrong.sum()} of {wrong.size} wrong, first {at}: {actual[at]}, not {expected[at]}"


def number(array: np.ndarray, dtype: str) -> np.ndarray:
    """Floats of any storage type; those that NumPy does not know come as their bits."""
    if dtype == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    if dtype == "float8_e4m3fn":
        exponent, mantissa = array >> 3 & 15, array.astype(np.float32) % 8
        normal = exponent > 0
        size = np.ldexp(mantissa + 8 * normal, np.where(normal, exponent.astype(np.int32), 1) - 10)
        return np.where(array & 127 == 127, np.nan, np.where(array > 127, -size, size))
    return array.astype(np.float32)


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """What the command line says. Raises SystemExit if it cannot be understood."""
    parser = argparse.ArgumentParser(description="run prebuilt test kernels on a GPU")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("names", nargs="*", help="(default: all)")
    parser.add_argument("--repeats", type=int, default=_REPEATS)
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str]) -> int:
    options = options_of(arguments)
    folder, wanted = options.folder, options.names
    failed = 0
    for case in json.loads((folder / "cases.json").read_text()):
        if wanted and case["name"] not in wanted:
            continue
        problem, microseconds = run_case(folder, case, options.repeats)
        failed += bool(problem)
        print(f"{case['name']:24} {microseconds:9.2f} us  {problem or 'ok':40} {case['config']}")
    print(f"{failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
