"""The command line; see the package."""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.environment import RESULTS, environment
from benchmarks.errors import is_exact
from benchmarks.kernels import __doc__ as about
from benchmarks.kernels.build import build, libraries_of
from benchmarks.kernels.case import Bar
from benchmarks.kernels.cases import BARS, CASES
from benchmarks.manifest import compile_seconds, facts_of


def main() -> None:
    """Builds, or measures and writes the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kernels",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="compile libraries and stop")
    parser.add_argument("--libraries", type=Path, metavar="FOLDER", help="measure such libraries")
    parser.add_argument("--group", action="append", choices=list(BARS), help="(default: all)")
    parser.add_argument("--case", action="append", choices=list(CASES), metavar="NAME")
    parser.add_argument("--target", default="cuda:sm_90a")
    parser.add_argument("--seconds", type=float, default=0.2, help="of timing a case, about")
    parser.add_argument(
        "--output", type=Path, help="(default: benchmarks/results/kernels_GPU.json)"
    )
    options = parser.parse_args()
    titles = [
        title
        for title, case in CASES.items()
        if (not options.group or case.group in options.group)
        and (not options.case or title in options.case)
    ]
    if options.build is not None:
        build(titles, options.build, options.target)
    elif options.libraries is not None:
        measure_all(libraries_of(titles, options.libraries), options)
    else:
        parser.error("one of --build and --libraries is needed")


def measure_all(titles: Sequence[str], options: argparse.Namespace) -> None:
    """Measures cases one after the other, prints a table and writes the results."""
    from benchmarks.kernels.measure import measure

    compile_s = compile_seconds(options.libraries)
    facts = {**environment(), **facts_of(options.libraries)}
    output = options.output or RESULTS / f"kernels_{short_name(facts['device'])}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    kept = kept_rows(output, facts, titles)
    rows: list[dict[str, Any]] = []
    print(f"{'':28}{'ait us':>10}{'rival us':>10}{'ratio':>7}  {'errors':18}  rival")
    with tempfile.TemporaryDirectory() as scratch:
        for title in titles:
            case = CASES[title]
            library = options.libraries / case.file_name
            found = measure(case, library, Path(scratch), options.seconds)
            for measurement in found:
                row = {"case": title, "group": case.group, **vars(measurement)}
                if measurement.engine == "ait":
                    row["compile_s"] = compile_s[title]
                    row["kernels"] = kernels_of(library)
                rows.append({key: value for key, value in row.items() if value not in (None, "")})
            print(line(title, rows), flush=True)
            # Written after each case: a run that is stopped has not measured for nothing.
            output.write_text(json.dumps({**facts, "rows": kept + rows}, indent=1) + "\n")
    for group, bar in BARS.items():
        text = summary(group, bar, rows)
        if text:
            print(text)
    print(f"wrote {output}")


def kept_rows(
    output: Path, facts: Mapping[str, Any], titles: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows that a file has of other cases, if they are of the same device, versions and commit."""
    if not output.is_file():
        return []
    known = json.loads(output.read_text())
    if any(known.get(name) != value for name, value in facts.items() if name != "date"):
        return []
    return [row for row in known["rows"] if row["case"] not in titles]


def short_name(device: str) -> str:
    """ "NVIDIA H100 80GB HBM3" -> "h100"."""
    words = device.lower().replace("nvidia", "").split()
    return words[0] if words else "gpu"


def kernels_of(library: Path) -> list[str]:
    """What a library launches."""
    from ait.runtime.inspect import read_metadata

    return [kernel["config"] for kernel in read_metadata(library)["kernels"]]


# Tables ---------------------------------------------------------------------------------------


def best_rival(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The fastest of a case's rows that are not ours."""
    timed = [row for row in rows if row["engine"] != "ait" and "median_ms" in row]
    return min(timed, key=lambda row: row["median_ms"], default=None)


def compared(
    title: str, rows: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """Our row of a case and that of its fastest rival."""
    own = [row for row in rows if row["case"] == title]
    return next(row for row in own if row["engine"] == "ait"), best_rival(own)


def line(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """A case's line of the table."""
    ours, rival = compared(title, rows)
    if "median_ms" not in ours:
        return f"{title:28}FAILED: {ours['failure']}"
    text = f"{title:28}{ours['median_ms'] * 1e3:10.2f}"
    if rival is None:
        return f"{text}  no rival ran"
    text += f"{rival['median_ms'] * 1e3:10.2f}{rival['median_ms'] / ours['median_ms']:7.2f}  "
    text += f"{ours['max_error']:.1e} {rival['max_error']:.1e}  {rival['engine']}"
    return text + ("" if is_exact(ours, rival) else "  ERROR TOO LARGE")


def summary(group: str, bar: Bar, rows: Sequence[Mapping[str, Any]]) -> str:
    """A group's geometric mean and worst ratio beside its bars; empty for a group without rows."""
    titles = list(dict.fromkeys(row["case"] for row in rows if row["group"] == group))
    ratios: dict[str, float] = {}
    failed: list[str] = []
    for title in titles:
        ours, rival = compared(title, rows)
        if "median_ms" not in ours or (rival is not None and not is_exact(ours, rival)):
            failed.append(title)
        elif rival is not None:
            ratios[title] = rival["median_ms"] / ours["median_ms"]
    if not titles:
        return ""
    parts = [f"{group}: {len(titles)} cases"]
    if failed:
        parts.append(f"FAILED or wrong: {', '.join(failed)}")
    if ratios:
        geomean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        worst = min(ratios, key=lambda title: ratios[title])
        parts.append(f"geomean {geomean:.3f}{verdict(geomean, bar.geomean)}")
        parts.append(f"worst {ratios[worst]:.3f} ({worst}){verdict(ratios[worst], bar.worst)}")
    return ", ".join(parts)


def verdict(value: float, least: float | None) -> str:
    """How a value stands to its bar."""
    if least is None:
        return ""
    return f" (bar {least}: {'met' if value >= least else 'MISSED'})"


if __name__ == "__main__":
    main()
