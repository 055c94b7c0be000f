"""CPU seconds of `bedev --help`, beside Python that does nothing: `.venv/bin/python benchmarks/startup.py`.

The goal is 0.2 s of CPU; the ratio to a bare interpreter is what stays comparable between machines.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

RUNS = 7


def cpu_seconds(command: list[str]) -> float:
    """User and system seconds of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    bedev = str(Path(sys.executable).with_name("bedev"))
    commands = {"python -c pass": [sys.executable, "-c", "pass"], "bedev --help": [bedev, "--help"]}
    figures = {name: [cpu_seconds(command) for _ in range(RUNS)] for name, command in commands.items()}
    bare = statistics.median(figures["python -c pass"])
    print(f"{'command':<18}{'median':>9}{'min':>9}{'max':>9}{'ratio':>8}   CPU seconds, {RUNS} runs")
    for name, seconds in figures.items():
        middle = statistics.median(seconds)
        print(f"{name:<18}{middle:>9.3f}{min(seconds):>9.3f}{max(seconds):>9.3f}{middle / bare:>8.1f}")


if __name__ == "__main__":
    main()
