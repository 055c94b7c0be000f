"""`test_integrity`: no test removed or weakened; test configuration is base's.

What runs in the `tests` check are base's own test files; this check is about the branch itself, which
would be merged. A test file may only gain lines, or pin a smaller number of queries; a moved file is matched
by its content; new files are welcome.
"""

from __future__ import annotations

import difflib

from bedev.agent.gate.case import Case
from bedev.agent.gate.proof import Check
from bedev.agent.gate.query_counts import lowered

ORDER = 20
SKIPS = (b"markTestSkipped", b"markTestIncomplete", b"@group", b"->skip(", b"->todo(", b"@skip", b".skip(")


def check(case: Case) -> Check:
    recipe = case.brought.recipe
    config = [c.path for c in case.changes if case.matches(c.path, recipe.test_config)]
    if config:
        return Check(
            "test_integrity",
            "failed",
            f"the test configuration {config[0]} is changed",
            {"configuration": config},
        )
    changed = [c for c in case.changes if case.matches(c.path, recipe.test_paths)]
    if not changed:
        return Check("test_integrity", "passed", "test files and configuration are base's", {"changed": []})
    added = {(_kind(c.path), case.patch_tree.read(c.path)) for c in changed if c.kind == "added"}
    weakened: list[str] = []
    for change in changed:
        before = case.base_tree.read(change.path)
        if change.kind == "added" or before is None or (_kind(change.path), before) in added:
            continue
        after = b"" if change.kind == "deleted" else case.patch_tree.read(change.path) or b""
        lost = _lost_lines(before, after)
        if change.kind == "deleted":
            weakened.append(f"{change.path} is deleted")
        elif lost:
            weakened.append(f"{change.path} loses {lost} line{'s' if lost != 1 else ''}")
        elif any(after.count(word) > before.count(word) for word in SKIPS):
            weakened.append(f"{change.path} skips tests")
    evidence = {"changed": [c.path for c in changed], "weakened": weakened}
    if weakened:
        return Check("test_integrity", "failed", weakened[0], evidence)
    return Check(
        "test_integrity", "passed", f"{len(changed)} test files gained lines, none lost any", evidence
    )


def _kind(path: str) -> str:
    """How runners recognise a test file: by the end of its name (`Test.php`, `_test.py`). A test that moves
    to a name of another kind is no longer run."""
    name = path.rsplit("/", 1)[-1]
    return (
        name[-8:]
        if name[-8:].lower() in ("test.php", "spec.php", "_test.py", ".test.ts", ".test.js")
        else name
    )


def _lost_lines(before: bytes, after: bytes) -> int:
    """Lines of `before` that are no longer in `after`, but for blank ones and those that pin a smaller number
    of queries now."""
    a = [line.strip() for line in before.decode("utf-8", "replace").splitlines()]
    b = [line.strip() for line in after.decode("utf-8", "replace").splitlines()]
    compared = list(difflib.ndiff(a, b))
    gained = [line[2:] for line in compared if line.startswith("+ ")]
    lost = 0
    for line in (text[2:] for text in compared if text.startswith("- ")):
        instead = next((new for new in gained if lowered(line, new)), None)
        if instead is not None:
            gained.remove(instead)
        elif line.strip():
            lost += 1
    return lost
