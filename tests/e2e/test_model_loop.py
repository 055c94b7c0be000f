"""Whole runs that a model drives: a scripted server speaks the real protocol, all else is real.

What the scripted model answers depends on the conversation alone, so that a run which was killed and
resumed hears the same as one that was not.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bedev.sandboxes.docker_engine import RUN_LABEL
from bedev.sandboxes.docker_pod import docker_engine_status
from renamed_shop import git, index_migration, make_shop, text_at

sys.path.append(str(Path(__file__).parents[1] / "agent" / "models"))
import itertools

from scripted import Answer, Server, cut, drop, err, refusal, reply, say, tool, tool_use, tools

pytestmark = [pytest.mark.docker, pytest.mark.e2e]

SCENARIO = "GET /api/members?contact=paul.garcia1@example.org"
CONTROLLER = "app/Http/Controllers/MemberController.php"
(MIGRATION, MIGRATION_TEXT), *_ = index_migration("members", ["contact"]).items()
MINUTES = 6 * 60
PROPOSAL = {
    "title": "Index members by contact",
    "cause": "GET /api/members?contact= reads every member: nothing indexes the contact.",
    "change": ["adds an index on members(contact)"],
    "risk": "an index to keep on each write",
    "rollout": "migrate when writes are few",
    "rollback": "roll the migration back",
    "neighbours": ["the list of members asks for each country by itself"],
}
PAGE = {"path": CONTROLLER, "old_text": "private const PAGE = 25;", "new_text": "private const PAGE = 20;"}
BACK = {"path": CONTROLLER, "old_text": "private const PAGE = 20;", "new_text": "private const PAGE = 25;"}
INDEX = {"path": MIGRATION, "new_text": MIGRATION_TEXT}

Step = Callable[[], Answer]
WRONG_THEN_RIGHT: list[Step] = [
    lambda: tools(("list_files", {}), ("read_file", {"path": CONTROLLER}), before="I look first."),
    lambda: tools(("edit_file", PAGE), ("propose_patch", PROPOSAL)),
    lambda: tools(("edit_file", INDEX), ("propose_patch", PROPOSAL)),
    lambda: tool("edit_file", BACK),
    lambda: tool("trace_command", {}),
    lambda: tool("propose_patch", PROPOSAL),
]


def by_turn(script: list[Step]) -> Callable[[dict[str, Any]], Any]:
    """The answer to a request whose conversation has so many answers already."""

    def answer(body: dict[str, Any]) -> Any:
        turn = sum(m["role"] == "assistant" for m in body["messages"])
        return script[turn]() if turn < len(script) else err(400, message="the script has ended")

    return answer


@dataclass
class Shop:
    repository: Path
    state: Path
    runs: list[str] = field(default_factory=list)
    text: str = ""

    def start(self, url: str, *words: str) -> subprocess.Popen[str]:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC_", "BEDEV_"))},
            "BEDEV_STATE_DIR": str(self.state),
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": "sk-ant-scripted-0123456789abcdef",
            "BEDEV_MODEL_PROFILE": "anthropic",
            "NO_COLOR": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "bedev.agent.entry", *words],
            cwd=self.repository,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, url: str, *words: str) -> tuple[int, dict[str, Any]]:
        process = self.start(url, *words, "--json")
        try:
            out, self.text = process.communicate(timeout=MINUTES)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        assert out.strip(), self.text
        document = json.loads(out)
        assert "Traceback" not in self.text, self.text
        assert "sk-ant-scripted" not in self.text + out
        if document.get("run"):
            self.runs.append(document["run"])
        return process.returncode, document

    def fix(self, url: str, *words: str) -> tuple[int, dict[str, Any]]:
        return self.run(url, "fix", "finding members by contact is slow", "--http", SCENARIO, *words)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    status = docker_engine_status()
    if not status.available:
        pytest.skip(f"no container engine: {status.message}")
    made = Shop(make_shop(tmp_path_factory.mktemp("shop")), tmp_path_factory.mktemp("state"))
    yield made
    for run in made.runs:
        words = ["docker", "ps", "-aq", "--filter", f"label={RUN_LABEL}={run}"]
        left = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.split()
        assert left == []


def results(body: dict[str, Any]) -> list[str]:
    """What the tools answered, in order, as the last request has it."""
    found = []
    for message in body["messages"]:
        for block in message["content"]:
            if block["type"] == "tool_result":
                found.append(block["content"])
    return found


def test_a_wrong_proposal_is_rejected_and_a_right_one_after_it_verified(shop: Shop) -> None:
    with Server(reply=by_turn(WRONG_THEN_RIGHT)) as server:
        code, document = shop.fix(server.url)
        bodies = server.bodies
    assert (code, document["outcome"]) == (0, "verified"), shop.text
    usage = document["usage"]
    assert (usage["turns"], usage["proposals"], len(bodies)) == (6, 2, 6)
    assert usage["usd"] is None  # a server that is not Anthropic's has no known price
    assert usage["cache_read_tokens"] > usage["tokens"] / 3
    # what was sent stays a prefix of what is sent next, to the byte
    for earlier, later in itertools.pairwise(bodies):
        assert later["system"] == earlier["system"]
        assert json.dumps(later["tools"]) == json.dumps(earlier["tools"])
        assert json.dumps(later["messages"]).startswith(json.dumps(earlier["messages"])[:-1])
    said = "\n".join(results(bodies[-1]))
    assert "Not handed to the gate, and not counted" in said
    assert "must be 1.2 times less" in said
    assert "tests FAILED: 1 of" in said
    assert "actual size 20 matches expected size 25" in said
    branch = document["branch"]
    assert git(shop.repository, "diff", "--name-only", f"{branch}~1", branch).split() == [MIGRATION]
    assert text_at(shop.repository, branch, MIGRATION) == MIGRATION_TEXT
    report = Path(document["report"]).read_text(encoding="utf-8")
    assert "an index to keep on each write" in report
    assert "Words of" in report
    assert len(report.splitlines()) <= 40


def test_the_end_of_a_budget_leaves_an_unverified_branch_that_can_go_on(shop: Shop) -> None:
    with Server(reply=by_turn(WRONG_THEN_RIGHT)) as server:
        code, document = shop.fix(server.url, "--max-turns", "4")
        bodies = server.bodies
        assert (code, document["outcome"]) == (1, "unverified"), shop.text
        assert "4 turns are used up" in document["message"]
        assert "2 turns are left" in "\n".join(results(bodies[-1]))
        branch = document["branch"]
        message = git(shop.repository, "log", "-1", "--format=%B", branch)
        assert message.startswith("Unverified: ")
        assert "Bedev-Verdict: unverified" in message
        assert text_at(shop.repository, branch, MIGRATION) == MIGRATION_TEXT
        report = Path(document["report"]).read_text(encoding="utf-8")
        assert "Nothing is proven here" in report
        code, document = shop.run(server.url, "resume", document["run"], "--max-turns", "10")
        assert (code, document["outcome"]) == (0, "verified"), shop.text
        assert document["branch"] != branch
        assert len(server.requests) == 6
        assert document["usage"]["turns"] == 6


def test_killed_three_times_it_ends_as_if_it_had_not_been(shop: Shop) -> None:
    chance = random.Random(7)
    with Server(reply=by_turn(WRONG_THEN_RIGHT)) as server:
        words = ["fix", "finding members by contact is slow", "--http", SCENARIO]
        run = ""
        for _ in range(3):
            process = shop.start(server.url, *words)
            target = len(server.requests) + chance.randint(1, 2)
            deadline = time.monotonic() + MINUTES
            while len(server.requests) < min(target, 5) and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            time.sleep(chance.random() * 2)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            listed = shop.start(server.url, "runs", "--json").communicate(timeout=60)[0]
            run = json.loads(listed)["runs"][0]["run"]
            words = ["resume", run]
        code, document = shop.run(server.url, *words)
        asked = len(server.requests)
    assert (code, document["outcome"], document["run"]) == (0, "verified", run), shop.text
    assert document["usage"]["turns"] == 6
    assert asked <= 6 + 3  # an answer that was being given when the process died is asked for once more
    branch = document["branch"]
    assert git(shop.repository, "diff", "--name-only", f"{branch}~1", branch).split() == [MIGRATION]
    assert text_at(shop.repository, branch, MIGRATION) == MIGRATION_TEXT
    code, document = shop.run(server.url, "resume", run)
    assert (code, document["outcome"]) == (2, "failed")


def test_a_revoked_key_pauses_the_run_and_it_goes_on(shop: Shop) -> None:
    revoked = True

    def answer(body: dict[str, Any]) -> Any:
        turn = sum(m["role"] == "assistant" for m in body["messages"])
        if revoked and turn == 2:
            return err(401, message="invalid x-api-key")
        return [
            lambda: tool("edit_file", INDEX),
            lambda: tool("run_query", {"sql": "select contact from members limit 2"}),
            lambda: tool("propose_patch", PROPOSAL),
        ][turn]()

    with Server(reply=answer) as server:
        code, document = shop.fix(server.url)
        assert (code, document["outcome"]) == (4, "paused"), shop.text
        assert f"bedev resume {document['run']}" in document["message"]
        revoked = False
        before = len(server.requests)
        code, document = shop.run(server.url, "resume", document["run"])
        assert (code, document["outcome"]) == (0, "verified"), shop.text
        assert len(server.requests) == before + 1
        shown = results(server.bodies[-1])[1]
    assert "@example" not in shown  # values are masked


def test_ctrl_c_leaves_a_run_that_goes_on(shop: Shop) -> None:
    script: list[Step] = [
        lambda: tool("edit_file", INDEX),
        lambda: tool("run_command", {"command": "sleep 60", "timeout_seconds": 90}),
        lambda: tool("propose_patch", PROPOSAL),
    ]
    with Server(reply=by_turn(script)) as server:
        process = shop.start(server.url, "fix", "members by contact", "--http", SCENARIO, "--json")
        deadline = time.monotonic() + MINUTES
        while len(server.requests) < 2 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, text = process.communicate(timeout=60)
        document = json.loads(out)
        assert (process.returncode, document["outcome"]) == (130, "interrupted"), text
        script[1] = lambda: tool("run_command", {"command": "true"})
        shop.runs.append(document["run"])


def test_a_run_gets_through_the_faults_of_its_server(shop: Shop) -> None:
    script: list[Step] = [
        lambda: tools(("edit_file", INDEX), ("propose_patch", PROPOSAL)),
    ]
    whole = tool("edit_file", {"path": "app/Wrong.php", "new_text": "<?php\n"})
    faults = [
        err(429, retry_after=1),
        err(529),
        drop(reset=True),
        cut(whole, 6, "end"),
        cut(whole, 5, "error"),
        reply(tool_use("edit_file", {}, raw='{"path": "app/Wrong.php", "new_te'), stop="tool_use"),
    ]
    answer = by_turn(script)

    def faulty(body: dict[str, Any]) -> Any:
        return faults.pop(0) if faults else answer(body)

    with Server(reply=faulty) as server:
        code, document = shop.fix(server.url)
        assert (code, document["outcome"]) == (0, "verified"), shop.text
        assert len(server.requests) == 7
    branch = document["branch"]
    assert git(shop.repository, "diff", "--name-only", f"{branch}~1", branch).split() == [MIGRATION]
    assert document["usage"]["turns"] == 1


def test_a_refusal_ends_the_run_and_leaves_what_there_is(shop: Shop) -> None:
    script: list[Step] = [lambda: tool("edit_file", INDEX), lambda: refusal("I cannot", "cyber")]
    with Server(reply=by_turn(script)) as server:
        code, document = shop.fix(server.url)
    assert (code, document["outcome"]) == (1, "unverified"), shop.text
    assert "refused" in document["message"]
    assert text_at(shop.repository, document["branch"], MIGRATION) == MIGRATION_TEXT


def test_an_agent_file_replaces_the_persona_and_names_the_model(shop: Shop, tmp_path: Path) -> None:
    agent = tmp_path / "backend-developer.md"
    agent.write_text(
        "---\nname: backend-developer\n"
        'description: "Use this agent for servers.\\n\\n<example>\\nuser: \\"slow\\"\\n</example>"\n'
        "model: sonnet\ncolor: green\n---\n\nYou are the persona of a test.\n"
    )
    with Server(reply=by_turn([lambda: say("no"), lambda: say("It cannot be done.")])) as server:
        code, _ = shop.fix(server.url, "--agent", str(agent))
        body = server.bodies[0]
    assert code == 1
    assert body["model"] == "claude-sonnet-5-5"
    system = "".join(block["text"] for block in body["system"])
    assert system.startswith("You are the persona of a test.")
    assert "an honest no is a result" in system


def test_a_model_that_gives_up_is_heard_and_leaves_no_branch(shop: Shop) -> None:
    script: list[Step] = [
        lambda: tool("no_such_tool", {}),
        lambda: reply(tool_use("run_command", {"cmd": "ls"}), stop="tool_use"),
        lambda: say("I am done."),
        lambda: say("It cannot be made faster: the contact is needed as it is."),
    ]
    with Server(reply=by_turn(script)) as server:
        code, document = shop.fix(server.url)
        said = results(server.bodies[-1])
        nudge = server.bodies[-1]["messages"][-1]["content"][0]["text"]
    assert (code, document["outcome"], document["branch"]) == (1, "failed", None), shop.text
    assert "It cannot be made faster" in document["message"]
    assert "There is no tool 'no_such_tool'" in said[0]
    assert "A valid input" in said[1]
    assert "propose_patch" in nudge


def test_an_answer_cut_off_in_the_middle_of_a_tool_call_is_not_acted_on(shop: Shop) -> None:
    script: list[Step] = [
        lambda: reply(tool_use("edit_file", {}, raw='{"path": "app/X.php", "new_te'), stop="max_tokens"),
        lambda: tool("edit_file", INDEX),
        lambda: tool("propose_patch", PROPOSAL),
    ]
    with Server(reply=by_turn(script)) as server:
        # the first answer has no block that may go back, so the history has none for it
        seen: list[int] = []

        def answer(body: dict[str, Any]) -> Any:
            seen.append(len(body["messages"]))
            return script[min(len(seen), 3) - 1]()

        server._reply = answer
        code, document = shop.fix(server.url)
    assert (code, document["outcome"]) == (0, "verified"), shop.text
    assert git(
        shop.repository, "diff", "--name-only", f"{document['branch']}~1", document["branch"]
    ).split() == [MIGRATION]
