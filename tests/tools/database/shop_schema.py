"""A schema as an engine reads it: a shop with people, their purchases and articles."""

from __future__ import annotations

from bedev.sandboxes.engines.engine import Column, ForeignKey, Index, Schema, Table


def column(name: str, type_: str, nullable: bool = False, collation: str | None = None) -> Column:
    base = type_.split("(")[0].split(" ")[0]
    inside = type_.split("(")[1].split(")")[0] if "(" in type_ else ""
    text = base in ("varchar", "char")
    return Column(
        name,
        type_,
        base,
        nullable,
        length=int(inside) if text else None,
        precision=int(inside.split(",")[0]) if base == "decimal" else None,
        collation=collation or ("utf8mb4_unicode_ci" if text else None),
        unsigned="unsigned" in type_,
    )


PRIMARY = Index("PRIMARY", ("id",), unique=True, primary=True)

MEMBERS = Table(
    "members",
    (
        column("id", "bigint(20) unsigned"),
        column("name", "varchar(255)"),
        column("email", "varchar(255)"),
        column("login", "varchar(60)"),
        column("region_code", "char(2)", nullable=True),
        column("state", "varchar(20)"),
        column("bio", "text", nullable=True),
        column("motto", "varchar(800)", nullable=True),
        column("created_at", "timestamp", nullable=True),
        column("deleted_at", "timestamp", nullable=True),
    ),
    (
        PRIMARY,
        Index("members_login_unique", ("login",), unique=True),
        Index("members_region", ("region_code",), False),
    ),
    (ForeignKey("members_region", ("region_code",), "regions", ("code",)),),
    rows=200_000,
)
PURCHASES = Table(
    "purchases",
    (
        column("id", "bigint(20) unsigned"),
        column("member_id", "bigint(20) unsigned"),
        column("sponsor_id", "bigint(20) unsigned", nullable=True),
        column("state", "varchar(20)"),
        column("total", "decimal(10,2)"),
        column("placed_at", "datetime"),
    ),
    (PRIMARY, Index("purchases_member", ("member_id",), False)),
    (ForeignKey("purchases_member", ("member_id",), "members", ("id",)),),
    rows=1_000_000,
)
REGIONS = Table(
    "regions",
    (column("code", "char(2)"), column("name", "varchar(100)")),
    (Index("PRIMARY", ("code",), unique=True, primary=True),),
    (),
    rows=40,
)
SCHEMA = Schema((MEMBERS, PURCHASES, REGIONS))
