"""A git repository made from the Laravel example with other names for tables, models, columns and routes.

The product is tested on it so that nothing can be tuned to the names of the example.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "laravel-slow-users"
ROWS = {"members": 60_000, "purchases": 300_000}

_NAMES = {
    "USERS": "MEMBERS", "Users": "Members", "users": "members", "User": "Member", "user": "member",
    "ORDERS": "PURCHASES", "Orders": "Purchases", "orders": "purchases", "Order": "Purchase",
    "order": "purchase", "email": "contact", "placed_at": "booked_at", "referrer_id": "sponsor_id",
}  # fmt: skip

_WORDS = re.compile(
    # The framework's own names come first: they are found, are not in the table, and so stay.
    r"request->user\(\)|Auth::user\(\)|Auth\\User|(?<![a-z])[Uu]ser_?name|USERNAME|orderBy|ordered"
    r"|USERS|Users|(?<![a-z])users|User|(?<![a-z])user"
    r"|ORDERS|Orders|(?<![a-z])orders|Order|(?<![a-z])order"
    r"|(?<![A-Za-z])email(?![A-Za-z])|placed_at|referrer_id"
)


def renamed(text: str) -> str:
    return _WORDS.sub(lambda found: _NAMES.get(found[0], found[0]), text)


def git(folder: Path, *words: str, stdin: str | None = None, index: Path | None = None) -> str:
    """Git as a user runs it, with no settings of this machine. `index`: use this file as the index."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Mara",
        "GIT_AUTHOR_EMAIL": "mara@example.org",
        "GIT_COMMITTER_NAME": "Mara",
        "GIT_COMMITTER_EMAIL": "mara@example.org",
        **({"GIT_INDEX_FILE": str(index)} if index else {}),
    }
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_shop(folder: Path) -> Path:
    """Write the renamed application below `folder` and commit it on `main`."""
    for source in sorted(EXAMPLE.rglob("*")):
        relative = source.relative_to(EXAMPLE)
        if not source.is_file() or "vendor" in relative.parts or relative.name == ".env":
            continue
        target = folder / renamed(str(relative))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(renamed(source.read_text(encoding="utf-8")), encoding="utf-8")
        target.chmod(source.stat().st_mode & 0o777)
    settings = folder / "bedev.toml"
    text = settings.read_text(encoding="utf-8")
    for table, rows in ROWS.items():
        text, count = re.subn(rf"(?m)^{table} = \d+$", f"{table} = {rows}", text)
        assert count == 1, f"{table} is not in bedev.toml"
    settings.write_text(text, encoding="utf-8")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "The shop")
    return folder


def branch(repository: Path, name: str, start: str, edits: dict[str, str | None]) -> str:
    """A branch `name` with one commit on top of `start`; the checkout is left alone, as by a fetch.

    `edits`: path -> new text, None deletes."""
    index = repository / ".git" / f"index-of-{name}"
    try:
        git(repository, "read-tree", start, index=index)
        for path, text in edits.items():
            if text is None:
                git(repository, "update-index", "--force-remove", path, index=index)
                continue
            blob = git(repository, "hash-object", "-w", "--stdin", stdin=text).strip()
            git(repository, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", index=index)
        tree = git(repository, "write-tree", index=index).strip()
    finally:
        index.unlink(missing_ok=True)
    commit = git(repository, "commit-tree", tree, "-p", start, "-m", name).strip()
    git(repository, "update-ref", f"refs/heads/{name}", commit)
    return name


def text_at(repository: Path, revision: str, path: str) -> str:
    return git(repository, "show", f"{revision}:{path}")


def replaced(text: str, old: str, new: str) -> str:
    """`text` with its one `old` replaced; fails where the application no longer looks like that."""
    assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
    return text.replace(old, new)


def index_migration(table: str, columns: list[str], down: bool = True) -> dict[str, str]:
    """A migration that adds an index; without `down` it cannot be undone."""
    name = f"{table}_{'_'.join(columns)}_quick"
    listed = ", ".join(f"'{c}'" for c in columns)
    undo = f"Schema::table('{table}', fn (Blueprint $table) => $table->dropIndex('{name}'));" if down else ""
    path = f"database/migrations/2025_02_03_040506_add_{name}.php"
    return {
        path: f"""<?php

use Illuminate\\Database\\Migrations\\Migration;
use Illuminate\\Database\\Schema\\Blueprint;
use Illuminate\\Support\\Facades\\Schema;

return new class extends Migration
{{
    public function up(): void
    {{
        Schema::table('{table}', fn (Blueprint $table) => $table->index([{listed}], '{name}'));
    }}

    public function down(): void
    {{
        {undo}
    }}
}};
"""
    }
