"""What tools say, without a container: masks, diffs, plans, schemas, statements, near names."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from bedev.sandboxes.engines.engine import (
    Column,
    Counters,
    ForeignKey,
    Index,
    Plan,
    PlanFinding,
    PlanNode,
    Schema,
    Statement,
    Table,
)
from bedev.sandboxes.engines.plan_findings import findings
from bedev.sandboxes.errors import DatabaseError
from bedev.tools.database import schema_words
from bedev.tools.database.plan_tree import draw, examined, missing
from bedev.tools.database.statement import one_statement, refused
from bedev.tools.database.workload import build
from bedev.tools.edit_file import small_diff
from bedev.tools.masking import Mask, words_of_code
from bedev.tools.near_names import near_names, near_paths
from bedev.tools.scenarios.answers import http_answer
from bedev.tools.scenarios.compare import Difference
from bedev.tools.scenarios.measured import Measured, written
from bedev.tools.scenarios.scenario import http_question
from bedev.tools.scenarios.trace_words import (
    BaseFigures,
    beside,
    body_head,
    difference_words,
    log_words,
    ratio,
)
from bedev.tools.search_code import escaped
from bedev.tools.text_table import aligned
from bedev.tools.tool import ToolFailed
from hypothesis import given
from hypothesis import strategies as st


def column(name: str, kind: str = "int", nullable: bool = False) -> Column:
    return Column(name, kind, kind.split("(")[0], nullable)


MEMBERS = Table(
    "members",
    (column("id"), column("email", "varchar(200)"), column("left_at", "datetime", True)),
    (Index("PRIMARY", ("id",), True, True),),
    (ForeignKey("fk", ("club_id",), "clubs", ("id",)),),
    rows=1200,
)
SCHEMA = Schema((MEMBERS,))


# -- masks


def test_a_mask_keeps_the_shape_and_tells_equal_from_different() -> None:
    mask = Mask()
    one, same, other = mask.value("ann@b.org"), mask.value("ann@b.org"), mask.value("bob@b.org")
    assert one == same != other
    assert re.fullmatch(r"xxx@x\.xxx#[0-9a-f]{4}", one)


@pytest.mark.parametrize(
    "value", [None, True, 7, 2.5, "", "12.50", "2024-05-01 10:00:00", "2024-05-01T10:00:00Z"]
)
def test_numbers_dates_and_nothing_are_shown(value: object) -> None:
    assert Mask().value(value) == value


def test_marks_are_the_same_for_the_same_key_alone() -> None:
    assert Mask(key=b"run 1").value("ann@b.org") == Mask(key=b"run 1").value("ann@b.org")
    assert Mask(key=b"run 1").value("ann@b.org") != Mask(key=b"run 2").value("ann@b.org")
    assert Mask().value("ann@b.org") != Mask().value("ann@b.org")


def test_digits_in_a_text_are_no_number() -> None:
    assert Mask().value("4917612345678", text=True) != "4917612345678"
    assert Mask().json({"phone": "4917612345678", "total": "122.26"})["total"] == "122.26"
    assert "4917" not in str(Mask().json({"phone": "4917612345678"}))
    assert Mask().value("4917612345678") == "4917612345678"


@given(st.text(min_size=1))
def test_no_letter_of_a_masked_text_is_left(text: str) -> None:
    masked = str(Mask().text(text)).rsplit("#", 1)[0].rstrip("…")
    assert not {c for c in masked if c.isalpha()} - {"x"}


def test_a_json_answer_keeps_its_keys_and_loses_its_texts() -> None:
    masked = Mask().json({"data": [{"name": "Ann", "age": 5}]})
    assert masked["data"][0]["age"] == 5
    assert "Ann" not in str(masked)


class Code:
    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def paths(self) -> tuple[str, ...]:
        return tuple(self.files)

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)


def test_words_of_the_code_stay_but_not_those_of_its_seed_data() -> None:
    code = Code({"app/Order.php": b"['paid', 'open']", "database/seeders/S.php": b"['Ann', 'Ben']"})
    assert words_of_code(code) == {"paid", "open"}
    mask = Mask(plain=words_of_code(code))
    assert mask.value("paid") == "paid"
    assert mask.value("Ann") != "Ann"


# -- text


def test_numbers_stand_at_the_right_and_long_cells_are_cut() -> None:
    lines = aligned(("n", "name"), [("5", "a"), ("12", "b" * 50)], {0}, 20)
    assert lines == [" n  name", " 5  a", f"12  {'b' * 19}…"]


def test_near_names_and_paths() -> None:
    assert near_names("emial", ["email", "id"]) == ("email",)
    paths = ["app/Models/User.php", "tests/UserTest.php", "app/Order.php"]
    assert near_paths("app/User.php", paths)[0] == "app/Models/User.php"


@given(st.text(alphabet="ab.[](){}*+?^$|\\-", min_size=1))
def test_an_escaped_text_fits_itself(text: str) -> None:
    assert re.fullmatch(escaped(text), text)


def test_a_diff_shows_what_changed_with_its_lines() -> None:
    before = "a\nb\nc\nd\ne\n"
    assert small_diff(before, before.replace("c", "C\nC2")).splitlines() == [
        "    2   b",
        "      - c",
        "    3 + C",
        "    4 + C2",
        "    5   d",
    ]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.lists(st.sampled_from("abc"), max_size=30))
def test_a_diff_has_every_added_line_where_it_stands(old: list[str], new: list[str]) -> None:
    for line in small_diff("\n".join(old), "\n".join(new)).splitlines():
        found = re.fullmatch(r" *(\d+) [+ ] (.)", line)
        assert found or re.fullmatch(r" {6}- .", line) or line == "   ..." or line.startswith("[")
        if found:
            assert new[int(found[1]) - 1] == found[2]


def test_a_diff_of_a_large_file_takes_no_time_squared() -> None:
    before = "}\n" * 30_000 + "x\n" + "}\n" * 30_000
    assert "- x" in small_diff(before, before.replace("x", "y"))


# -- plans


def plan(*nodes: PlanNode, findings: tuple[PlanFinding, ...] = (), analyzed: bool = True) -> Plan:
    return Plan("mariadb", "select 1", PlanNode("result", children=nodes), findings, analyzed)


def test_a_plan_is_a_tree_with_rows_index_and_findings() -> None:
    table = PlanNode(
        "table",
        "orders",
        "index-lookup",
        "orders_user",
        ("user_id",),
        estimated_rows=10,
        actual_rows=2500,
        loops=25,
        filtered_percent=4,
        milliseconds=1.25,
        condition="status = 'paid'",
    )
    sort = PlanNode("sort", condition="placed_at", actual_rows=3, children=(table,))
    text = draw(plan(sort, findings=(PlanFinding("filesort", "orders", "sorts by placed_at"),)))
    assert text.splitlines() == [
        "sort, 3 rows, by placed_at",
        "  orders: index-lookup, by orders_user(user_id), 2,500 rows (expected 10) in 25 loops, keeps 4 %, "
        "1.2 ms, where status = 'paid'",
        "! filesort: sorts by placed_at",
    ]


def test_of_two_plans_only_what_differs_is_left() -> None:
    scan = PlanNode("table", "users", "full-scan", actual_rows=5000, condition="email = 'a'")
    lookup = PlanNode("table", "users", "index-lookup", "by_email", ("email",), actual_rows=5)
    orders = PlanNode("table", "orders", "index-lookup", "user", actual_rows=3)
    finding = PlanFinding("full-scan", "users", "reads all of users")
    base, now = plan(scan, orders, findings=(finding,)), plan(lookup, replace(orders, actual_rows=9))
    assert missing(base, now) == [
        "users: full-scan, 5,000 rows, where email = 'a'",
        "! full-scan: reads all of users",
    ]
    assert missing(now, base) == ["users: index-lookup, by by_email(email), 5 rows"]
    assert missing(now, now) == []


def test_too_few_rows_under_a_limit_or_an_outer_filter_are_no_bad_estimate() -> None:
    ended = PlanNode("table", "orders", "index-lookup", estimated_rows=5000, actual_rows=3, loops=1)
    assert [f.id for f in findings(ended)] == ["bad-estimate"]
    assert findings(ended, limited=True) == ()
    more = replace(ended, estimated_rows=3, actual_rows=5000)
    assert [f.id for f in findings(more, limited=True)] == ["bad-estimate"]
    inner = replace(ended, estimated_loops=1000, loops=2, estimated_rows=5000, actual_rows=10)
    assert findings(inner) == ()
    assert [f.id for f in findings(replace(inner, actual_rows=2000))] == ["bad-estimate"]


def test_a_sort_of_no_table_names_none() -> None:
    (found,) = findings(PlanNode("sort"))
    assert found.words == "sorts without an index"


def test_rows_examined_are_those_of_tables_and_unknown_where_nothing_ran() -> None:
    derived = PlanNode("table", "<derived2>", actual_rows=7)
    assert examined(plan(PlanNode("table", "a", actual_rows=5), derived)) == 5
    assert examined(plan(PlanNode("table", "a", estimated_rows=5), analyzed=False)) is None


def test_a_huge_plan_is_cut() -> None:
    text = draw(plan(*(PlanNode("table", f"t{n}", "full-scan") for n in range(500))))
    assert "[440 more steps]" in text


# -- schemas


def test_a_schema_in_brief_names_rows_indexes_keys_and_nullable_columns() -> None:
    assert schema_words.brief(SCHEMA).splitlines() == [
        "members: ~1,200 rows; PRIMARY(id); club_id -> clubs(id)",
        "  id, email, left_at?",
    ]


def test_a_large_schema_loses_its_columns_first() -> None:
    many = Schema(tuple(replace(MEMBERS, name=f"t{n}") for n in range(60)))
    assert "left_at" not in schema_words.brief(many)


def test_what_a_migration_changed_is_said_both_ways() -> None:
    now = replace(
        MEMBERS,
        columns=(*MEMBERS.columns[:1], replace(MEMBERS.columns[1], type="varchar(50)"), column("age")),
        indexes=(*MEMBERS.indexes, Index("by_email", ("email", "id"), True)),
        foreign_keys=(),
    )
    changes = schema_words.differences(SCHEMA, Schema((now, replace(MEMBERS, name="new"))))
    assert set(changes) == {
        "~ column members.email: email varchar(200) not null -> email varchar(50) not null",
        "+ column members.age int not null",
        "- column members.left_at datetime NULL",
        "+ index members.by_email(email, id) unique",
        "- foreign key members.fk",
        "+ table new",
    }
    assert schema_words.differences(SCHEMA, SCHEMA) == ()


# -- statements


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("select 1; select 2", "one statement"),
        ("select * from a where id = ?", "placeholders"),
        (" ; ", "no statement"),
        ("-- nothing", "no statement"),
    ],
)
def test_what_is_not_one_statement_with_values_is_refused(sql: str, word: str) -> None:
    with pytest.raises(ToolFailed, match=word):
        one_statement(sql, "mysql")


def test_marks_within_texts_are_no_statements_of_their_own() -> None:
    assert one_statement("select ';?' ;\n", "mysql") == "select ';?'"


def test_a_refusal_names_what_was_meant_and_hides_values() -> None:
    error = DatabaseError("Unknown column 'emial' in 'field list' near 'Ann Smith'")
    failure = refused(error, "select emial from members", SCHEMA, Mask(), "role reader")
    assert "Nearest names: email." in failure.text
    assert "'emial' in 'field list'" in failure.text
    assert "Ann" not in failure.text


def test_a_refused_write_says_what_to_use_instead() -> None:
    error = DatabaseError("UPDATE command denied to user 'r'@'127.0.0.1'")
    failure = refused(error, "update members set id = 1", SCHEMA, Mask(), "role reader")
    assert "only read" in failure.text
    assert "run_command" in failure.text


# -- traces


def test_lists_of_an_answer_are_their_first_item_and_how_many_follow() -> None:
    body = {"data": [{"id": n, "tags": ["a", "b", "c"]} for n in range(50)], "meta": {"total": 50}}
    answer = http_answer(200, (("content-type", "application/json"),), json.dumps(body).encode())
    shown = json.loads(body_head(answer, Mask(plain=frozenset("abc"))))
    assert shown["data"] == [{"id": 0, "tags": ["a", "... 2 more"]}, "... 49 more"]
    assert shown["meta"] == {"total": 50}


def measured(seconds: float, runs: int = 3, statements: int = 5) -> Measured:
    return Measured(
        http_question("GET /a"),
        http_answer(200, (), b""),
        seconds,
        Counters(statements=statements),
        (),
        (),
        runs=runs,
    )


def test_time_stands_in_the_headline_only_where_it_differs() -> None:
    base = BaseFigures(3, 1000, 0.1, 5)
    assert beside(base, measured(0.09)) == (
        "base -> workspace: queries 3 -> 0, statements 5 -> 5, work 1,000 -> 500 (2.0 times less)"
    )
    assert beside(base, measured(0.03)).endswith(", 100 -> 30 ms")
    assert beside(base, measured(2.0, runs=1)).endswith(", 100 -> 2000 ms (one run)")


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("with a as (select 1) select * from a", ()),
        ("select * from users for update", ()),
        ("(select 1) union (select 2)", ()),
        ("insert into logs values (1)", ("logs",)),
        ("update users set name = 'x'", ("users",)),
        ("call recount()", ("?",)),
    ],
)
def test_only_statements_that_write_are_writes(sql: str, tables: tuple[str, ...]) -> None:
    assert written(build([Statement(sql, 1)])) == tables


@pytest.mark.parametrize(
    ("base", "now", "words"),
    [(100, 50, "2.0 times less"), (50, 100, "2.0 times more"), (7, 7, "the same"), (7, 0, "none now")],
)
def test_ratios_in_words(base: int, now: int, words: str) -> None:
    assert ratio(base, now) == words


def test_a_difference_shows_counts_and_hides_texts() -> None:
    found = difference_words(Difference("body", "data", "25 items", "24 items"), "http", Mask())
    assert found == "body data: base 25 items, workspace 24 items"
    hidden = difference_words(Difference("body", "data[0].name", '"Ann"', '"Ben"'), "http", Mask())
    assert "Ann" not in hidden
    assert "Ben" not in hidden
    assert "data[0].name" in hidden


def test_the_last_error_of_a_log_comes_with_the_applications_own_frames() -> None:
    log = "\n".join(
        [
            "[1] production.ERROR: old",
            "[2] production.ERROR: Call to undefined method",
            "[stacktrace]",
            "#0 /work/vendor/laravel/Error.php(3): x()",
            "#1 /work/app/Http/Users.php(26): y()",
        ]
    )
    assert log_words(log).splitlines() == [
        "[2] production.ERROR: Call to undefined method",
        "#1 app/Http/Users.php(26): y()",
    ]
