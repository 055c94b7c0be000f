"""The database server that a compose file names."""

from __future__ import annotations

import re

from bedev.sandboxes.recipe import Finding, TreeReader
from bedev.sandboxes.stacks.tree_text import text_of

COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_IMAGES = {"mysql": "mysql", "mysql-server": "mysql", "mariadb": "mariadb", "postgres": "postgres"}
_IMAGES |= {"postgis": "postgres", "pgvector": "postgres"}


def engine_of_compose(tree: TreeReader) -> tuple[Finding, str, str] | None:
    """The first database image of a compose file: a finding, the engine, and its version (`""` if not said).

    A line scan: only `image:` lines of official names are looked at, nothing else of the file is used.
    """
    for path in COMPOSE_FILES:
        text = text_of(tree, path) or ""
        for number, line in enumerate(text.splitlines(), 1):
            found = re.match(r"\s+image:\s*['\"]?([\w./-]+)(?::([^'\"\s#]+))?", line)
            if found is None:
                continue
            owner, _, name = found[1].rpartition("/")
            engine = _IMAGES.get(owner.rpartition("/")[2]) or _IMAGES.get(name)
            if engine is None:
                continue
            tag = re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", found[2] or "")
            version = re.match(r"(?:pg)?(\d+(?:\.\d+)?)", tag)
            said = version[1] if version else ""
            return Finding("database", f"{engine} {said}".strip(), f"{path}:{number}"), engine, said
    return None
