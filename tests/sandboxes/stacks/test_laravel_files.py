"""Migrations that Laravel would have made, and what its reports say."""

from __future__ import annotations

import pytest
from bedev.sandboxes.engines.engine import ForeignKey, Index, IndexSpec, Schema, Table
from bedev.sandboxes.errors import SetUpFailed, UsageError
from bedev.sandboxes.stacks.stack import load

from .contract import FilesTree

LARAVEL = load("laravel")
MOMENT = "2026-01-02 03:04:05"
EXISTING = "database/migrations/2024_03_01_090200_create_orders_table.php"


def test_a_migration_looks_like_laravel_s_own() -> None:
    tree = FilesTree(
        {EXISTING: "<?php\n\nreturn new class extends Migration\n{\n    public function up(): void\n"}
    )
    written = LARAVEL.write_migration(tree, [IndexSpec("orders", ("status", "placed_at"))], MOMENT)
    assert (
        written.path == "database/migrations/2026_01_02_030405_add_status_placed_at_index_to_orders_table.php"
    )
    assert (
        written.content.decode()
        == """<?php

use Illuminate\\Database\\Migrations\\Migration;
use Illuminate\\Database\\Schema\\Blueprint;
use Illuminate\\Support\\Facades\\Schema;

return new class extends Migration
{
    public function up(): void
    {
        Schema::table('orders', function (Blueprint $table) {
            $table->index(['status', 'placed_at']);
        });
    }

    public function down(): void
    {
        Schema::table('orders', function (Blueprint $table) {
            $table->dropIndex(['status', 'placed_at']);
        });
    }
};
"""
    )


def test_old_repositories_get_a_named_class_in_their_own_style() -> None:
    old = "<?php\r\n\r\nclass CreateOrdersTable extends Migration\r\n{\r\n\tpublic function up()\r\n\t{\r\n"
    tree = FilesTree(
        {EXISTING: old, "database/migrations/2024_09_01_000000_add_email_index_to_users_table.php": old}
    )
    written = LARAVEL.write_migration(tree, [IndexSpec("users", ("email",), unique=True)], MOMENT)
    text = written.content.decode()
    assert written.path.endswith("_add_email_index_to_users_table_2.php")
    assert "class AddEmailIndexToUsersTable2 extends Migration\r\n" in text
    assert "\r\n\tpublic function up()\r\n\t{\r\n\t\tSchema::table('users'" in text
    assert "$table->unique('email');" in text
    assert "$table->dropUnique(['email']);" in text
    assert "    " not in text


def test_several_indexes_are_grouped_by_table_and_dropped_in_reverse() -> None:
    indexes = [
        IndexSpec("orders", ("a",)),
        IndexSpec("users", ("b",)),
        IndexSpec("orders", ("c",), name="mine"),
    ]
    text = LARAVEL.write_migration(FilesTree({}), indexes, MOMENT).content.decode()
    up, down = text.split("function down")
    assert up.index("index('a')") < up.index("index('c', 'mine')") < up.index("index('b')")
    assert down.index("dropIndex(['b'])") < down.index("dropIndex('mine')") < down.index("dropIndex(['a'])")


def test_only_a_name_that_is_too_long_is_chosen() -> None:
    long = IndexSpec("customer_order_line_items", ("fulfilment_status", "warehouse_location_code"))
    assert (
        LARAVEL.default_index_name(IndexSpec("orders", ("status", "placed_at")))
        == "orders_status_placed_at_index"
    )
    assert len(LARAVEL.default_index_name(long)) > 64
    text = LARAVEL.write_migration(FilesTree({}), [long], MOMENT).content.decode()
    name = text.split("], '")[1].split("'")[0]
    assert len(name) <= 63
    assert f"dropIndex('{name}')" in text


def test_a_foreign_key_gets_its_own_index_back() -> None:
    key = ForeignKey("orders_user_id_foreign", ("user_id",), "users", ("id",))
    own = Index("orders_user_id_foreign", ("user_id",), False)
    index = IndexSpec("orders", ("user_id", "placed_at"))

    def down(*indexes: Index) -> str:
        schema = Schema((Table("orders", (), indexes, (key,)),))
        return (
            LARAVEL.write_migration(FilesTree({}), [index], MOMENT, schema).content.decode().split("down")[1]
        )

    assert down(own).index("$table->index('user_id', 'orders_user_id_foreign')") < down(own).index(
        "dropIndex"
    )
    assert "_foreign" not in down(own, Index("by_user", ("user_id", "status"), False))


def test_on_postgresql_an_index_is_built_beside_writers() -> None:
    indexes = [IndexSpec("orders", ("user_id", "placed_at")), IndexSpec("users", ("email",), unique=True)]
    key = ForeignKey("orders_user_id_foreign", ("user_id",), "users", ("id",))
    schema = Schema((Table("orders", (), (Index("orders_user_id_foreign", ("user_id",), False),), (key,)),))
    text = LARAVEL.write_migration(FilesTree({}), indexes, MOMENT, schema, "postgres").content.decode()
    up, down = text.split("function down")
    name = "orders_user_id_placed_at_index"
    assert "public $withinTransaction = false;" in up
    # What a build that failed has left would keep the name.
    assert up.index(f'drop index concurrently if exists "{name}"') < up.index(
        f'create index concurrently "{name}" on "orders" ("user_id", "placed_at")'
    )
    assert 'create unique index concurrently "users_email_unique" on "users" ("email")' in up
    assert down.index('"users_email_unique"') < down.index(f'"{name}"')
    assert "Schema" not in text
    assert "_foreign" not in text


def test_tests_on_another_server_than_postgresql_migrate_too() -> None:
    suite = '<phpunit><php><env name="DB_CONNECTION" value="sqlite"/></php></phpunit>'
    tree = FilesTree({"phpunit.xml": suite})
    text = LARAVEL.write_migration(tree, [IndexSpec("orders", ("a",))], MOMENT, None, "postgres").content
    for part, call in zip(
        text.decode().split("function down"), ("index('a')", "dropIndex(['a'])"), strict=True
    ):
        assert (
            part.index("getDriverName() !== 'pgsql'") < part.index(f"$table->{call};") < part.index("return;")
        )
        assert part.index("return;") < part.index("concurrently")
    assert (
        "use Illuminate\\Database\\Schema\\Blueprint;\nuse Illuminate\\Support\\Facades\\DB;\n"
        in text.decode()
    )


def test_a_table_prefix_is_left_to_laravel() -> None:
    connection = "'mysql' => ['prefix' => env('DB_PREFIX', '')]"
    config = f"<?php return ['default' => 'mysql', 'connections' => [{connection}]];"
    tree = FilesTree({"config/database.php": config, ".env.example": "DB_PREFIX=shop_\n"})
    text = LARAVEL.write_migration(tree, [IndexSpec("shop_orders", ("status",))], MOMENT).content.decode()
    assert "Schema::table('orders'" in text
    assert "$table->index('status', 'shop_orders_status_index');" in text
    assert "$table->dropIndex('shop_orders_status_index');" in text


@pytest.mark.parametrize("name", ["o'rders", "a\nb", "$(id)", "", "x`y"])
def test_names_that_are_no_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        LARAVEL.write_migration(FilesTree({}), [IndexSpec("orders", (name,))], MOMENT)


def test_test_reports_are_read_through_all_their_suites() -> None:
    junit = b"""<?xml version="1.0"?>
<testsuites><testsuite name="/work/phpunit.xml"><testsuite name="Feature"><testsuite name="Tests\\ATest">
  <testcase name="test_one" class="Tests\\ATest" classname="Tests.ATest" time="0.25"/>
  <testsuite name="Tests\\ATest::test_many">
    <testcase name="test_many with data set #0" class="Tests\\ATest" time="0.1"/>
    <testcase name="test_many with data set #0" class="Tests\\ATest" time="0.1">
      <failure type="F">Failed \x1b[31m asserting</failure></testcase>
  </testsuite>
  <testcase name="test_error" classname="Tests.ATest" time="0"><error type="E">boom</error></testcase>
  <testcase name="test_skip" class="Tests\\ATest" time="0"><skipped/></testcase>
</testsuite></testsuite></testsuite></testsuites>"""
    found = {case.id: case.status for case in LARAVEL.parse_tests(junit)}
    assert found == {
        "Tests\\ATest::test_one": "passed",
        "Tests\\ATest::test_many with data set #0": "passed",
        "Tests\\ATest::test_many with data set #0 (2)": "failed",
        "Tests\\ATest::test_error": "error",
        "Tests\\ATest::test_skip": "skipped",
    }


@pytest.mark.parametrize("junit", [b"", b"<testsuites>", b'<!DOCTYPE x [<!ENTITY a "b">]><testsuites/>'])
def test_a_report_that_is_none_is_said(junit: bytes) -> None:
    with pytest.raises(SetUpFailed):
        LARAVEL.parse_tests(junit)


def test_a_trace_that_was_cut_off_keeps_its_whole_lines() -> None:
    text = (
        b'{"kind":"begin","id":"7-a","what":"GET /api/users"}\n'
        b'{"kind":"query","id":"7-a","sql":"select 1","bindings":[1,null],"ms":0.5,"file":"app/A.php",'
        b'"line":3,"function":"A::b","stack":["app/A.php:3"]}\n'
        b'{"kind":"more","id":"7-a","sql":"select 2","bindings":[],"ms":9.0,"calls":40}\n'
        b'{"kind":"query","id":"7-a","sq'
    )
    first, folded = LARAVEL.parse_trace(text)
    assert (first.file, first.line, first.bindings, first.request) == (
        "app/A.php",
        3,
        (1, None),
        "GET /api/users",
    )
    assert (folded.calls, folded.milliseconds) == (40, 9.0)


@pytest.mark.parametrize("user", ["users", "users:", ":1"])
def test_a_user_that_is_not_named_whole_is_refused(user: str) -> None:
    with pytest.raises(UsageError):
        LARAVEL.serve_environment(user, "")
