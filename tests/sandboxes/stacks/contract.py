"""What every stack has to do, whatever its framework: a stack's own tests call these with their examples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bedev.sandboxes.engines.engine import IndexSpec
from bedev.sandboxes.recipe import Recipe, TreeReader
from bedev.sandboxes.stacks.stack import Stack, load, names


class FilesTree:
    """A tree out of a mapping or a folder."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self._files = {p: c.encode() if isinstance(c, str) else c for p, c in files.items()}

    @classmethod
    def of(cls, folder: Path) -> FilesTree:
        found = (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink())
        return cls({p.relative_to(folder).as_posix(): p.read_bytes() for p in found})

    def paths(self) -> tuple[str, ...]:
        return tuple(sorted(self._files))

    def read(self, path: str) -> bytes | None:
        return self._files.get(path)

    def with_files(self, files: Mapping[str, str | bytes | None]) -> FilesTree:
        merged: dict[str, str | bytes] = dict(self._files)
        for path, content in files.items():
            if content is None:
                merged.pop(path, None)
            else:
                merged[path] = content
        return FilesTree(merged)


def assert_is_found_by_name(stack: Stack) -> None:
    assert stack.name in names()
    assert load(stack.name) is stack


def assert_detects(stack: Stack, tree: TreeReader, engine: str = "") -> Recipe:
    """The recipe is whole, the same each time, and every finding points to a line that is there."""
    recipe = stack.detect(tree, engine)
    assert recipe is not None
    assert recipe == stack.detect(tree, engine)
    assert recipe.stack == stack.name
    assert recipe.image
    assert recipe.migrate
    assert "{steps}" in recipe.rollback
    assert recipe.serve
    assert not recipe.test or "{junit}" in recipe.test or "{tap}" in recipe.test
    assert not engine or recipe.engine == engine
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]*", package) for package in recipe.packages)
    assert recipe.findings
    for finding in recipe.findings:
        path, _, line = finding.source.rpartition(":")
        content = tree.read(path)
        assert content is not None, finding
        assert 1 <= int(line) <= content.count(b"\n") + 1, finding
    return recipe


def assert_knows_nothing_of_other_repositories(stack: Stack) -> None:
    assert stack.detect(FilesTree({})) is None
    assert stack.detect(FilesTree({"README.md": "# A library", "src/main.c": "int main() {}"})) is None


def assert_installs_with_network_and_builds_without(stack: Stack, recipe: Recipe) -> None:
    steps = stack.set_up_steps(recipe)
    assert [s.command for s in steps if s.network] == list(recipe.install)
    assert [s.command for s in steps if not s.network] == list(recipe.build)
    assert all(s.title and "\n" not in s.title for s in steps)


def assert_points_to_the_database(stack: Stack, recipe: Recipe) -> None:
    """Both ways name the clone; a test run keeps its own choice of the database."""
    text = stack.dotenv(recipe, "127.0.0.1", 3311, "shop_clone", "somebody", "pa'ss \"$w\\").decode()
    assert "3311" in text
    assert "shop_clone" in text
    over = stack.database_environment("127.0.0.1", 3312, "shop_clone", "somebody", "secret")
    assert {"3312", "shop_clone", "secret"} <= set(over.values())
    assert "shop_clone" not in stack.test_environment("127.0.0.1", 3312, "somebody", "secret").values()


def assert_measures_without_a_tracer(stack: Stack) -> None:
    assert stack.serve_environment("", "") == {}
    assert stack.command_environment("") == {}
    assert "/tmp/trace" in stack.serve_environment("", "/tmp/trace").values()
    assert "/tmp/trace" in stack.command_environment("/tmp/trace").values()


def assert_writes_migrations_that_sort_last(stack: Stack, tree: FilesTree, recipe: Recipe) -> None:
    from fnmatch import fnmatch

    index = IndexSpec("orders", ("status", "placed_at"))
    for moment in ("1999-01-01 00:00:00", "2031-02-03 04:05:06"):
        written = stack.write_migration(tree, [index], moment)
        assert any(fnmatch(written.path, pattern) for pattern in recipe.migration_paths)
        assert tree.read(written.path) is None
        folder = written.path.rpartition("/")[0] + "/"
        there = [p for p in tree.paths() if p.startswith(folder) and not p.endswith("/__init__.py")]
        assert all(written.path > path for path in there)
        again = stack.write_migration(tree.with_files({written.path: written.content}), [index], moment)
        assert again.path > written.path
