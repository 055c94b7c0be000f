"""Every tool on the Laravel example with MariaDB: what a model sees, and what it is told when it errs."""

from __future__ import annotations

import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bedev.tools as package
import pytest
from bedev.sandboxes.docker_pod import DockerSandbox, docker_engine_status
from bedev.sandboxes.stacks.stack import framework
from bedev.tools import run_query as run_query_module
from bedev.tools.tool import ToolFailed, ToolResult, discover
from bedev.tools.workbench import Workbench

sys.path.append(str(Path(__file__).parent))
from laravel_bench import Shop

pytestmark = pytest.mark.docker

TOOLS = {tool.name: tool for tool in discover(package)}
CONTROLLER = "app/Http/Controllers/UserController.php"
RESOURCE = "app/Http/Resources/CustomerResource.php"
MIGRATION = "database/migrations/2026_01_01_000000_add_email_index_to_users_table.php"
BY_EMAIL = "GET /api/users?email=purchasing%40northwind.example"
INDEX = """<?php

use Illuminate\\Database\\Migrations\\Migration;
use Illuminate\\Database\\Schema\\Blueprint;
use Illuminate\\Support\\Facades\\Schema;

return new class extends Migration
{
    public function up(): void
    {
        Schema::table('users', fn (Blueprint $table) => $table->index('email'));
    }

    public function down(): void
    {
        Schema::table('users', fn (Blueprint $table) => $table->dropIndex(['email']));
    }
};
"""


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    status = docker_engine_status()
    if not status.available:
        pytest.skip(f"no container engine: {status.message}")
    sandbox = DockerSandbox(f"test-{secrets.token_hex(4)}", lifetime_seconds=1200)
    yield Shop.make(sandbox)
    sandbox.close()


@pytest.fixture(scope="module")
def opened(shop: Shop) -> Iterator[Workbench]:
    bench = shop.bench()
    yield bench
    bench.close()


@pytest.fixture
def bench(opened: Workbench) -> Iterator[Workbench]:
    """The same for all tests; what one edited is undone after it."""
    opened.seen.clear()
    yield opened
    for path in list(opened.edits):
        opened.write(path, opened.base.read(path))
    opened.ready()


Call = Callable[..., ToolResult]


@pytest.fixture
def call(bench: Workbench) -> Call:
    """A tool as the loop calls it: input checked, and files looked at afterwards."""

    def called(name: str, **given: Any) -> ToolResult:
        tool = TOOLS[name]
        result = tool.run(bench, tool.parse(given))
        if tool.edits:
            bench.scan()
        return result

    return called


def refusal(call: Call, name: str, **given: Any) -> str:
    with pytest.raises(ToolFailed) as raised:
        call(name, **given)
    return raised.value.text


# -- files


def test_files_are_listed_with_counts_and_without_dependencies(call: Call) -> None:
    text = call("list_files").text
    assert re.search(r"^app/  \d+ files$", text, re.MULTILINE)
    assert "  Http/  18 files" in text
    assert not re.search(r"^ *vendor/  ", text, re.MULTILINE)
    assert "in vendor/" in text
    assert "autoload.php" in call("list_files", path="vendor").text


def test_a_glob_lists_files_at_any_depth(call: Call) -> None:
    text = call("list_files", glob="*Resource.php").text
    assert f"{RESOURCE}  " in text
    assert CONTROLLER not in text


def test_a_wrong_path_is_answered_with_those_that_may_be_meant(call: Call) -> None:
    assert "app/Http" in refusal(call, "list_files", path="app/Htp")
    assert "app/Models/User.php" in refusal(call, "read_file", path="app/Models/Usr.php")
    assert "list_files" in refusal(call, "read_file", path="app/Models")
    assert "read_file" in refusal(call, "list_files", path="artisan")
    assert "outside" in refusal(call, "read_file", path="../etc/passwd")


def test_a_file_is_read_with_line_numbers_and_says_how_to_go_on(call: Call, bench: Workbench) -> None:
    bench.write("long.txt", b"".join(b"line %d\n" % n for n in range(1, 1001)))
    first = call("read_file", path="long.txt").text
    assert first.startswith("    1  line 1\n    2  line 2\n")
    following = int(re.search(r"go on with first_line (\d+)", first)[1])  # type: ignore[index]
    second = call("read_file", path="long.txt", first_line=following, last_line=following + 1).text
    assert second.startswith(f"  {following}  line {following}\n  {following + 1}  line {following + 1}\n")
    assert "1000 lines" in refusal(call, "read_file", path="long.txt", first_line=2000)


def test_a_search_groups_matches_by_file_with_lines(call: Call) -> None:
    text = call("search_code", pattern=r"orders\(\)->", glob="*.php").text
    assert f"{RESOURCE}\n    19:             'orders_count' => $this->orders()->count()," in text
    assert "vendor/" not in text


def test_an_invalid_expression_is_answered_with_the_literal_one(call: Call) -> None:
    text = refusal(call, "search_code", pattern="orders(")
    assert "Unmatched (" in text
    assert r"orders\(" in text
    assert call("search_code", pattern=r"orders\(").text.startswith("6 matches in 4 files")


def test_a_pattern_that_explodes_elsewhere_ends_soon(call: Call, bench: Workbench) -> None:
    bench.write("evil.txt", b"a" * 5000 + b"!\n")
    began = time.monotonic()
    assert call("search_code", pattern="^(a+)+$", path="evil.txt").text.startswith("no match")
    assert time.monotonic() - began < 10


# -- edits


def test_an_edit_shows_its_lines_and_is_part_of_the_patch(call: Call, bench: Workbench) -> None:
    text = call("edit_file", path=RESOURCE, old_text="limit(3)", new_text="limit(4)").text
    assert re.search(r"^      - .*limit\(3\)", text, re.MULTILINE)
    assert re.search(r"^   21 \+ .*limit\(4\)", text, re.MULTILINE)
    assert list(bench.edits) == [RESOURCE]
    call("edit_file", path=RESOURCE, old_text="limit(4)", new_text="limit(3)")
    assert bench.edits == {}


def test_an_edit_that_fits_nowhere_or_twice_says_where_it_might(call: Call) -> None:
    absent = refusal(
        call, "edit_file", path=CONTROLLER, old_text="->simplePaginate(self::PAGES)", new_text=""
    )
    assert "   25              ->simplePaginate(self::PAGE)" in absent
    spaced = "if ($request->filled('email'))  {"
    white = refusal(call, "edit_file", path=CONTROLLER, old_text=spaced, new_text="")
    assert "other white space it stands at line 18" in white
    twice = refusal(call, "edit_file", path=CONTROLLER, old_text="->orderBy('id')", new_text="x")
    assert "lines 24, 41" in twice
    assert "replace_all" in twice


def test_an_edit_of_what_changed_since_it_was_read_is_refused(call: Call) -> None:
    call("read_file", path=RESOURCE)
    call("run_command", command=f"sed -i 's/limit(3)/limit(5)/' {RESOURCE}")
    assert "Read it again" in refusal(
        call, "edit_file", path=RESOURCE, old_text="limit(5)", new_text="limit(3)"
    )
    call("read_file", path=RESOURCE)
    call("edit_file", path=RESOURCE, old_text="limit(5)", new_text="limit(3)")


def test_line_endings_mode_and_the_missing_last_newline_stay(call: Call, bench: Workbench) -> None:
    bench.write("dos.txt", b"one\r\ntwo\r\nthree")
    call("edit_file", path="dos.txt", old_text="one\ntwo", new_text="1\n2")
    assert bench.read("dos.txt") == b"1\r\n2\r\nthree"
    call("run_command", command="chmod 755 dos.txt")
    call("edit_file", path="dos.txt", old_text="three", new_text="3")
    assert "755" in call("run_command", command="stat -c %a dos.txt").text


def test_files_are_created_and_deleted(call: Call, bench: Workbench) -> None:
    assert "2 lines" in call("edit_file", path="app/New.php", new_text="<?php\nreturn 1;\n").text
    assert "is there already" in refusal(call, "edit_file", path="app/New.php", new_text="<?php\n")
    call("edit_file", path="app/New.php", delete=True)
    call("edit_file", path="README.md", delete=True)
    assert bench.edits == {"README.md": None}
    assert "does not exist" in refusal(call, "edit_file", path="app/New.php", old_text="a", new_text="b")


def test_a_syntax_error_is_reported_with_its_line_and_not_refused(call: Call, bench: Workbench) -> None:
    text = call("edit_file", path=RESOURCE, old_text="return [", new_text="return [[").text
    assert "syntax error" in text
    assert "on line" in text
    assert RESOURCE in bench.edits
    assert "not valid JSON" in call("edit_file", path="a.json", new_text="{,}").text


def test_what_never_becomes_part_of_a_patch_is_not_edited(call: Call, bench: Workbench) -> None:
    assert "generated" in refusal(call, "edit_file", path="vendor/autoload.php", old_text="a", new_text="b")
    assert "generated" in refusal(call, "edit_file", path=".env", new_text="b")
    bench.refuse = lambda path: "it is a lock file" if path.endswith(".lock") else ""
    assert "it is a lock file" in refusal(call, "edit_file", path="composer.lock", new_text="b")
    call("run_command", command="ln -s artisan link")
    assert "is a link" in refusal(call, "edit_file", path="link", old_text="#!/usr/bin/env php", new_text="")
    call("run_command", command="rm link")
    bench.refuse = lambda path: ""


# -- commands


def test_a_long_output_is_cut_and_paged_to_its_end(call: Call) -> None:
    text = call("run_command", command="seq 1 30000").text
    assert len(text) < 14_000
    handle = re.search(r"handle (out-\d+)", text)[1]  # type: ignore[index]
    pages, offset = [], 0
    while True:
        page, _, note = call("read_output", handle=handle, offset=offset).text.rpartition("\n[")
        pages.append(page)
        following = re.search(r"go on with offset (\d+)", note)
        if following is None:
            break
        offset = int(following[1])
    assert "".join(pages) == "".join(f"{n}\n" for n in range(1, 30001))
    assert "29999: 29999" in call("read_output", handle=handle, pattern="2999").text
    assert "below that" in refusal(call, "read_output", handle=handle, offset=10**9)
    assert handle in refusal(call, "read_output", handle="out-999")


def test_a_command_that_takes_too_long_or_fails_is_said_so(call: Call) -> None:
    late = call("run_command", command="echo begun; sleep 9", timeout_seconds=1)
    assert late.error
    assert "begun" in late.text
    assert "ended after 1 s" in late.text
    assert "[exit 3," in call("run_command", command="echo no >&2; exit 3").text


def test_what_a_command_changed_is_found_moved_folders_included(call: Call, bench: Workbench) -> None:
    call("run_command", command="mv app/Console app/Cli; echo x > app/made.txt; echo y > storage/logs/a.log")
    assert bench.edits["app/Cli/Kernel.php"] == bench.base.read("app/Console/Kernel.php")
    assert bench.edits["app/Console/Kernel.php"] is None
    assert bench.edits["app/made.txt"] == b"x\n"
    assert not any(path.startswith("storage/") for path in bench.edits)
    call("run_command", command="mv app/Cli app/Console; rm app/made.txt")
    assert bench.edits == {}


def test_a_command_that_changes_the_database_costs_a_fresh_clone(call: Call) -> None:
    text = call("run_command", command="php artisan migrate:fresh --force").text
    assert "database's rows changed" in text or "database's schema changed" in text
    counted = call("run_query", sql="SELECT COUNT(*) AS n FROM orders").text
    assert "a fresh clone of it runs" in counted
    assert "20000" in counted
    assert "fresh clone" not in call("run_query", sql="SELECT 1").text


def test_a_dead_database_server_is_repaired(call: Call, bench: Workbench) -> None:
    bench.app.pod.db.run("pkill -9 mariadbd; sleep 0.3", cwd="/")
    text = call("run_query", sql="SELECT COUNT(*) AS n FROM orders").text
    assert "the database server had died" in text
    assert "20000" in text
    assert " 200 " in call("trace_command").text


def test_a_dead_container_is_opened_again_with_the_edits(call: Call, bench: Workbench) -> None:
    call("edit_file", path="kept.txt", new_text="kept\n")
    bench.app.pod.app.container.remove()  # type: ignore[attr-defined]
    assert "Your edits are kept" in refusal(call, "run_command", command="true")
    assert "    1  kept" in call("read_file", path="kept.txt").text
    assert " 200 " in call("trace_command").text


# -- tests


def test_the_suite_names_what_fails_with_message_and_line(call: Call, bench: Workbench) -> None:
    good = call("run_tests")
    assert good.text.startswith("19 passed, 0 failed")
    assert not good.error
    bench.base_tests = frozenset(
        {"Tests\\Feature\\UserListTest::test_users_of_a_country_come_with_their_orders"}
    )
    call("edit_file", path=RESOURCE, old_text="limit(3)", new_text="limit(2)")
    bad = call("run_tests", filter="UserListTest")
    assert bad.error
    assert bad.text.startswith("7 passed, 1 failed (1 pass on base)")
    assert "test_users_of_a_country_come_with_their_orders (passes on base)" in bad.text
    assert re.search(r"at tests/Feature/UserListTest\.php:\d+", bad.text)
    assert "No test fits" in refusal(call, "run_tests", filter="Nothing")
    bench.base_tests = None


def test_a_class_with_its_namespace_is_a_filter(call: Call) -> None:
    assert call("run_tests", filter="Tests\\Feature\\AccountTest").text.startswith("5 passed, 0 failed")


# -- the database


def test_the_schema_in_brief_and_a_table_in_full(call: Call) -> None:
    brief = call("database_schema").text
    assert re.search(
        r"^orders: ~\d+,\d{3} rows; PRIMARY\(id\); orders_user_id_foreign\(user_id\)", brief, re.M
    )
    full = call("database_schema", table="orders").text
    assert full.startswith("orders: 20,000 rows")
    assert re.search(r"status +varchar\(20\) +not null +5 +default 'pending'", full)
    assert re.search(r"foreign key user_id -> users\(id\) \(rows per parent: median \d+, most [\d,]+\)", full)
    assert re.search(r"referrer_id .* NULL \d+ % ", full)
    assert "texts are utf8mb4_unicode_ci" in full
    assert "Nearest: orders" in refusal(call, "database_schema", table="order")


def test_a_query_shows_rows_with_texts_masked(call: Call) -> None:
    text = call(
        "run_query", sql="SELECT id, name, email, status, created_at FROM users ORDER BY id LIMIT 2"
    ).text
    assert re.search(r"xxxx\.x+\d*@xxxxxxx\.xxx#[0-9a-f]{4}", text)
    assert "active" in text
    assert "2023-01-01 18:34:00" in text
    assert "@example" not in text
    shown = call(
        "run_query", sql="SELECT COUNT(*) AS n FROM users WHERE email = 'purchasing@northwind.example'"
    ).text
    assert "120" in shown


def test_values_are_shown_where_the_user_agrees(call: Call, bench: Workbench) -> None:
    bench.show_values, bench._mask = True, None
    assert "@example." in call("run_query", sql="SELECT email FROM users WHERE id = 1").text
    bench.show_values, bench._mask = False, None


def test_rows_are_capped(call: Call) -> None:
    text = call("run_query", sql="SELECT id FROM orders", limit=5).text
    assert "[5 rows, and more" in text


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("UPDATE users SET name = 'x'", "denied"),
        ("DELETE FROM orders", "denied"),
        ("CREATE TABLE t (a int)", "read only"),
        ("SELECT * FROM users INTO OUTFILE '/tmp/a'", "denied"),
        ("SELECT * FROM users FOR UPDATE", "read only"),
        ("SET GLOBAL general_log = 1", "denied"),
    ],
)
def test_the_server_refuses_what_writes(call: Call, sql: str, word: str) -> None:
    text = refusal(call, "run_query", sql=sql)
    assert word in text.lower()
    assert "bedev_reader" in text
    assert "run_command" in text


def test_faults_of_a_query_come_with_names(call: Call) -> None:
    assert "Nearest names: email" in refusal(call, "run_query", sql="SELECT emial FROM users")
    assert "Nearest names: orders" in refusal(call, "run_query", sql="SELECT * FROM ordres")
    assert "one statement" in refusal(call, "run_query", sql="SELECT 1; DELETE FROM users")
    assert "placeholders" in refusal(call, "explain_query", sql="SELECT * FROM users WHERE id = ?")


def test_a_slow_query_is_ended(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_query_module, "SECONDS", 1.0)
    sql = (
        "SELECT COUNT(*) FROM orders a JOIN orders b ON a.total < b.total JOIN orders c ON c.total < a.total"
    )
    began = time.monotonic()
    assert "too long" in refusal(call, "run_query", sql=sql)
    assert time.monotonic() - began < 15


def test_a_plan_is_drawn_with_findings(call: Call) -> None:
    text = call("explain_query", sql="SELECT * FROM orders WHERE status = 'paid' ORDER BY total LIMIT 5").text
    assert "orders: full-scan, 20,000 rows" in text
    assert "! full-scan: reads all of orders" in text
    assert re.search(r"counted by the server: 20,\d{3} rows examined", text)
    write = call("explain_query", sql="UPDATE users SET name = 'x' WHERE email = 'y'").text
    assert "it was not run" in write


def test_a_traced_query_is_explained_and_advised_by_its_name_without_its_values(call: Call) -> None:
    traced = call("trace_command", http=BY_EMAIL).text
    name = re.search(r"^(q\d+) +1 +1 +5,\d{3} ", traced, re.MULTILINE)[1]  # type: ignore[index]
    assert f"{name} full-" in traced
    plan = call("explain_query", sql=name).text
    assert "users.email = ?" in plan
    assert "northwind" not in plan
    assert "best: users(email)" in call("advise_indexes", sql=[name]).text
    assert name in refusal(call, "explain_query", sql="q999")


def test_a_plan_is_shown_before_and_after_a_migration(call: Call) -> None:
    call("edit_file", path=MIGRATION, new_text=INDEX)
    sql = "SELECT * FROM users WHERE email = 'purchasing@northwind.example'"
    text = call("explain_query", sql=sql).text
    assert "migrations applied" in text
    after, base = text.split("-- base, where it differs")
    assert "users: full-scan" in base
    assert "users: index-lookup, by users_email_index(email)" in after
    same = call("explain_query", sql="SELECT * FROM orders WHERE user_id = 3").text
    assert "base and workspace have the same plan:" in same
    assert same.count("orders: index-lookup") == 1
    before_work, after_work = map(
        int, re.search(r"work ([\d,]+) -> ([\d,]+)", text.replace(",", "")).groups()
    )  # type: ignore[union-attr]
    assert after_work < before_work
    schema = call("database_schema").text
    assert "+ index users.users_email_index(email)" in schema


def test_a_migration_that_fails_is_told_and_mended(call: Call, bench: Workbench) -> None:
    call("edit_file", path=MIGRATION, new_text=INDEX.replace("index('email')", "index('emial')"))
    text = refusal(call, "trace_command")
    assert "Key column 'emial'" in text
    assert MIGRATION in text
    looked = call("run_query", sql="SELECT COUNT(*) AS n FROM orders").text
    assert "this is base's database" in looked
    assert "20000" in looked
    bench.app.pod.db.run("pkill -9 mariadbd; sleep 0.3", cwd="/")
    assert "20000" in call("run_query", sql="SELECT COUNT(*) AS n FROM orders").text
    call("edit_file", path=MIGRATION, old_text="'emial'", new_text="'email'")
    traced = call("trace_command", http=BY_EMAIL).text
    assert "answer: same as base" in traced
    assert re.search(r"work [\d,]+ -> [\d,]+ \([\d.]+ times less\)", traced)


# -- traces


def test_the_scenario_is_traced_with_its_n_plus_one(call: Call, bench: Workbench) -> None:
    text = call("trace_command").text
    assert text.startswith("GET /api/users?page=40 -> 200 application/json")
    assert f"queries {bench.known[0].queries}, statements 79 " in text
    assert f", work {bench.known[0].work:,}, " in text
    assert '"... 24 more"' in text
    assert '"per_page": 25' in text
    assert f"N+1: {RESOURCE}:19 asks orders 25 times" in text
    assert re.search(
        rf"^q\d+ +25 +25 +~\d+ +~[\d,]+ +[\d.]+  {RESOURCE}:21  select \* from orders", text, re.MULTILINE
    )
    assert "@" not in text.replace("@xxx", "")
    assert len(text) < 3000


def test_an_n_plus_one_is_gone_after_the_edit_and_the_answer_is_base_s(call: Call) -> None:
    old = "$customers = User::query()"
    call("edit_file", path=CONTROLLER, old_text=old, new_text=f"{old}->with('country')->withCount('orders')")
    call("edit_file", path=RESOURCE, old_text="$this->orders()->count()", new_text="$this->orders_count")
    text = call("trace_command").text
    assert "answer: same as base" in text
    assert re.search(
        r"base -> workspace: queries 76 -> 27, statements 79 -> 30, work [\d,]+ -> [\d,]+ "
        r"\([\d.]+ times less\)",
        text,
    )
    assert '{"data"' not in text
    assert "(new)" not in text
    assert f"{RESOURCE}:19" not in text
    assert f"N+1: {RESOURCE}:21" in text
    other = call("trace_command", http="GET /api/users?country=SE").text
    assert "answer: same as base" in other
    assert re.search(r"queries \d+ -> 27", other)


def test_an_edit_that_changes_the_answer_is_told_with_the_shortest_example(call: Call) -> None:
    call("edit_file", path=RESOURCE, old_text="limit(3)", new_text="limit(2)")
    text = call("trace_command").text
    assert re.search(
        r"answer: DIFFERS from base: body data\[\d+\]\.latest_orders: base 3 items, workspace 2 items", text
    )


def test_an_error_of_the_application_comes_with_its_log(call: Call) -> None:
    call("edit_file", path=RESOURCE, old_text="limit(3)", new_text="limits(3)")
    text = call("trace_command").text
    assert "-> 500" in text
    assert "limits()" in text
    assert "status: base 200, workspace 500" in text


def test_commands_statements_and_users_are_traced(call: Call) -> None:
    command = call("trace_command", command="php artisan report:daily").text
    assert "exit 0" in command
    assert "app/Console/Commands/DailyReport.php:" in command
    assert "40,000 rows examined" in command
    counted = call("trace_command", sql="SELECT COUNT(*) FROM orders").text
    assert "20,000 rows examined" in counted
    assert "100 x 1 statements" in counted
    assert "call site" not in counted
    assert "this is base" not in counted
    mine = call("trace_command", http="GET /api/account/referrals", as_user="users:3").text
    assert "-> 200" in mine
    assert "app/Http/Controllers/AccountController.php:39" in mine
    assert "-> 401" in call("trace_command", http="GET /api/account/referrals").text
    assert "There is no user" in call("trace_command", http="GET /api/account", as_user="users:999999").text


def test_reading_through_temporary_tables_is_no_write_and_a_write_is_named(call: Call) -> None:
    call(
        "trace_command",
        sql="SELECT id, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY placed_at) AS n FROM orders",
    )
    call("trace_command", http="GET /api/users?page=99999")
    assert "fresh clone" not in call("run_query", sql="SELECT 1").text
    wrote = call(
        "trace_command",
        command="php artisan db:seed --force --class=CountrySeeder || php artisan db:seed --force",
    ).text
    assert re.search(r"^wrote .*countries.*: the next tool that measures takes a fresh clone", wrote, re.M)
    assert "had written to" in call("run_query", sql="SELECT 1").text


def test_several_requests_are_compared_in_a_line_each(call: Call) -> None:
    requests = ["GET /api/countries", BY_EMAIL, "GET /api/users?page=99999"]
    assert call("trace_command", http=requests).text.startswith("nothing is edited yet")
    call("edit_file", path=MIGRATION, new_text=INDEX)
    lines = call("trace_command", http=requests).text.splitlines()[-3:]
    assert re.search(r"^GET /api/countries -> 200: queries 1 -> 1, .*\(the same\)", lines[0])
    assert re.search(r"times less\).*; answer same as base$", lines[1])
    nine = call("trace_command", http=["GET /api/countries"] * 8 + ["GET /api/health"]).text
    assert nine.rstrip().endswith("[8 at once: not asked: GET /api/health]")
    assert "no request" in refusal(call, "trace_command", http=["countries"])


def test_findings_of_plans_are_new_or_gone_or_were_there(call: Call) -> None:
    call("edit_file", path=MIGRATION, new_text=INDEX)
    text = call("trace_command", http=BY_EMAIL).text
    assert re.search(r"^gone: full-(index-)?scan: ", text, re.MULTILINE)
    assert re.search(r"5,\d{3} -> 1\d\d ", text)
    scenario = call("trace_command").text
    assert "full-index-scan: reads the whole index PRIMARY: 1,001 entries (as on base)" in scenario
    assert "gone: " not in scenario


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"http": "http://host/api"}, "begins with a slash"),
        ({"http": "GET /a b"}, "without spaces"),
        ({"http": "GET /a", "sql": "SELECT 1"}, "Give one of"),
        ({"http": "GET /a", "as_user": "7"}, "users:1"),
        ({"sql": "SELECT nothing FROM users"}, "nothing"),
    ],
)
def test_a_wrong_question_is_answered_with_a_right_one(call: Call, given: dict[str, str], word: str) -> None:
    assert word in refusal(call, "trace_command", **given)


# -- advice


def test_indexes_are_tried_and_the_best_ones_migration_works(call: Call, bench: Workbench) -> None:
    before = bench.app.schema_dump()
    text = call("advise_indexes", http=BY_EMAIL).text
    assert bench.app.schema_dump() == before
    assert re.search(
        r"^users\(email\) +[\d,]+ -> [\d,]+ +[\d.]+ times less +[\d.]+ +[\d.]+ s  ", text, re.MULTILINE
    )
    assert "best: users(email)" in text
    assert "$table->index('email');" in text
    assert "<?php" not in text
    assert bench.edits == {}
    wrote = call("advise_indexes", http=BY_EMAIL, write=True)
    assert "index tried" not in wrote.text  # measured a moment ago: it is written, not measured again
    path = re.search(r"created (\S+): ", wrote.text)[1]  # type: ignore[index]
    assert list(bench.edits) == [path]
    traced = call("trace_command", http=BY_EMAIL).text
    assert "answer: same as base" in traced
    assert "times less" in traced


def test_what_no_index_settles_is_said(call: Call) -> None:
    text = call(
        "advise_indexes",
        sql=[
            "SELECT * FROM users WHERE LOWER(email) = 'x'",
            "SELECT * FROM users WHERE name LIKE '%son'",
            "SELECT * FROM orders WHERE status = 'paid' OR total > 5 ORDER BY total * 2",
        ],
    ).text
    assert "inside an expression" in text
    assert "1: " in text
    assert "begins with a wildcard" in text
    assert "OR over several columns" in text
    assert "order is computed" in text
    scenario = call("advise_indexes").text
    assert f"N+1: {RESOURCE}:19" in scenario


def test_the_column_of_max_and_that_inside_date_are_tried(call: Call) -> None:
    latest = call("advise_indexes", sql=["SELECT MAX(placed_at) FROM orders"]).text
    assert "best: orders(placed_at)" in latest
    assert "its first or last entry is the MIN or MAX of placed_at" in latest
    daily = call(
        "advise_indexes", sql=["SELECT COUNT(*), SUM(total) FROM orders WHERE DATE(placed_at) = '2025-05-01'"]
    ).text
    assert "best: orders(placed_at, total)" in daily
    assert "needs a range" not in daily
    assert "…" not in daily


def test_a_range_is_asked_for_where_the_trial_of_the_column_does_not_help(call: Call) -> None:
    sql = "SELECT * FROM orders WHERE YEAR(placed_at) >= 1990"
    assert "needs a range of placed_at" in call("advise_indexes", sql=[sql]).text


def test_the_workspace_s_diff_is_shown_and_git_named_once(call: Call) -> None:
    assert call("list_files", changed=True).text == "the workspace equals base"
    call("edit_file", path=RESOURCE, old_text="limit(3)", new_text="limit(4)")
    call("edit_file", path="app/New.php", new_text="<?php\n")
    diff = call("list_files", changed=True).text
    assert diff.startswith("2 files changed")
    assert f"--- {RESOURCE}\n+++ {RESOURCE}\n" in diff
    assert "--- /dev/null\n+++ app/New.php" in diff
    assert "app/New.php" not in call("list_files", changed=True, path="app/Http").text
    assert "list_files with changed" in call("run_command", command="git diff").text
    assert "list_files with changed" not in call("run_command", command="git status").text


def test_the_framework_is_named_with_its_source(bench: Workbench) -> None:
    words = framework(bench.app.stack, bench.app.pod.app)
    assert re.fullmatch(r"Laravel \d+\.\d+\.\d+, source in /usr/share/php/Illuminate", words)


def test_base_s_copy_can_be_closed_and_comes_back(call: Call, bench: Workbench) -> None:
    bench.rest()
    call("edit_file", path="note.txt", new_text="x\n")
    assert "answer: same as base" in call("trace_command", http="GET /api/countries").text
