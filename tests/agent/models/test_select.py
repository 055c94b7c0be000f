"""Which model a run takes, and `bedev models`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from asking import KEY, client
from bedev.agent import cli
from bedev.agent.models.select import check, choose, select
from bedev.sandboxes.errors import Paused, UsageError
from scripted import Server, Step, cut, err, hang, reply, say, text, thinking, tool, tool_use

RIGHT = tool("answer", {"number": 42})


@pytest.mark.parametrize(
    ("name", "environ", "model"),
    [
        ("", {}, "advisor"),
        ("", {"ANTHROPIC_API_KEY": KEY}, "opus"),
        ("", {"ANTHROPIC_AUTH_TOKEN": "token"}, "opus"),
        ("", {"ANTHROPIC_BASE_URL": "http://localhost:1"}, "opus"),
        ("", {"ANTHROPIC_API_KEY": " "}, "advisor"),
        ("advisor", {"ANTHROPIC_API_KEY": KEY}, "advisor"),
        ("Advisor", {}, "advisor"),
        ("sonnet", {}, "sonnet"),
        ("qwen3", {}, "qwen3"),
    ],
)
def test_a_run_takes(name: str, environ: dict[str, str], model: str) -> None:
    assert choose(name, environ).model == model


def test_selecting_gives_a_model_or_none_for_the_advisor() -> None:
    assert select("", {}) is None
    assert select("advisor", {"ANTHROPIC_API_KEY": KEY}) is None
    model = select("haiku", {"ANTHROPIC_API_KEY": KEY})
    assert model is not None
    assert model.name == "claude-haiku-5-5"


def test_a_model_that_was_named_needs_a_key() -> None:
    with pytest.raises(UsageError, match="no key"):
        select("opus", {})


# The test call


def lines_of(step: Step, profile: str = "anthropic") -> tuple[bool, dict[str, str]]:
    with Server([step]) as server:
        found = check(client(server, profile).model)
    (body,) = server.bodies
    assert len(body["tools"]) == 1
    assert len(server.requests[0].raw) < 1_500
    return found.works, dict(line.split(maxsplit=1) for line in found.lines)


def test_a_model_that_does_everything() -> None:
    usage = {"input_tokens": 300, "output_tokens": 40, "cache_read_input_tokens": 200}
    works, lines = lines_of(
        reply(thinking("17 + 25"), tool_use("answer", {"number": 42}), stop="tool_use", usage=usage)
    )
    assert works
    assert lines["answered"].startswith("claude-opus-5-5 at 127.0.0.1")
    assert lines["tools"] == "work"
    assert lines["streaming"] == "works"
    assert lines["caching"].startswith("works: ")
    assert "200 read" in lines["caching"]
    assert lines["thinking"] == "works"
    assert lines["tokens"].endswith("40 out")
    assert lines["price"] == "not known"
    assert float(lines["seconds"]) >= 0


def test_what_one_small_call_cannot_show_is_not_claimed() -> None:
    usage = {"cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "input_tokens": 300}
    works, lines = lines_of(tool("answer", {"number": 42}, usage=usage))
    assert works
    assert lines["caching"] == "accepted; this call is too short for the server to keep"
    assert lines["thinking"] == "accepted; this question needed none"


def test_a_server_of_ones_own() -> None:
    works, lines = lines_of(tool("answer", {"number": 42}, usage=None, whole=True), "compat")
    assert works
    assert lines["streaming"].startswith("no:")
    assert lines["caching"] == lines["thinking"] == "not asked for (profile compat)"
    assert "estimated" in lines["tokens"]


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (say("It is 42."), "do not work: it stopped (end_turn) without a call"),
        (say("It is", stop="max_tokens"), "(max_tokens)"),
        (tool("answer", {"number": "42"}), "are called, but not as asked"),
        (tool("answer", {}), "are called, but not as asked"),
        (tool("other", {"number": 42}), "do not work"),
    ],
)
def test_a_model_that_calls_no_tools_cannot_drive_a_run(step: Step, why: str) -> None:
    works, lines = lines_of(step)
    assert not works
    assert why in lines["tools"]


def test_the_price_is_dated() -> None:
    with Server([RIGHT]) as server:
        model = client(server).model
        model.price = lambda usage: 0.0021  # type: ignore[method-assign]
        found = check(model)
    assert "price      $0.0021 (prices of 2026-11)" in found.lines


def test_a_call_that_fails_raises() -> None:
    with Server([err(401)]) as server, pytest.raises(Paused):
        check(client(server).model)


# The command


@pytest.fixture
def bedev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        status = cli.run(["models", *arguments])
        shown = capsys.readouterr()
        assert KEY not in shown.out + shown.err
        return status, shown.out, shown.err

    return run


def test_without_a_key_it_lists_and_says_how_to_get_one(bedev: Any) -> None:
    status, out, _ = bedev()
    assert status == 0
    assert "as of 2026-11" in out
    assert "claude-opus-5-5" in out
    assert "A run would take: advisor" in out
    assert "key      not set" in out
    assert "get a key at platform.claude.com" in out
    assert "works without a key" in out


def test_a_model_without_a_key_is_wrong_usage(bedev: Any) -> None:
    status, _, err = bedev("--model", "opus")
    assert status == 2
    assert "ANTHROPIC_API_KEY" in err


def test_with_a_server_it_makes_one_call_and_says_what_works(bedev: Any) -> None:
    with Server([RIGHT]) as server:
        status, out, _ = bedev(
            ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=server.url, BEDEV_MODEL_PROFILE="anthropic"
        )
    assert (status, len(server.requests)) == (0, 1)
    assert "A run would take: claude-opus-5-5" in out
    assert "no model was named, and ANTHROPIC_API_KEY is set; alias opus" in out
    assert "key      set (sk-...4711), from ANTHROPIC_API_KEY" in out
    assert "profile  anthropic: BEDEV_MODEL_PROFILE" in out
    assert "One test call: it works." in out


def test_where_the_name_came_from_is_said(bedev: Any) -> None:
    with Server([RIGHT, RIGHT]) as server:
        _, out, _ = bedev("--model", "qwen3", ANTHROPIC_BASE_URL=server.url)
        assert "it was asked for (--model); as given" in out
        _, out, _ = bedev(BEDEV_MODEL="haiku")
    assert "it was asked for (BEDEV_MODEL); alias haiku" in out
    assert [body["model"] for body in server.bodies] == ["qwen3", "claude-haiku-5-5"]


@pytest.mark.parametrize(
    ("step", "status", "words"),
    [
        (err(401, "invalid"), 4, "is refused (401)"),
        (err(404, "model: x"), 1, "knows no model"),
        (reply(text("42")), 1, "a run would not work with it"),
    ],
)
def test_a_call_that_fails_ends_with_its_exit_code(bedev: Any, step: Step, status: int, words: str) -> None:
    with Server([step]) as server:
        found, out, err_text = bedev(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=server.url)
    assert found == status
    assert words in out + err_text
    assert "claude-opus-5-5" in out


@pytest.mark.parametrize("step", [hang(60), cut(say("hello " * 9), 5, "stall"), err(529, retry_after=60)])
def test_ctrl_c_ends_it_while_a_model_is_waited_for(step: Step, tmp_path: Path) -> None:
    with Server([step]) as server:
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ANTHROPIC_BASE_URL": server.url}
        command = [Path(sys.executable).with_name("bedev"), "models"]
        with subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True) as bedev:
            while not server.requests:
                time.sleep(0.02)
            time.sleep(0.1)
            bedev.send_signal(signal.SIGINT)
            before = time.monotonic()
            _, shown = bedev.communicate(timeout=10)
    assert bedev.returncode == 130
    assert time.monotonic() - before < 3
    assert shown.endswith("bedev: interrupted\n")


def test_json_is_one_object_whether_it_works_or_not(bedev: Any) -> None:
    with Server([RIGHT, err(401, "invalid")]) as server:
        environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url}
        good, out, _ = bedev("--json", **environ)
        bad, bad_out, _ = bedev("--json", **environ)
    found, failed = json.loads(out), json.loads(bad_out)
    assert (good, bad) == (0, 4)
    assert found["schema"] == "bedev.models/1"
    assert found["run"]["model"] == "claude-opus-5-5"
    assert found["server"]["key"] == "set (sk-...4711)"
    assert found["check"]["works"]
    assert failed["check"]["error"]["what"].endswith("is refused (401).")
    opus = next(row for row in found["models"] if row["id"] == "claude-opus-5-5")
    assert opus["price"]["cache_read"] == 0.2
    haiku = next(row for row in found["models"] if row["id"] == "claude-haiku-5-5")
    assert haiku["price"]["above_100000_prompt_tokens"]["input"] == 0.5
    assert next(row for row in found["models"] if row["id"] == "claude-mythos-5-2")["price"] is None
