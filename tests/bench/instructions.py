"""What a call costs in instructions, which are the same on a busy machine.

Each part of ``sidewinder-bench --counted`` runs twice under valgrind's callgrind, with
few calls and with many: the difference is what the calls cost. The figures are held
against those of ``instructions.json``; more than the tolerance above them is a
failure, and below them a reason to write them anew.

Instructions are those of this compiler and these crates on x86-64. Elsewhere nothing is
judged, and the ratio of our edge to tonic's bare server still says something.

    python3 tests/bench/instructions.py BENCH [--write]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

KNOWN = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.05
CALLS = {
    "core": (1_000, 11_000),
    "crowd": (1_000, 11_000),
    "wire": (100, 1_100),
    "edge": (100, 1_100),
    "bare": (100, 1_100),
}
SUMMARY = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def counted(bench: str, part: str, times: int) -> int:
    """The instructions of a whole run."""
    with tempfile.TemporaryDirectory() as directory:
        found = Path(directory, "callgrind")
        command = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={found}"]
        command += [bench, "--counted", part, "--times", str(times)]
        # A place for a socket asks which binary it is for.
        environment = {**os.environ, "SIDEWINDER_BIN": bench}
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"{part}: valgrind ended with status {done.returncode}\n{done.stderr}")
        summary = SUMMARY.search(found.read_text())
    if summary is None:
        sys.exit(f"{part}: valgrind counted nothing")
    return int(summary[1])


def each(bench: str, part: str) -> float:
    """The instructions of one call."""
    few, many = CALLS[part]
    return (counted(bench, part, many) - counted(bench, part, few)) / (many - few)


def judge(figures: dict[str, float], known: dict[str, float]) -> list[str]:
    """What costs more than it did."""
    return [
        f"{part}: {figure:.0f} instructions a call, and {known[part]:.0f} are known"
        for part, figure in figures.items()
        if part in known and figure > known[part] * (1 + TOLERANCE)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bench", help="the program that does the work")
    parser.add_argument("--write", action="store_true", help="these are the known figures from now on")
    options = parser.parse_args()
    figures = {part: each(options.bench, part) for part in CALLS}
    known: dict[str, float] = json.loads(KNOWN.read_text()) if KNOWN.exists() else {}
    for part, figure in figures.items():
        beside = f"{figure / known[part]:5.2f} x of what is known" if part in known else ""
        print(f"{part:<6} {figure:>10,.0f} instructions a call  {beside}")
    print(f"edge beside bare tonic, each with its client: {figures['edge'] / figures['bare']:.2f} x")
    flat = figures["crowd"] / figures["core"]
    print(f"the core with 200 workers and 1,000 calls in the line beside 4 and none: {flat:.2f} x")
    if options.write:
        KNOWN.write_text(
            json.dumps({part: round(figure) for part, figure in figures.items()}, indent=2) + "\n"
        )
    elif platform.machine() == "x86_64":
        worse = judge(figures, known)
        if worse:
            sys.exit(
                "\n".join([*worse, "If that is worth it, say `make check-perf WRITE=--write` and commit."])
            )


if __name__ == "__main__":
    main()
