"""The same task for the same model, with one `bash` tool and nothing else: what bedev is compared with.

    ANTHROPIC_BASE_URL=... ANTHROPIC_API_KEY=... python benchmarks/plain_loop.py REPO "TASK" \
        [--http 'GET /path' | --scenario CMD] [--rows users=200000,orders=1000000] [--max-turns 40]

The application comes up in the same kind of pod with the same data; the model gets the task, the
request and a shell, works until it says that it is done, and the gate judges
what it left. Printed as one JSON object: turns, tokens, seconds, verdict.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bedev.agent.budget import Budget, Limits
from bedev.agent.models.model import Request
from bedev.agent.models.select import select
from bedev.agent.screen import make_screen
from bedev.agent.settings import load
from bedev.agent.stage import judge
from bedev.agent.subject import open_subject, repository_of
from bedev.sandboxes.application import Application
from bedev.sandboxes.data import DataWish, make_data
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.set_up import bring_up
from bedev.tools.database.grow import grow_database
from bedev.tools.database.growth import parse_rows
from bedev.tools.scenarios.scenario import from_flags
from bedev.tools.workbench import Workbench

SYSTEM = (
    "You are a senior backend developer. You work on a repository with a shell. There is no network. When "
    "the task is done, answer in plain text without a tool call."
)
BASH = {
    "name": "bash",
    "description": "Run a command in a fresh bash in the repository's top folder; returns stdout and stderr.",
    "input_schema": {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
        "additionalProperties": False,
    },
}
SHOWN = 16_000


def main() -> int:
    given = arguments()
    screen = make_screen()
    began = time.monotonic()
    repository = repository_of(given.repo)
    base = repository.resolve("HEAD")
    repository.import_commits(base)
    subject = open_subject(
        repository,
        base,
        path="",
        engine="",
        sandbox="docker",
        settings=load({}),
        allow_images=tuple(given.allow_image),
    )
    scenario = from_flags(given.http, given.scenario, (), given.as_user, (), {}, "")
    sandbox = DockerSandbox("plain-loop")
    try:
        brought = bring_up(
            sandbox,
            subject.stack,
            subject.engine,
            subject.recipe,
            subject.tree.id,
            subject.tree.files,
            subject.access,
            screen.detail,
        )
        wish = DataWish(rows=parse_rows(given.rows) if given.rows else {})
        facts = make_data(brought, wish, grow_database, screen.detail)

        def open_application(edits: Any) -> Application:
            return Application.open(brought, facts.key, screen.detail, edits=edits)

        assert scenario is not None
        bench = Workbench(open_application=open_application, base=subject.tree, scenario=scenario)
        outcome = converse(given, bench, subject)
        bench.scan()
        edits = dict(bench.edits)
        bench.close()
        outcome["verdict"], outcome["headline"] = "nothing changed", ""
        if edits:
            tree = repository.write_tree(base, subject.edits(edits))
            proof = judge(subject, brought, wish, tree, scenario, "faster", screen)
            outcome["verdict"], outcome["headline"] = proof.verdict, proof.headline
    finally:
        sandbox.close()
    outcome["seconds"] = round(time.monotonic() - began, 1)
    json.dump(outcome, sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


def converse(given: argparse.Namespace, bench: Workbench, subject: Any) -> dict[str, Any]:
    """The whole loop: one tool, no budget but turns."""
    model = select(given.model, os.environ)
    if model is None:
        raise SystemExit("no model: set ANTHROPIC_API_KEY (and ANTHROPIC_BASE_URL)")
    questions = "; ".join(q.text for q in bench.scenario.questions)
    user = f" as {bench.scenario.as_user}" if bench.scenario.as_user else ""
    opening = (
        f"Task: {given.task}\nIt shows with: {questions}{user}\n"
        f"{subject.stack.title} on {subject.engine.title}; the database runs and is filled, .env says how to "
        f"reach it. Tests: {subject.recipe.test.replace('{junit}', '/tmp/junit.xml')}\n"
        "Make it faster without changing what it answers; a migration that you add must have a down side. "
        "Do not change existing tests."
    )
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": opening}]}]
    budget = Budget(Limits(turns=given.max_turns, usd=None), model.price)
    words = ""
    for _ in range(given.max_turns):
        room = budget.reserve(0)
        reply = model.reply(Request(SYSTEM, (BASH,), messages, room), lambda text: None)
        budget.settle(reply.usage)
        messages.append({"role": "assistant", "content": list(reply.content)})
        if not reply.tool_uses:
            words = reply.text
            break
        results = []
        for block in reply.tool_uses:
            result = bench.app.run(str(block["input"].get("command", "")), timeout=300)
            text = "\n".join(filter(None, (result.stdout.text, result.stderr.text)))
            if len(text) > SHOWN:
                text = f"{text[: SHOWN // 2]}\n[... cut ...]\n{text[-SHOWN // 2 :]}"
            results.append(
                {"type": "tool_result", "tool_use_id": block["id"], "content": text or "(no output)"}
            )
        messages.append({"role": "user", "content": results})
    spent = budget.spent
    return {
        "turns": spent.turns,
        "tokens": spent.tokens,
        "output_tokens": spent.output_tokens,
        "words": words,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repo", type=Path)
    parser.add_argument("task")
    parser.add_argument("--http", action="append", default=[])
    parser.add_argument("--scenario", action="append", default=[])
    parser.add_argument("--as", dest="as_user", default="")
    parser.add_argument("--rows", action="append", default=[])
    parser.add_argument("--model", default="")
    parser.add_argument("--max-turns", type=int, default=40)
    parser.add_argument("--allow-image", action="append", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
