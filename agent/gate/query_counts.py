"""Tests that pin a number of queries: a good patch asks fewer, and that is no failure."""

from __future__ import annotations

import re

from bedev.agent.gate.case import Case

ASSERTIONS = (
    "assertNumQueries",
    "assert_num_queries",
    "django_assert_num_queries",
    "django_assert_max_num_queries",
    "expectsDatabaseQueryCount",
    "assertQueryCount",
)
_FAILURES = (
    r"Expected to perform (?P<wanted>\d+) quer(?:y|ies)(?: or less)? but (?P<done>\d+) (?:was|were) done",
    r"(?P<done>\d+) != (?P<wanted>\d+) : (?P=done) queries executed, (?P=wanted) expected",
    r"Expected (?P<wanted>\d+) database quer(?:y|ies) on the \[[^\]]*\] connection\. (?P<done>\d+) occurred",
)
"""What pytest-django, Django and Laravel say."""


def fell(message: str) -> tuple[int, int] | None:
    """(wanted, done) where a test failed because fewer queries were asked than it pins; else None."""
    for words in _FAILURES:
        for found in re.finditer(words, message):
            wanted, done = int(found["wanted"]), int(found["done"])
            return (wanted, done) if done < wanted else None
    return None


def pinning_tests(case: Case) -> frozenset[str]:
    """Names of tests in those of base's files that pin numbers of queries: what a failure says comes from the
    patch's side too, and counts for no other test."""
    names: set[str] = set()
    for path in case.base_tree.paths():
        if not case.matches(path, case.brought.recipe.test_paths):
            continue
        text = (case.base_tree.read(path) or b"").decode("utf-8", "replace")
        if any(word in text for word in ASSERTIONS):
            names.update(re.findall(r"\b(?:def|function)\s+(\w+)", text))
    return frozenset(names)


def lowered(before: str, after: str) -> bool:
    """Whether two lines assert a number of queries and differ only in that the later number is smaller."""
    if not any(word in before for word in ASSERTIONS):
        return False
    old, new = re.findall(r"\d+", before), re.findall(r"\d+", after)
    if re.sub(r"\d+", "0", before) != re.sub(r"\d+", "0", after):
        return False
    changed = [(int(a), int(b)) for a, b in zip(old, new, strict=True) if a != b]
    return len(changed) == 1 and changed[0][1] < changed[0][0]
