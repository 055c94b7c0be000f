"""The whole schema of a PostgreSQL database as text that is equal for equal schemas, from its catalogues.

Left out: what belongs to an extension (the extension itself is named), bedev's own schema, owners, grants,
and what rows or the server change: a sequence's last value, and options of columns other than n_distinct
(17.12 writes a number of its own there, pg_attver). The order of columns counts. An index that a failed
CREATE INDEX CONCURRENTLY left behind is marked.
"""

from __future__ import annotations

from bedev.sandboxes.engines.postgres.sessions import OWN_SCHEMA
from bedev.sandboxes.sandbox import SqlSession

MAX_ROWS = 200_000

_SCHEMAS = (
    f"n.nspname NOT IN ('information_schema', '{OWN_SCHEMA}') AND n.nspname !~ '^pg_' "
    "AND NOT EXISTS (SELECT 1 FROM pg_depend x WHERE x.classid = '{catalogue}'::regclass AND x.objid = {oid} "
    "AND x.deptype = 'e')"
)


def _in(catalogue: str, oid: str) -> str:
    return _SCHEMAS.format(catalogue=catalogue, oid=oid)


_NAME = "format('%I.%I', n.nspname, {0})"
_RELATION = "JOIN pg_class c ON c.oid = {0} JOIN pg_namespace n ON n.oid = c.relnamespace"
_TABLE = _NAME.format("c.relname")

# Kind, and a query for names and texts.
PARTS: tuple[tuple[str, str], ...] = (
    (
        "extension",
        "SELECT extname, extversion FROM pg_extension WHERE extname NOT IN ('plpgsql', 'pg_stat_statements') "
        "ORDER BY 1",
    ),
    ("schema", f"SELECT n.nspname, '' FROM pg_namespace n WHERE {_in('pg_namespace', 'n.oid')} ORDER BY 1"),
    (
        "enum",
        f"SELECT {_NAME.format('t.typname')}, string_agg(quote_literal(e.enumlabel), ', ' ORDER BY "
        "e.enumsortorder) "
        "FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace "
        f"WHERE {_in('pg_type', 't.oid')} GROUP BY 1 ORDER BY 1",
    ),
    (
        "domain",
        f"SELECT {_NAME.format('t.typname')}, concat_ws(' ', format_type(t.typbasetype, t.typtypmod), "
        "CASE WHEN t.typnotnull THEN 'NOT NULL' END, t.typdefault, (SELECT string_agg(k.conname || ' ' || "
        "pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = "
        "t.oid)) "
        "FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'd' "
        f"AND {_in('pg_type', 't.oid')} ORDER BY 1",
    ),
    (
        "sequence",
        f"SELECT {_TABLE}, concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, "
        "s.seqmin, "
        f"s.seqmax, s.seqcache, s.seqcycle) FROM pg_sequence s {_RELATION.format('s.seqrelid')} "
        f"WHERE {_in('pg_class', 'c.oid')} ORDER BY 1",
    ),
    (
        "table",
        f"SELECT {_TABLE}, concat_ws(' ', c.relkind, c.relpersistence, c.reloptions::text, "
        "CASE WHEN c.relrowsecurity THEN 'ROW SECURITY' END, CASE WHEN c.relforcerowsecurity THEN 'FORCED' "
        "END, "
        "pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid), (SELECT "
        "string_agg(i.inhparent::regclass::text, "
        "', ' ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid)) || E'\\n' || COALESCE(("
        "SELECT string_agg(concat_ws(' ', '   ', quote_ident(a.attname), format_type(a.atttypid, "
        "a.atttypmod), "
        "CASE WHEN a.attnotnull THEN 'NOT NULL' END, 'IDENTITY ' || NULLIF(a.attidentity::text, ''), "
        "CASE WHEN a.attgenerated <> '' THEN 'GENERATED' END, 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), "
        "'COLLATE ' || quote_ident(l.collname), 'STORAGE ' || NULLIF(a.attstorage, t.typstorage)::text, "
        "'STATISTICS ' || NULLIF(a.attstattarget, -1)::text, (SELECT string_agg(o, ' ' ORDER BY o) FROM "
        "unnest(a.attoptions) o WHERE o LIKE 'n_distinct%')), E'\\n' ORDER BY a.attnum) "
        "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
        "LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
        "LEFT JOIN pg_collation l ON l.oid = a.attcollation AND l.collname <> 'default' "
        "WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '') "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f', "
        "'c') "
        f"AND c.relpersistence <> 't' AND {_in('pg_class', 'c.oid')} ORDER BY 1",
    ),
    (
        "constraint",
        f"SELECT {_TABLE} || ' ' || quote_ident(k.conname), pg_get_constraintdef(k.oid) || "
        "CASE WHEN k.convalidated THEN '' ELSE ' NOT VALIDATED' END FROM pg_constraint k "
        f"{_RELATION.format('k.conrelid')} WHERE {_in('pg_class', 'c.oid')} ORDER BY 1, 2",
    ),
    (
        "index",
        f"SELECT {_NAME.format('i.relname')}, pg_get_indexdef(x.indexrelid) || "
        "CASE WHEN x.indisvalid AND x.indisready THEN '' ELSE ' INVALID' END || "
        "CASE WHEN x.indisreplident THEN ' REPLICA IDENTITY' ELSE '' END || "
        "CASE WHEN x.indisclustered THEN ' CLUSTERED' ELSE '' END "
        f"FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid {_RELATION.format('x.indrelid')} "
        f"WHERE {_in('pg_class', 'c.oid')} ORDER BY 1, 2",
    ),
    (
        "statistics",
        f"SELECT {_NAME.format('s.stxname')}, pg_get_statisticsobjdef(s.oid) FROM pg_statistic_ext s "
        f"JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {_in('pg_statistic_ext', 's.oid')} ORDER BY 1",
    ),
    (
        "view",
        f"SELECT {_TABLE}, concat_ws(' ', c.relkind, c.reloptions::text) || E'\\n' || pg_get_viewdef(c.oid) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') "
        f"AND c.relpersistence <> 't' AND {_in('pg_class', 'c.oid')} ORDER BY 1",
    ),
    (
        "routine",
        "SELECT p.oid::regprocedure::text, CASE WHEN p.prokind IN ('f', 'p', 'w') THEN "
        "pg_get_functiondef(p.oid) "
        "ELSE (SELECT a::text FROM pg_aggregate a WHERE a.aggfnoid = p.oid) END "
        f"FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_in('pg_proc', 'p.oid')} "
        "ORDER BY 1",
    ),
    (
        "trigger",
        f"SELECT {_TABLE} || ' ' || quote_ident(g.tgname), pg_get_triggerdef(g.oid) || ' ' || "
        "g.tgenabled::text "
        f"FROM pg_trigger g {_RELATION.format('g.tgrelid')} WHERE NOT g.tgisinternal "
        f"AND {_in('pg_class', 'c.oid')} ORDER BY 1",
    ),
    (
        "rule",
        f"SELECT {_TABLE} || ' ' || quote_ident(r.rulename), pg_get_ruledef(r.oid) || ' ' || "
        "r.ev_enabled::text "
        f"FROM pg_rewrite r {_RELATION.format('r.ev_class')} WHERE r.rulename <> '_RETURN' "
        f"AND {_in('pg_class', 'c.oid')} ORDER BY 1",
    ),
    (
        "policy",
        f"SELECT {_TABLE} || ' ' || quote_ident(p.polname), concat_ws(' ', p.polcmd, p.polpermissive, "
        "pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) "
        f"FROM pg_policy p {_RELATION.format('p.polrelid')} WHERE {_in('pg_class', 'c.oid')} ORDER BY 1",
    ),
    (
        "comment",
        "SELECT concat_ws(' ', i.type, i.identity), d.description FROM pg_description d "
        "CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i "
        "WHERE i.schema IS NOT NULL AND i.schema NOT IN ('pg_catalog', 'information_schema', 'bedev') "
        "AND d.classoid IN ('pg_class'::regclass, 'pg_type'::regclass) AND NOT EXISTS (SELECT 1 FROM "
        "pg_depend x "
        "WHERE x.classid = d.classoid AND x.objid = d.objoid AND x.deptype = 'e') ORDER BY 1",
    ),
)  # fmt: skip


def schema_dump(session: SqlSession) -> str:
    """Raises DatabaseError."""
    parts: list[str] = []
    for kind, sql in PARTS:
        for name, text in session.query(sql, max_rows=MAX_ROWS, timeout=300.0).rows:
            parts.append(f"-- {kind} {name}\n{text}\n")
    return "\n".join(parts)
