"""What an application on SQLite costs is what its tracer tells, unless the kernel tells otherwise.

The application here is a small server of its own that traces, hides or says nothing, as its path says.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest
from bedev.sandboxes.application import DATABASE, Application, new_passwords
from bedev.sandboxes.docker_pod import DockerSandbox
from bedev.sandboxes.engines import engine as engines
from bedev.sandboxes.engines.engine import Counters
from bedev.sandboxes.errors import DatabaseError
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import HostAccess, HttpRequest, PodSpec, TreeFile
from bedev.sandboxes.set_up import Brought
from bedev.sandboxes.stacks import reports
from bedev.sandboxes.stacks.stack import Stack, TracedQuery

from .conftest import quiet

pytestmark = pytest.mark.docker

PATH = f"/bedev/data/main/{DATABASE}.sqlite"
SQL = "SELECT COUNT(filled) FROM heavy WHERE id <> ?"
SERVER = f"""
import http.server, json, os, sqlite3, sys

def scan(value):
    c = sqlite3.connect({PATH!r})
    found = c.execute({SQL!r}, (value,)).fetchone()[0]
    c.close()
    return found

def say(**line):
    with open(os.environ["TRACE"], "a") as trace:
        trace.write(json.dumps(line, separators=(",", ":")) + "\\n")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/silent":
            say(kind="begin", id="1", what=self.path)
        found = scan(7)
        if self.path in ("/honest", "/half"):
            say(kind="query", id="1", sql={SQL!r}, bindings=[7], ms=1, file="", line=0, function="", stack=[])
        if self.path == "/half":
            scan(8)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(found).encode())
        self.wfile.flush()
        if self.path != "/silent":
            say(kind="end", id="1", queries=1, ms=1)

http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""


class TinyStack:
    """As much of a stack as a served application needs."""

    title = "the test"

    def serve_command(self, recipe: Recipe) -> str:
        return recipe.serve

    def serve_environment(self, as_user: str, trace_file: str) -> Mapping[str, str]:
        return {"TRACE": trace_file}

    def command_environment(self, trace_file: str) -> Mapping[str, str]:
        return {"TRACE": trace_file}

    def parse_trace(self, text: bytes) -> tuple[TracedQuery, ...]:
        return reports.parse_trace(text)


@pytest.fixture(scope="module")
def application(docker_sandbox: DockerSandbox, image: str) -> Iterator[Application]:
    engine = engines.load("sqlite")
    files = [TreeFile("app.py", 0o100644, SERVER.encode())]
    tree = docker_sandbox.prepare_tree(
        f"traced-{secrets.token_hex(8)}", lambda: files, image, (), HostAccess(), quiet
    )
    recipe = Recipe("tiny", "", serve="exec python3 app.py", served_port=8000)
    brought = Brought(docker_sandbox, cast(Stack, TinyStack()), engine, recipe, image, "", tree, 0.0)
    pod = docker_sandbox.open_pod(PodSpec(app_image=image, tree=tree, shared_data=True), quiet)
    instance = engine.create(pod.db, pod.probe, "main", 0, DATABASE, new_passwords())
    made = Application(brought, pod, instance)
    made.admin.query(
        "CREATE TABLE heavy AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n "
        "WHERE id < 300000) SELECT id, hex(zeroblob(100)) AS filled FROM n"
    )
    made.serve()
    yield made
    made.close()


def asked(application: Application, path: str, times: int = 1) -> Counters:
    before = application.counters()
    for _ in range(times):
        assert application.request(HttpRequest("GET", path)).body == b"299999"
    return application.counters().minus(before)


def test_what_the_tracer_tells_is_counted(application: Application) -> None:
    counters = asked(application, "/honest")
    assert (counters.statements, counters.rows_sent, counters.rows_written) == (1, 1, 0)
    assert counters.vm_steps is not None
    assert 300_000 < counters.vm_steps < 3_000_000
    assert asked(application, "/honest", 3).vm_steps == 3 * counters.vm_steps


def test_a_capture_has_the_statement_and_its_place(application: Application) -> None:
    _, statements, traced = application.capture(lambda: asked(application, "/honest"))
    assert [s.sql for s in statements] == [SQL.replace("?", "7")]
    assert [(t.sql, t.bindings, t.request) for t in traced] == [(SQL, (7,), "/honest")]


@pytest.mark.parametrize(
    ("path", "words"),
    [("/hidden", "reads the database"), ("/half", "reads the database"),
     ("/silent", "wrote nothing")],
)  # fmt: skip
def test_what_is_hidden_from_the_tracer_is_no_measurement(
    application: Application, path: str, words: str
) -> None:
    with pytest.raises(DatabaseError, match=words):
        asked(application, path)
    assert asked(application, "/honest").statements == 1


def test_a_command_is_traced_where_somebody_measures_and_not_elsewhere(application: Application) -> None:
    told: Any = application.run('echo "$TRACE$BEDEV_TRACE_WHOLE"', env={}).stdout.text
    assert told == "/tmp/bedev-trace.jsonl1\n"
    assert application.run('echo "$TRACE"').stdout.text == "\n"
