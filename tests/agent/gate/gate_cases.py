"""Small cases for the checks of the gate: real values, no container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from bedev.agent.gate.case import Asked, Case, DataSetResult, MigrationRun, Timing
from bedev.agent.git.trees import Change
from bedev.sandboxes.application import TestRun
from bedev.sandboxes.data import DataFacts, DataWish
from bedev.sandboxes.engines.engine import Counters, Engine, IndexSize
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import CommandResult, Output, Sandbox
from bedev.sandboxes.set_up import Brought
from bedev.sandboxes.stacks.stack import Stack, TestCase
from bedev.tools.scenarios.compare import Answer, Difference, compare, http_answer, volatile
from bedev.tools.scenarios.scenario import Question, http_question

RECIPE = Recipe(
    stack="laravel",
    image="debian:trixie-slim",
    test="php vendor/bin/phpunit --log-junit {junit}",
    test_paths=("tests/**",),
    test_config=("phpunit.xml", "phpunit.xml.dist"),
    migration_paths=("database/migrations/**",),
    generated=("storage/framework/**",),
)
MIGRATION = "database/migrations/2025_01_01_000000_index_parcels.php"
JSON = (("Content-Type", "application/json"),)


class Files:
    """A tree in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(files)

    def paths(self) -> tuple[str, ...]:
        return tuple(sorted(self._files))

    def read(self, path: str) -> bytes | None:
        return self._files.get(path)


def case(
    base: Mapping[str, bytes] | None = None,
    patch: Mapping[str, bytes] | None = None,
    *,
    modes: Mapping[str, str] | None = None,
    recipe: Recipe = RECIPE,
) -> Case:
    """A case whose changes are what differs between two folders. `modes`: path -> the patch's git mode."""
    old = {"app/Parcel.php": b"<?php\n"} if base is None else base
    new = {**old, "app/Parcel.php": b"<?php // quick\n"} if patch is None else patch
    return Case(
        base="b" * 40,
        tree="c" * 40,
        claim="faster",
        scenario=None,
        changes=changes(old, new, modes or {}),
        base_tree=Files(old),
        patch_tree=Files(new),
        # The checks look at the recipe alone; what runs containers is not theirs.
        brought=Brought(
            cast(Sandbox, None), cast(Stack, None), cast(Engine, None), recipe, "app", "db", "tree", 0.0
        ),
        wish=DataWish(),
        seed=1,
    )


def changes(
    old: Mapping[str, bytes], new: Mapping[str, bytes], modes: Mapping[str, str]
) -> tuple[Change, ...]:
    found = []
    for path in sorted({*old, *new}):
        mode = modes.get(path, "100644")
        if path not in new:
            found.append(Change(path, "deleted", "100644", "", "1" * 40, ""))
        elif path not in old:
            found.append(Change(path, "added", "", mode, "", "2" * 40))
        elif old[path] != new[path]:
            found.append(Change(path, "modified", "100644", mode, "1" * 40, "2" * 40))
        elif mode != "100644":
            found.append(Change(path, "mode", "100644", mode, "1" * 40, "1" * 40))
    return tuple(found)


def counters(rows: int, statements: int = 1) -> Counters:
    """`rows` examined; work is rows + 100 x statements."""
    return Counters(
        rows_examined=rows, rows_sorted=0, rows_sent=0, pages=0, temp_pages=0, statements=statements
    )


def asked(
    path: str = "/api/parcels?city=Bern",
    base: bytes = b'{"data":[{"id":1}]}',
    patch: bytes | None = None,
    *,
    second: bytes | None = None,
    base_rows: int = 50_000,
    patch_rows: int = 10,
    empty: bool = False,
) -> Asked:
    """One question. The answers are compared as the gate compares them; `second` is base's second run."""
    runs = (http_answer(200, JSON, base), http_answer(200, JSON, base if second is None else second))
    other = http_answer(200, JSON, base if patch is None else patch)
    mask = volatile(runs)
    return Asked(
        question=question(path),
        base=runs,
        patch=other,
        difference=compare(runs[0], other, mask),
        volatile=mask.words,
        comparable=not mask.whole_body,
        base_counters=counters(base_rows),
        patch_counters=counters(patch_rows),
        empty=empty,
    )


def question(path: str = "/api/parcels?city=Bern") -> Question:
    return http_question(f"GET {path}")


def data_set(name: str, *questions: Asked) -> DataSetResult:
    facts = DataFacts(f"key-{name}", {"parcels": 60_000}, "grown", "server", {})
    return DataSetResult(name, facts, questions, ("city is parcels.city: 3 values",))


def command(exit_code: int | None = 0, text: str = "", seconds: float = 1.5) -> CommandResult:
    return CommandResult(exit_code, Output("", 0, False, ""), Output(text, len(text), False, ""), seconds)


def migrated(
    *,
    up: CommandResult | None = None,
    down: CommandResult | None = None,
    again: CommandResult | None = None,
    difference: str = "",
    indexes: tuple[IndexSize, ...] = (),
) -> MigrationRun:
    return MigrationRun(
        (MIGRATION,),
        up or command(),
        down or command(),
        again or command(),
        not difference,
        difference,
        indexes,
    )


def with_migration() -> Case:
    return case({"a.php": b"x"}, {"a.php": b"x", MIGRATION: b"<?php return new class {};"})


def timing(base: Sequence[float], patch: Sequence[float]) -> Timing:
    return Timing(question(), tuple(base), tuple(patch))


def suite(problem: str = "", output: str = "", **statuses: str) -> TestRun:
    """A run of tests: name -> status."""
    found = tuple(
        TestCase(f"Tests\\ParcelTest::{name}", status, 0.01, "message" if status != "passed" else "")
        for name, status in statuses.items()
    )
    return TestRun(found, command(0, output), problem)


def renamed(run: TestRun, old: str, new: str) -> TestRun:
    return replace(run, cases=tuple(replace(c, id=c.id.replace(old, new)) for c in run.cases))


def failed_answer_difference() -> tuple[Answer, Difference | None]:
    """The patch answers with a server error."""
    good, bad = http_answer(200, JSON, b"{}"), http_answer(500, JSON, b'{"message":"Server Error"}')
    return bad, compare(good, bad)
