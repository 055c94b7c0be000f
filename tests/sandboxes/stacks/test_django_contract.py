"""The contract of every stack, on the example."""

from __future__ import annotations

from pathlib import Path

import pytest
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.stacks.stack import load

from . import contract
from .contract import FilesTree

EXAMPLE = Path(__file__).parents[3] / "examples" / "django-slow-users"
DJANGO = load("django")


@pytest.fixture(scope="module")
def tree() -> FilesTree:
    return FilesTree.of(EXAMPLE)


@pytest.fixture(scope="module")
def recipe(tree: FilesTree) -> Recipe:
    return contract.assert_detects(DJANGO, tree)


def test_it_is_found_by_name() -> None:
    contract.assert_is_found_by_name(DJANGO)


@pytest.mark.parametrize("engine", ["", "mariadb", "mysql", "postgres", "sqlite"])
def test_its_recipe_is_whole(tree: FilesTree, engine: str) -> None:
    contract.assert_detects(DJANGO, tree, engine)


def test_it_knows_nothing_of_other_repositories() -> None:
    contract.assert_knows_nothing_of_other_repositories(DJANGO)
    assert DJANGO.detect(FilesTree({"manage.py": "print('no framework')"})) is None


def test_it_installs_with_network_and_builds_without(recipe: Recipe) -> None:
    contract.assert_installs_with_network_and_builds_without(DJANGO, recipe)


def test_it_points_to_the_database(recipe: Recipe) -> None:
    contract.assert_points_to_the_database(DJANGO, recipe)


def test_it_measures_without_a_tracer() -> None:
    contract.assert_measures_without_a_tracer(DJANGO)


def test_its_migrations_sort_last(tree: FilesTree, recipe: Recipe) -> None:
    contract.assert_writes_migrations_that_sort_last(DJANGO, tree, recipe)
