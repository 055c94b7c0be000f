"""Places and ports of a pod, in texts in which it is hard to tell what only looks like one."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from bedev.sandboxes.process_paths import Places, Ports
from hypothesis import given
from hypothesis import strategies as st

ROOT = "/home/ann/state/p1"


def places(ports: bool = True) -> Places:
    numbers = itertools.count(20_001)
    return Places(
        {
            "/work": Path(f"{ROOT}/work"),
            "/tmp": Path(f"{ROOT}/tmp"),
            "/scenario": Path(f"{ROOT}/scenario"),
            "/bedev": Path(f"{ROOT}/bedev"),
            "/bedev/templates": Path("/home/ann/state/t9/files"),
        },
        Ports(lambda: next(numbers)) if ports else None,
    )


@pytest.mark.parametrize(
    "expected",
    [
        "cd §/work && ls",
        "§/work",
        "§/work/",
        "cat §/work/a.py>§/tmp/b",
        "PYTHONPATH=§/bedev/stack:§/work:/usr",
        "--path='§/work/x y'",
        '{"file": "§/scenario/ask.json"}',
        "open(b'§/tmp/x')",
        "sqlite:///§/bedev/data/main/app.db",
        "file://§/work/readme",
        "tar -C§/work -x; cc -I§/work/include",
        "curl -d @§/scenario/x",
        "echo done in §/work.",
        "ls §/work;rm -rf §/tmp/*",
        "$(cat §/tmp/x)`ls §/work`",
    ],
)
def test_a_place_is_found(expected: str) -> None:
    assert places().inward(expected.replace("§", "")) == expected.replace("§", ROOT)


def test_the_longest_place_is_the_one_that_is_meant() -> None:
    done = places().inward("cp -a /bedev/templates/seeded/. /bedev/data/m")
    assert done == f"cp -a /home/ann/state/t9/files/seeded/. {ROOT}/bedev/data/m"


@pytest.mark.parametrize(
    "text",
    [
        "/workspace /work-2 /work_ /tmpfs /bedev2 /work.old",
        "src/work ./work ../work ~/work a//work",
        "$HOME/work ${HOME}/work $(pwd)/work",
        '"$HOME"/work "${HOME}"/work',
        "http://127.0.0.1/work/items http://shop.test/work",
        "sqlite:///work.db",
        "/usr/work /var/tmp/x",
        "app/tmp/x",
        "s#a#/*/work#",
    ],
)
def test_what_only_looks_like_a_place_stays(text: str) -> None:
    assert places().inward(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "python manage.py runserver 127.0.0.1:<8000> --noreload",
        "php -S 127.0.0.1:<8000> -t .",
        "runserver <8000>",
        "exec python3 manage.py bedev_serve <8000>",
        "gunicorn -b :<8000> x",
        "mariadbd --port=<3306> --x",
        "next start -p <3000>",
        "exec postgres -D /x -h 127.0.0.1 -p <5432> -c fsync=off",
        "exec 3<>/dev/tcp/127.0.0.1/<8099>",
        "mysql://app:pw@127.0.0.1:<3306>/app",
        "DB_PORT=<3306>",
        "'port' => '<3306>',",
        "server.bind(('127.0.0.1', <8000>))",
        "python3 -m http.server <8099> --bind 127.0.0.1",
    ],
)
def test_a_port_is_found(text: str) -> None:
    known = re.sub(r"<(\d+)>", r"\1", text)
    assert places().inward(known) == re.sub(r"<\d+>", "20001", text)


@pytest.mark.parametrize(
    "text",
    [
        "seed --rows 8000",
        "mkdir -p 2024 && sleep 3600",
        "report=5000 import 3000 passport 4000",
        "http://127.0.0.1:80/ 127.0.0.1/8",
        "date 2024-01-01 12:3000",
        "--port=99999",
    ],
)
def test_a_number_that_is_no_port_stays(text: str) -> None:
    assert places().inward(text) == text


def test_one_port_has_one_real_port_and_another_has_another() -> None:
    at = places()
    assert at.ports is not None
    assert at.inward("127.0.0.1:8000 localhost:8000 127.0.0.1:3306") == (
        "127.0.0.1:20001 localhost:20001 127.0.0.1:20002"
    )
    assert at.ports.of(8000) == 20001
    assert at.inward("127.0.0.1:20001") == "127.0.0.1:20001", "what is real already stays"


def test_a_server_is_told_the_port_that_is_waited_for_whatever_its_options_are_called() -> None:
    at = places()
    assert at.ports is not None
    assert at.ports.of_service("node server.js 3000") == "node server.js 3000"
    at.ports.of(3000)
    assert (
        at.ports.of_service("node server.js 3000 --x=1.3000 30000") == "node server.js 20001 --x=1.3000 30000"
    )


def test_a_variable_that_is_a_port_by_its_name_is_one() -> None:
    at = places()
    assert at.value("DB_PORT", "3306") == "20001"
    assert at.value("PORT", "3306") == "20001"
    assert at.value("ROWS", "3306") == "3306"
    assert at.value("DATABASE_URL", "mysql://a:b@127.0.0.1:3306/x") == "mysql://a:b@127.0.0.1:20001/x"


def test_what_comes_out_has_the_known_names_again() -> None:
    at = places()
    said = at.inward("Serving /work on http://127.0.0.1:8000/ with /bedev/templates/a and /tmp/x")
    assert ROOT in said
    assert (
        at.outward_text(said) == "Serving /work on http://127.0.0.1:8000/ with /bedev/templates/a and /tmp/x"
    )
    assert (
        at.outward(f'{{"file":"{ROOT}/work/a.php"}}'.replace("/", "\\/").encode())
        == b'{"file":"\\/work\\/a.php"}'
    )
    assert at.outward_text("20001 rows, 120001") == "20001 rows, 120001", "a number alone is data"
    binary = f"\0{ROOT}/work".encode()
    assert at.outward(binary) == binary


@given(st.text(alphabet=st.sampled_from("/workbedevtmp .:='\"$@-\n\\{}()*8000 12")))
def test_texts_come_out_as_they_went_in(text: str) -> None:
    """Whatever is taken for a place on the way in is the same text on the way out."""
    at = places(ports=False)
    assert at.outward_text(at.inward(text)) == text


@given(st.lists(st.sampled_from(["/work", "/tmp/a", "/bedev/data/x", "/scenario"]), min_size=1, max_size=4))
def test_every_place_of_a_plain_command_is_found(words: list[str]) -> None:
    at = places()
    done = at.inward(" ".join(["cat", *words]))
    assert done.split()[1:] == [str(at.path(word)) for word in words]
