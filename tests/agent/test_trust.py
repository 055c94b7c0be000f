"""The agreement to a sandbox that does not isolate, and what every command says where no engine answers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bedev.agent.commands.gc import added
from bedev.agent.settings import Settings, load
from bedev.agent.trust import THIS_ONE, agree
from bedev.sandboxes import choose
from bedev.sandboxes.docker_sweep import SweepReport
from bedev.sandboxes.errors import UsageError

PROCESS = choose.load("process")


@dataclass
class Repository:
    top: Path
    state: Path


@dataclass
class Terminal:
    """Answers one question as a person would."""

    answer: str = ""
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def ask(self, question: str, otherwise: str) -> str:
        self.asked.append(question)
        return self.answer

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "shop", tmp_path)


def test_a_container_needs_no_agreement(repository: Repository) -> None:
    terminal = Terminal()
    agree(choose.load("docker"), repository, (), terminal)  # type: ignore[arg-type]
    assert (terminal.asked, terminal.said) == ([], [])


def test_it_is_asked_once_and_then_said_each_time(repository: Repository) -> None:
    first = Terminal("shop")
    agree(PROCESS, repository, (), first)  # type: ignore[arg-type]
    assert "runs the repository's code as you, on this machine, with your network" in first.asked[0]
    assert "Type the repository's name to agree: shop" in first.asked[0]
    second = Terminal()
    agree(PROCESS, repository, (), second)  # type: ignore[arg-type]
    assert second.asked == []
    assert "process (not isolated)" in second.said[0]


@pytest.mark.parametrize("answer", ["", "y", "yes", "Shop", "shop2"])
def test_anything_but_the_name_is_no_agreement(repository: Repository, answer: str) -> None:
    with pytest.raises(UsageError) as caught:
        agree(PROCESS, repository, (), Terminal(answer))  # type: ignore[arg-type]
    assert "--trust, or BEDEV_TRUST=shop" in caught.value.next_step
    assert not (repository.state / "trusted-process").exists()
    with pytest.raises(UsageError):
        agree(PROCESS, repository, (), Terminal())  # type: ignore[arg-type]


@pytest.mark.parametrize("trusted", ["shop", THIS_ONE])
def test_the_flag_and_the_variable_agree_without_a_terminal(repository: Repository, trusted: str) -> None:
    terminal = Terminal()
    agree(PROCESS, repository, ("other", trusted), terminal)  # type: ignore[arg-type]
    assert terminal.asked == []


def test_another_repositorys_name_does_not(repository: Repository) -> None:
    with pytest.raises(UsageError):
        agree(PROCESS, repository, ("other",), Terminal())  # type: ignore[arg-type]


def test_trust_is_a_setting_of_the_user_alone(tmp_path: Path) -> None:
    from bedev.agent.settings import RepositorySettings

    environ = {"HOME": str(tmp_path), "BEDEV_TRUST": "shop, blog", "BEDEV_SANDBOX": "process"}
    settings = load({}, environ)
    assert (settings.trust, settings.sandbox) == (("shop", "blog"), "process")
    assert Settings().trust == ()
    for line in ('trust = ["shop"]', 'sandbox = "process"'):
        with pytest.raises(UsageError):
            RepositorySettings.parse(line.encode())


def test_a_sandbox_is_found_by_its_name() -> None:
    assert choose.names() == ("docker", "process")
    with pytest.raises(UsageError) as caught:
        choose.load("bubblewrap")
    assert "docker, process" in caught.value.next_step
    with pytest.raises(UsageError):
        load({"sandbox": "none"}, {})


def bedev(*words: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bedev.agent.entry", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(cwd), **environ},
        check=False,
    )


@pytest.fixture
def nobody_there(tmp_path: Path) -> dict[str, str]:
    """An environment in which no container engine answers."""
    return {"DOCKER_HOST": f"unix://{tmp_path}/no.sock", "BEDEV_STATE_DIR": str(tmp_path / "state")}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository of a Django application, with no database server."""
    from bedev.agent.commands.demo import DJANGO_WITHOUT_CONTAINERS, example_folder, make_repository

    example = DJANGO_WITHOUT_CONTAINERS
    return make_repository(example_folder(example), tmp_path / "shop", example.settings)


@pytest.mark.parametrize("words", [("fix", "slow users query"), ("verify", "HEAD", "--base", "HEAD")])
def test_where_no_engine_answers_a_command_names_both_ways_and_ends_with_3(
    shop: Path, nobody_there: dict[str, str], words: tuple[str, ...]
) -> None:
    done = bedev(*words, "--json", cwd=shop, **nobody_there)
    assert done.returncode == 3, done.stderr
    error = json.loads(done.stdout)["error"]
    assert "install" in error["next"]
    assert "--sandbox process" in error["next"]


def test_without_an_agreement_nothing_is_run(shop: Path, nobody_there: dict[str, str]) -> None:
    done = bedev("fix", "slow users query", "--sandbox", "process", "--json", cwd=shop, **nobody_there)
    assert done.returncode == 2
    assert "--trust" in json.loads(done.stdout)["error"]["next"]
    assert not list(Path(nobody_there["BEDEV_STATE_DIR"]).glob("process/trees/*"))


def test_doctor_names_the_way_without_an_engine_and_checks_it(
    shop: Path, nobody_there: dict[str, str]
) -> None:
    done = bedev("doctor", "--json", cwd=shop, **nobody_there)
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert done.returncode == 3
    assert "--sandbox process" in rows["engine"]["fix"]
    done = bedev("doctor", "--sandbox", "process", "--json", cwd=shop, **nobody_there)
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert done.returncode == 0, done.stdout
    assert "engine" not in rows
    assert rows["sandbox"]["found"].startswith("process (not isolated)")
    assert any(row["found"].startswith("this machine: Python 3.") for row in json.loads(done.stdout)["rows"])


def test_gc_looks_at_what_can_be_looked_at(tmp_path: Path, nobody_there: dict[str, str]) -> None:
    tree = Path(nobody_there["BEDEV_STATE_DIR"]) / "process" / "trees" / "old"
    tree.mkdir(parents=True)
    (tree / "sealed.json").write_text("{}")
    done = bedev("gc", "--caches", "--older", "0d", "--json", cwd=tmp_path, **nobody_there)
    answer = json.loads(done.stdout)
    assert done.returncode == 0
    assert answer["removed"]["trees"] == 1
    assert "engine" in answer["not_looked_at"]["docker"]
    assert not tree.exists()


def test_reports_add_up() -> None:
    assert added(SweepReport, [SweepReport(1, 2), SweepReport(3, trees=4)]) == SweepReport(4, 2, 4)
