"""Where the time of a whole judgement goes: `.venv/bin/python benchmarks/gate.py [--rows R]`.

Makes a repository from the example, fixes it with the advisor, and verifies the branch twice (the second
time everything that can be cached is). The goal is 90 s for the gate, warm, at 200,000 and 1,000,000 rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bedev.agent.commands.demo import example_folder, make_repository


def bedev(folder: Path, *words: str) -> tuple[dict[str, Any], float]:
    """One command with --json, and its wall seconds."""
    began = time.monotonic()
    command = [str(Path(sys.executable).with_name("bedev")), *words, "--repo", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(done.stderr[-2000:])
    document: dict[str, Any] = json.loads(done.stdout)
    return document, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="users=200000,orders=1M")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as place:
        folder = make_repository(example_folder(), Path(place) / "shop")
        fixed, seconds = bedev(folder, "fix", "slow users query", "--rows", rows)
        print(f"fix       {fixed['outcome']:<10} {seconds:7.1f} s   {fixed['message'].splitlines()[0]}")
        for name in ("verify 1", "verify 2"):
            judged, seconds = bedev(folder, "verify", fixed["branch"], "--rows", rows)
            print(f"{name:<9} {judged['outcome']:<10} {seconds:7.1f} s")
        parts = judged["proof"]["environment"]["seconds"]
        for part, took in sorted(parts.items(), key=lambda item: -item[1]):
            if took >= 0.1:
                print(f"  {part:<24}{took:7.1f} s")


if __name__ == "__main__":
    main()
