"""Where counting goes on in a column whose values must not repeat."""

from __future__ import annotations

from bedev.sandboxes.engines.engine import Column, ColumnGrowth
from bedev.sandboxes.engines.growth_dialect import Ask
from bedev.sandboxes.engines.mariadb.growth_sql import BINARY, literal, quote

RUNS = r"(?<![0-9])[0-9]{1,%d}(?=%s)"


def next_number(ask: Ask, table_name: str, growth: ColumnGrowth, column: Column) -> int | str:
    """Where a unique sequence goes on: a whole number, or for dates and moments the next one as text."""
    name, table = quote(column.name), quote(table_name)
    if column.base_type in ("date", "datetime", "timestamp"):
        unit = "DAY" if column.base_type == "date" else "SECOND"
        highest = ask(f"SELECT MAX({name}) + INTERVAL 1 {unit} FROM {table}")
        return max(str(growth.low), str(highest).split(".")[0]) if highest else str(growth.low)
    where = ""
    if column.base_type == "inet4":
        number = f"INET_ATON(CAST({name} AS CHAR))"
    elif column.base_type == "inet6":
        # Only what this sequence itself has made before can meet it: fd00::HIGH:LOW.
        text = f"CAST({name} AS CHAR)"
        number = f"CONV(REPLACE(SUBSTRING_INDEX({text}, '::', -1), ':', ''), 16, 10)"
        where = f" WHERE {text} LIKE 'fd00::%'"
    elif column.base_type in BINARY:
        number = f"CONV(HEX({name}), 16, 10)"
    elif growth.values:
        prefix = str(growth.values[0])
        number = f"CAST(SUBSTR({name}, {len(prefix) + 1}) AS UNSIGNED)"
        where = f" WHERE LEFT({name}, {len(prefix)}) = {literal(prefix)}"
        where += f" AND SUBSTR({name}, {len(prefix) + 1}) REGEXP '^[0-9]{{1,18}}$'"
    else:
        number = f"CEILING({name})"
    highest = ask(f"SELECT CAST(MAX(CAST({number} AS DECIMAL(30))) AS CHAR) FROM {table}{where}")
    low = int(growth.low or 0)
    return max(low, int(highest) + 1) if highest is not None else low


def last_numbers(name: str, width: int) -> tuple[str, ...]:
    """The numbers of at most `width` digits that a text column ends with, or has before its @; else 0."""
    return tuple(_number_before(end, name, width) for end in ("@", "$"))


def _number_before(end: str, value: str, width: int) -> str:
    """SQL for the number of at most `width` digits before `end` in a text, 0 where there is none (MariaDB
    finds the empty text then, MySQL NULL)."""
    return f"COALESCE(CAST(REGEXP_SUBSTR({value}, '{RUNS % (width, end)}') AS UNSIGNED), 0)"
