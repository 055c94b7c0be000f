"""Tables in plain text: columns aligned, numbers to the right, long cells cut."""

from __future__ import annotations

from collections.abc import Collection, Sequence

WIDEST = 120


def cut(text: str, most: int) -> str:
    """At most `most` characters on one line; what is left out is shown by an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def aligned(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = (), widest: int = WIDEST
) -> list[str]:
    """One line for the headers (none where all are empty) and one a row. `right`: columns of numbers."""
    cells = [[cut(c, widest) for c in row] for row in ([headers] if any(headers) else []) + list(rows)]
    if not cells:
        return []
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
