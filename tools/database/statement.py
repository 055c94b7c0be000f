"""A statement that a model wrote: what is wrong with it before it is sent, what a refusal means."""

from __future__ import annotations

import re

from bedev.sandboxes.engines.engine import Schema
from bedev.sandboxes.errors import DatabaseError
from bedev.tools.database.fingerprint import tokens
from bedev.tools.masking import Mask
from bedev.tools.near_names import near_names
from bedev.tools.tool import ToolFailed

_CLAUSE = re.compile(r"(field|where|order|on|having|group|from) (list|clause|statement)")
_QUOTED = re.compile(r"""'([^']{1,200})'|"([^"]{1,200})"|`([^`]{1,200})`""")


def one_statement(sql: str, dialect: str) -> str:
    """The statement without its final semicolon. Raises ToolFailed for several, none, or placeholders."""
    statement = sql.strip().rstrip("; \n\t")
    found = tokens(statement, dialect)
    if not found:
        raise ToolFailed("There is no statement. Give one SQL statement.")
    if any(t.kind == "mark" and t.value == ";" for t in found):
        raise ToolFailed("Give one statement; call again for the next one.")
    if any(t.kind == "placeholder" for t in found):
        raise ToolFailed(
            "The statement holds placeholders. Put values in their place: run_query finds some, for instance "
            "SELECT DISTINCT status FROM orders LIMIT 5."
        )
    return statement


def is_read(sql: str) -> bool:
    """Whether it begins as a reading statement does."""
    return re.match(r"[(\s]*(select|with|values|table|show|describe|desc|explain)\b", sql, re.I) is not None


def refused(error: DatabaseError, sql: str, schema: Schema, mask: Mask, role: str) -> ToolFailed:
    """The server's refusal, with the names that may have been meant, and what to use instead."""
    said = _without_values(error.what, sql, mask)
    lines = [f"The database refused it ({role}): {said}"]
    names = [t.name for t in schema.tables] + [c.name for t in schema.tables for c in t.columns]
    known = {name.lower() for name in names}
    for quoted in _QUOTED.findall(error.what):
        wanted = next(part for part in quoted if part).rsplit(".", 1)[-1]
        near = near_names(wanted, names)
        if re.fullmatch(r"\w+", wanted) and wanted.lower() not in known and near:
            lines.append(f"Nearest names: {', '.join(near)}.")
            break
    if not is_read(sql) or re.search("denied|read.only", said, re.I):
        lines.append(
            "This role can only read. Change data for a try with run_command (the application's console), "
            "the schema with a migration (edit_file)."
        )
    elif "interrupted" in said.lower() or "max_statement_time" in said.lower() or "timeout" in said.lower():
        lines.append(
            "It took too long. Narrow it with WHERE or LIMIT, or look at its plan with explain_query."
        )
    return ToolFailed("\n".join(lines), said)


def _without_values(said: str, sql: str, mask: Mask) -> str:
    """The server's words with values masked that are neither names nor in the statement itself."""

    def masked(found: re.Match[str]) -> str:
        inner = next(part for part in found.groups() if part is not None)
        own = (
            inner in sql
            or _CLAUSE.fullmatch(inner)
            or (re.fullmatch(r"[\w.$@%-]+", inner) is not None and "@" not in inner)
        )
        return found[0] if own else f"'{mask.value(inner)}'"

    return _QUOTED.sub(masked, said)
