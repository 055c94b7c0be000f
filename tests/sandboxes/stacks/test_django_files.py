"""Migrations in Django's style and naming, and the models that declare the same index."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from bedev.sandboxes.engines.engine import Column, ForeignKey, Index, IndexSpec, Schema, Table
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.stacks.django.models import find_model, with_declaration
from bedev.sandboxes.stacks.stack import MigrationFile, load

from .contract import FilesTree

EXAMPLE = Path(__file__).parents[3] / "examples" / "django-slow-users"
DJANGO = load("django")
MOMENT = "2026-01-02 03:04:05"
EMAIL = IndexSpec("users", ("email",))
ENTRY = 'models.Index(fields=["email"], name="i")'
INITIAL = """from django.db import migrations


class Migration(migrations.Migration):
    dependencies = []
    operations = []
"""


def written(
    tree: FilesTree, *indexes: IndexSpec, schema: Schema | None = None, engine: str = ""
) -> MigrationFile:
    made = DJANGO.write_migration(tree, indexes, MOMENT, schema, engine)
    for content in made.files.values():
        ast.parse(content)
    return made


def test_a_migration_and_its_model_are_written_together() -> None:
    made = written(FilesTree.of(EXAMPLE), EMAIL)
    assert list(made.files) == ["shop/migrations/0003_user_users_email_4b85f2_idx.py", "shop/models.py"]
    assert made.content.decode() == (
        "from django.db import migrations, models\n\n\n"
        "class Migration(migrations.Migration):\n"
        "    dependencies = [\n"
        '        ("shop", "0002_order_referrer_id"),\n'
        "    ]\n\n"
        "    operations = [\n"
        "        migrations.AddIndex(\n"
        '            model_name="user",\n'
        '            index=models.Index(fields=["email"], name="users_email_4b85f2_idx"),\n'
        "        ),\n"
        "    ]\n"
    )
    before = (EXAMPLE / "shop/models.py").read_text().splitlines()
    after = made.others["shop/models.py"].decode().splitlines()
    assert [line for line in after if line not in before] == [
        '        indexes = [models.Index(fields=["email"], name="users_email_4b85f2_idx")]'
    ]


def test_fields_stand_for_columns_and_names_are_as_django_makes_them() -> None:
    made = written(FilesTree.of(EXAMPLE), IndexSpec("orders", ("user_id", "placed_at")))
    assert b'fields=["user", "placed_at"], name="orders_user_id_9be688_idx"' in made.content
    country = written(FilesTree.of(EXAMPLE), IndexSpec("users", ("country_code",)))
    assert b'fields=["country"]' in country.content


def test_postgresql_builds_beside_writers_and_outside_a_transaction() -> None:
    text = written(FilesTree.of(EXAMPLE), EMAIL, engine="postgres").content.decode()
    assert "from django.contrib.postgres.operations import AddIndexConcurrently\n" in text
    assert "    atomic = False\n" in text
    assert "        AddIndexConcurrently(\n" in text
    unique = written(FilesTree.of(EXAMPLE), IndexSpec("users", ("email",), unique=True), engine="postgres")
    assert b"atomic" not in unique.content
    assert (
        b'AddConstraint(\n            model_name="user",\n            constraint=models.Unique'
        in unique.content
    )
    assert b"        constraints = [" in unique.others["shop/models.py"]


def table(name: str, key: str, column: str) -> Table:
    columns = (Column("id", "bigint", "bigint", False), Column(column, "bigint", "bigint", False))
    indexes = (Index("PRIMARY", ("id",), True, True), Index(key, (column,), False))
    return Table(name, columns, indexes, (ForeignKey(key, (column,), "users", ("id",)),))


def test_undoing_gives_a_foreign_key_its_index_back() -> None:
    schema = Schema((table("orders", "orders_user_fk", "user_id"),))
    index = IndexSpec("orders", ("user_id", "placed_at"))
    text = written(FilesTree.of(EXAMPLE), index, schema=schema, engine="mariadb").content.decode()
    assert '("orders", "orders_user_fk", ["user_id"])' in text
    assert text.index("AddIndex(") < text.index(
        "RunPython(migrations.RunPython.noop, give_back, atomic=False)"
    )
    assert (
        "give_back"
        not in written(FilesTree.of(EXAMPLE), index, schema=schema, engine="postgres").content.decode()
    )
    other = IndexSpec("orders", ("status",))
    assert b"give_back" not in written(FilesTree.of(EXAMPLE), other, schema=schema, engine="mariadb").content


TWO = {
    "people/models.py": "from django.db import models\n\n\nclass Person(models.Model):\n"
    "    email = models.EmailField()\n",
    "people/apps.py": 'class PeopleConfig(AppConfig):\n    name = "people"\n    label = "folk"\n',
    "people/migrations/0001_initial.py": INITIAL,
    "trade/models/base.py": "from django.db import models\n\n\nclass Dated(models.Model):\n"
    "    made = models.DateTimeField()\n\n    class Meta:\n        abstract = True\n",
    "trade/models/order.py": "from django.db import models\nfrom .base import Dated\n\n\n"
    "class Order(Dated):\n"
    "    buyer = models.ForeignKey('folk.Person', models.CASCADE)\n\n    def __str__(self):\n"
    "        return ''\n",
    "trade/migrations/0001_initial.py": INITIAL,
    "trade/migrations/0002_a.py": INITIAL.replace("= []\n    op", '= [("trade", "0001_initial")]\n    op'),
    "trade/migrations/0003_b.py": INITIAL.replace("= []\n    op", '= [("trade", "0002_a")]\n    op'),
}  # fmt: skip


def test_tables_of_two_applications_get_a_migration_each() -> None:
    tree = FilesTree(TWO)
    made = written(tree, IndexSpec("trade_order", ("buyer_id", "made")), IndexSpec("folk_person", ("email",)))
    assert [p.rpartition("_idx")[0][:24] for p in made.files if "migrations" in p] == [
        "trade/migrations/0004_or",
        "people/migrations/0002_p",
    ]
    assert b'("trade", "0003_b")' in made.content
    assert b'fields=["buyer", "made"]' in made.content
    people = next(c for p, c in made.others.items() if p.startswith("people/migrations"))
    assert b'("folk", "0001_initial")' in people
    assert "class Meta:" in made.others["trade/models/order.py"].decode()
    ast.parse(made.others["people/models.py"])


def test_a_squashed_migration_stands_for_what_it_replaces() -> None:
    squashed = INITIAL.replace(
        "= []\n    op", '= []\n    replaces = [("trade", "0001_initial"), ("trade", "0002_a")]\n    op'
    )
    tree = FilesTree(TWO).with_files({"trade/migrations/0001_squashed_0002_a.py": squashed})
    assert b'("trade", "0003_b")' in written(tree, IndexSpec("trade_order", ("made",))).content
    alone = tree.with_files({"trade/migrations/0003_b.py": None})
    text = written(alone, IndexSpec("trade_order", ("made",))).content.decode()
    assert '("trade", "0001_squashed_0002_a")' in text
    assert text.count('("trade", ') == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("    a = 1\n\n    class Meta:\n        ordering = ['a']\n",
         "        ordering = ['a']\n        indexes = [{}]\n"),
        ("    a = 1\n\n    class Meta:\n        indexes = []\n", "        indexes = [{}]\n"),
        ("    a = 1\n\n    class Meta:\n        indexes = [x]\n", "        indexes = [x, {}]\n"),
        ("    a = 1\n\n    class Meta:\n        indexes = (x,)\n", "        indexes = (x, {})\n"),
        ("    a = 1\n\n    class Meta:\n        indexes = [\n            x,\n        ]\n",
         "        indexes = [\n            x,\n            {},\n        ]\n"),
        ("    a = 1\n\n    class Meta:\n        indexes = [\n            x\n        ]\n",
         "        indexes = [\n            x,\n            {},\n        ]\n"),
        ("    a = 1\n\n    def f(self):\n        pass\n",
         "    a = 1\n\n    class Meta:\n        indexes = [{}]\n\n    def f(self):\n        pass\n"),
        ('    """Words."""\n', '    """Words."""\n\n    class Meta:\n        indexes = [{}]\n'),
        ("    a = 1", "    a = 1\n\n    class Meta:\n        indexes = [{}]\n"),
    ],
)  # fmt: skip
def test_a_declaration_is_put_where_django_s_style_has_it(body: str, expected: str) -> None:
    quote = '"'
    head = f"from django.db import models\n\nNAME = {quote}n{quote}\n\n\nclass User(models.Model):\n"
    changed = with_declaration(head + body, "User", "indexes", ENTRY)
    assert changed is not None
    assert changed.endswith(expected.format(ENTRY))
    ast.parse(changed)


def test_quotes_line_ends_and_the_name_of_models_are_the_file_s_own() -> None:
    text = "from django.db import models as m\r\n\r\n\r\nclass User(m.Model):\r\n"
    text += "    email = m.EmailField('Post')\r\n"
    changed = with_declaration(text, "User", "indexes", ENTRY)
    assert changed is not None
    assert changed.endswith("    class Meta:\r\n        indexes = [m.Index(fields=['email'], name='i')]\r\n")
    assert "\n" not in changed.replace("\r\n", "")


@pytest.mark.parametrize(
    "text",
    [
        "from django.db.models import Model\n\n\nclass User(Model):\n    a = 1\n",
        "from django.db import models\n\n\nclass User(models.Model):\n    class Meta:\n"
        "        indexes = OTHERS + [x]\n",
        "from django.db import models\n\n\nclass User(models.Model):\n    class Meta: pass\n",
        "from django.db import models\n\n\nclass Other(models.Model):\n    a = 1\n",
        "this is no Python",
    ],
)
def test_a_file_that_cannot_be_changed_safely_is_left_alone(text: str) -> None:
    assert with_declaration(text, "User", "indexes", ENTRY) is None


def test_models_are_found_by_their_table_with_the_fields_of_their_bases() -> None:
    tree = FilesTree(TWO)
    order = find_model(tree, "trade_order")
    assert order is not None
    assert (order.name, order.path, order.label) == ("Order", "trade/models/order.py", "trade")
    assert order.fields == {"made": "made", "buyer_id": "buyer"}
    assert find_model(tree, "trade_dated") is None
    assert find_model(FilesTree.of(EXAMPLE), "USERS") is not None


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (IndexSpec("auth_user", ("email",)), "No model of the repository"),
        (IndexSpec("trade_order", ("made'); import os",)), "cannot stand in a migration"),
        (IndexSpec("trade_order", ()), "has no columns"),
    ],
)
def test_what_no_migration_can_hold_is_refused(index: IndexSpec, reason: str) -> None:
    with pytest.raises(UsageError) as raised:
        written(FilesTree(TWO), index)
    assert reason in raised.value.what


def test_an_application_without_migrations_is_said() -> None:
    tree = FilesTree({p: c for p, c in TWO.items() if "people/migrations" not in p})
    with pytest.raises(UsageError) as raised:
        written(tree, IndexSpec("folk_person", ("email",)))
    assert "makemigrations folk" in raised.value.next_step
