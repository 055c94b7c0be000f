"""What bedev itself takes for a turn, beside model and tools: `python benchmarks/turns.py [--turns 200]`.

A whole run on the Laravel example with small data, driven through the real protocol by a scripted server
that answers at once: each turn reads a file or runs a command. Printed: milliseconds per turn of the loop
without model and tools (goal 25), of the client with its protocol, of the tools; the growth of both from the
first to the last fifth of the turns; and the most memory that the process held (goal below 200 MB).
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "agent" / "models"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=200)
    turns: int = parser.parse_args().turns
    folder = Path(tempfile.mkdtemp(prefix="bedev-turns-"))
    try:
        measure(folder, turns)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(folder: Path, turns: int) -> None:
    from bedev.agent import driven, loop
    from bedev.agent.models.claude import Claude
    from bedev.agent.requests import FixRequest
    from bedev.agent.run import fix
    from bedev.agent.screen import PlainScreen
    from bedev.agent.settings import load
    from bedev.tools.scenarios.scenario import from_flags
    from scripted import Server, say, tool

    calls: list[dict[str, float]] = []
    clock = {"model": 0.0, "tool": 0.0}
    plain_reply, plain_tools, plain_answer = Claude.reply, driven.all_tools, loop.Conversation.answer

    def reply(self: Claude, *args: Any, **words: Any) -> Any:
        began = time.monotonic()
        try:
            return plain_reply(self, *args, **words)
        finally:
            clock["model"] += time.monotonic() - began

    def timed(run: Any) -> Any:
        def call(context: Any, given: Any) -> Any:
            began = time.monotonic()
            try:
                return run(context, given)
            finally:
                clock["tool"] += time.monotonic() - began

        call.__module__ = run.__module__
        return call

    def answer(self: Any, notice: str = "") -> None:
        plain_answer(self, notice)
        now = time.monotonic()
        calls.append({**clock, "now": now})
        clock.update(model=0.0, tool=0.0)

    def script(body: dict[str, Any]) -> Any:
        turn = sum(m["role"] == "assistant" for m in body["messages"])
        if turn >= turns:
            return say("That is all.")
        if turn % 2:
            return tool("run_command", {"command": f"seq 1 {turn}"})
        return tool("read_file", {"path": "app/Http/Controllers/UserController.php"})

    Claude.reply = reply  # type: ignore[method-assign]
    loop.Conversation.answer = answer  # type: ignore[method-assign]
    driven.all_tools = lambda: tuple(  # type: ignore[assignment]
        dataclasses.replace(t, run=timed(t.run)) for t in plain_tools()
    )
    repository = make_repository(folder)
    os.environ["BEDEV_STATE_DIR"] = str(folder / "state")
    with Server(reply=script) as server:
        os.environ.update(
            ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY="scripted", BEDEV_MODEL_PROFILE="anthropic"
        )
        request = FixRequest(
            task="slow users query",
            repo=repository,
            scenario=from_flags(("GET /api/users?email=a%40b.example",), (), (), "", (), {}, ""),
            rows={"users": 5000, "orders": 10000},
            allow_images=("debian:trixie-slim",),
            settings=load({"max_turns": turns + 5, "max_tokens": 10**9}, {}),
        )
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            fix(request, PlainScreen(nowhere))
    show(calls)


def show(calls: list[dict[str, float]]) -> None:
    own = [
        (later["now"] - earlier["now"] - later["model"] - later["tool"]) * 1000
        for earlier, later in itertools.pairwise(calls)
    ]
    rows = {
        "the loop itself": own,
        "client and protocol": [c["model"] * 1000 for c in calls],
        "tools": [c["tool"] * 1000 for c in calls],
    }
    print(f"{len(calls)} turns{'':<16}{'median':>9}{'p95':>9}{'first fifth':>13}{'last fifth':>12}   ms")
    for name, figures in rows.items():
        fifth = max(1, len(figures) // 5)
        first, last = statistics.median(figures[:fifth]), statistics.median(figures[-fifth:])
        p95 = statistics.quantiles(figures, n=20)[-1]
        print(f"{name:<25}{statistics.median(figures):>9.1f}{p95:>9.1f}{first:>13.1f}{last:>12.1f}")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"most memory, MB (goal below 200)": round(most, 1)}))


def make_repository(folder: Path) -> Path:
    """The example in a repository of its own."""
    target = folder / "shop"
    shutil.copytree(ROOT / "examples" / "laravel-slow-users", target, ignore=shutil.ignore_patterns("vendor"))
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@example.invalid")
    for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "base")):
        subprocess.run(["git", "-C", str(target), *words], check=True)
    return target


if __name__ == "__main__":
    main()
