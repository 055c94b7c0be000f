"""Which columns of a table hold keys of other tables, declared or not, and which of them go together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bedev.sandboxes.engines.engine import Schema, Table
from bedev.tools.database.growth_hints import INTEGERS, TEXTS


@dataclass(frozen=True)
class Link:
    """`columns` of a table hold the values of `referenced` columns of `table`."""

    name: str
    columns: tuple[str, ...]
    table: str
    referenced: tuple[str, ...]
    declared: bool = True


def links(schema: Schema, table: Table) -> tuple[Link, ...]:
    """Declared foreign keys, widest first, then what follows from names alone (`user_id` where there is a
    table `users` with one such key): many applications declare none."""
    declared = sorted(table.foreign_keys, key=lambda k: (-len(k.columns), k.name))
    found = [Link(k.name or "_".join(k.columns), k.columns, k.table, k.referenced) for k in declared]
    taken = {c.lower() for link in found for c in link.columns}
    for column in table.columns:
        name = column.name.lower()
        if name in taken or column.generated or column.auto_increment or not name.endswith("_id"):
            continue
        stem = name.removesuffix("_id")
        if table.column(f"{stem}_type"):  # a polymorphic pair: the type says which table
            continue
        for parent in (schema.table(n) for n in _plurals(stem)):
            if parent is None or len(parent.primary_key) != 1:
                continue
            key = parent.column(parent.primary_key[0])
            same = key and (
                key.base_type == column.base_type
                or {key.base_type, column.base_type} <= INTEGERS
                or {key.base_type, column.base_type} <= TEXTS
            )
            if key and same:
                found.append(Link(f"implied:{name}", (column.name,), parent.name, (key.name,), False))
                break
    return tuple(found)


def _plurals(stem: str) -> Sequence[str]:
    forms = [f"{stem}s", f"{stem}es", stem]
    if stem.endswith("y"):
        forms.insert(0, f"{stem[:-1]}ies")
    if stem == "person":
        forms.insert(0, "people")
    return forms


FRAMEWORK = re.compile(
    r"^(migrations?|jobs|job_batches|failed_jobs|sessions?|cache|cache_locks|password_resets"
    r"|password_reset_tokens|personal_access_tokens|oauth_\w+|telescope_\w+|pulse_\w+|horizon_\w+"
    r"|django_\w+|auth_(group|group_permissions|permission)|knex_migrations\w*|sequelizemeta|typeorm_metadata"
    r"|_prisma_migrations|schema_migrations|ar_internal_metadata|doctrine_migration_versions"
    r"|messenger_messages|flyway_schema_history|databasechangelog(lock)?|spring_session\w*|batch_\w+"
    r"|alembic_version|schema_info|goose_db_version|sqlite_sequence)$",
    re.I,
)
"""Tables that frameworks keep for themselves."""

LOOKUP = re.compile(
    r"(^|_)(countries|country|currencies|currency|roles?|permissions?|statuses|status|states|types?|kinds"
    r"|languages?|locales?|timezones?|units|settings?|options|configs?|configurations?|plans|regions"
    r"|tax_rates|genders|priorities|features|categories|tenants?)$",
    re.I,
)

_HOUSEKEEPING = re.compile(
    r"^(id|uuid|created_?at|updated_?at|deleted_?at|sort(_order)?|position|order)$", re.I
)


def is_framework(table: Table) -> bool:
    return bool(FRAMEWORK.match(table.name))


def is_lookup(schema: Schema, table: Table) -> bool:
    """Whether a table lists what exists in the world (countries, roles) and does not grow with use.

    By name, or by shape: at most 300 rows, refers to no other table, and has, beside keys and timestamps,
    one or two short texts and no number.
    """
    if LOOKUP.search(table.name) and table.rows <= 5_000:
        return True
    own = [c for c in table.columns if not _HOUSEKEEPING.match(c.name) and not c.auto_increment]
    return (
        table.rows <= 300
        and 1 <= len(own) <= 2
        and not links(schema, table)
        and all(c.base_type in ("char", "varchar", "enum") for c in own)
    )
