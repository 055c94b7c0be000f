"""The options that several commands share, and how they become values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from bedev.sandboxes.errors import UsageError

MOST_FILE_BYTES = 64 << 20

_SCENARIO = "Scenario"

Repo = Annotated[Path, typer.Option("--repo", help="A folder of the repository.", metavar="DIR")]
Sub = Annotated[str, typer.Option("--path", help="The application's folder within it.", metavar="DIR")]
Base = Annotated[
    str | None, typer.Option("--base", help="The commit that the patch is compared with.", metavar="REV")
]
Claim = Annotated[str, typer.Option("--claim", help="What the patch achieves: faster.", metavar="CLAIM")]
Http = Annotated[
    list[str] | None,
    typer.Option("--http", help="Ask this request: 'GET /path'. Repeatable.", metavar="REQUEST"),
]
Commands = Annotated[
    list[str] | None,
    typer.Option("--scenario", help="Ask by this command, run in the sandbox. Repeatable.", metavar="CMD"),
]
Sql = Annotated[
    list[str] | None, typer.Option("--sql", help="Ask this SQL statement. Repeatable.", metavar="QUERY")
]
AsUser = Annotated[
    str, typer.Option("--as", help="Ask as this user, for instance users:1.", metavar="TABLE:ID")
]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", help="Send this header, 'Name: value'. Repeatable.", metavar="HEADER"),
]
With = Annotated[
    list[Path] | None,
    typer.Option(
        "--with", help="Bring a file into the sandbox as /scenario/NAME. Repeatable.", metavar="FILE"
    ),
]
Data = Annotated[
    str, typer.Option("--data", help="Run once on base to make the data that is asked for.", metavar="CMD")
]
Rows = Annotated[
    list[str] | None,
    typer.Option("--rows", help="Grow tables: users=200000,orders=1M. Repeatable.", metavar="TABLE=N"),
]
Dump = Annotated[
    Path | None,
    typer.Option("--dump", help="Restore this SQL file (or .gz) instead of seeding.", metavar="FILE"),
]
Engine = Annotated[
    str | None, typer.Option("--engine", help="The database engine, for instance mariadb.", metavar="NAME")
]
Sandbox = Annotated[
    str | None,
    typer.Option(
        "--sandbox",
        help="What contains the run: docker, or process (no isolation, for a repository that you trust).",
        metavar="NAME",
    ),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Agree to --sandbox process: the repository's code runs as you.")
]
Minutes = Annotated[float | None, typer.Option("--max-minutes", help="Stop after this long.", metavar="N")]
Turns = Annotated[
    int | None, typer.Option("--max-turns", help="Calls of the model, at most (40).", metavar="N")
]
Tokens = Annotated[
    int | None, typer.Option("--max-tokens", help="Tokens in all, at most (4,000,000).", metavar="N")
]
Usd = Annotated[
    float | None, typer.Option("--max-usd", help="US dollars for the model, at most (5).", metavar="N")
]
Proposals = Annotated[
    int | None, typer.Option("--max-proposals", help="Proposals to the gate, at most (8).", metavar="N")
]
AllowImage = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-image", help="Agree to an image that bedev.toml names. Repeatable.", metavar="IMAGE"
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of the grown data.", metavar="N")]
Out = Annotated[
    list[str] | None,
    typer.Option("--out", help="Write the report to a file: markdown=FILE.", metavar="KIND=FILE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; text goes to stderr.")]


def trusted(trust: bool) -> tuple[str, ...]:
    """`--trust` as the setting that it stands for."""
    from bedev.agent.trust import THIS_ONE

    return (THIS_ONE,) if trust else ()


def scenario_files(paths: Sequence[Path] | None) -> dict[str, bytes]:
    """Name -> bytes of what --with names. Raises UsageError."""
    files: dict[str, bytes] = {}
    for path in paths or ():
        if path.name in files:
            raise UsageError(
                f"Two files of --with are called {path.name}.",
                where=str(path),
                next_step="Rename one of them.",
            )
        content = read_file(path, "--with")
        files[path.name] = content
    return files


def read_file(path: Path, flag: str) -> bytes:
    """A regular file's bytes, at most 64 MiB. Raises UsageError."""
    check_file(path, flag)
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise UsageError(f"{path} is larger than 64 MiB.", where=flag, next_step="Bring a smaller file.")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", where=flag, next_step="ls -l it."
        ) from error


def check_file(path: Path, flag: str) -> None:
    """Raises UsageError where `path` is not a regular file."""
    if not path.is_file():
        raise UsageError(
            f"There is no file {path}.", where=flag, next_step=f"Give {flag} the path of a file that exists."
        )


def rows(texts: Sequence[str] | None) -> Mapping[str, int]:
    """Table -> rows of --rows. Raises UsageError."""
    if not texts:
        return {}
    from bedev.tools.database.growth import parse_rows

    return parse_rows(texts)


def check_claim(claim: str) -> str:
    """A claim that the gate knows. Raises UsageError."""
    from bedev.agent.gate.claims import NEEDS

    if claim not in NEEDS:
        raise UsageError(
            f"There is no claim {claim!r} in this version.",
            where="--claim",
            next_step=f"Use one of: {', '.join(NEEDS)}. `bedev verify --rules` says what each needs.",
        )
    return claim


def parse_out(texts: Sequence[str]) -> dict[str, Path]:
    """`markdown=FILE` of --out. Raises UsageError."""
    found: dict[str, Path] = {}
    for text in texts:
        kind, equals, path = text.partition("=")
        if kind in ("html", "sarif", "junit"):
            raise UsageError(
                f"--out {kind} is not in this version.", where="--out", next_step="Use --out markdown=FILE."
            )
        if kind != "markdown" or not equals or not path:
            raise UsageError(
                f"--out {text!r} is not KIND=FILE.",
                where="--out",
                next_step="For instance: --out markdown=proof.md",
            )
        if kind in found:
            raise UsageError(f"--out {kind} is given twice.", where="--out", next_step="Give it once.")
        target = Path(path)
        if not target.absolute().parent.is_dir() or target.is_dir():
            raise UsageError(
                f"{path} cannot be written.", where="--out", next_step="Name a file in a folder that exists."
            )
        found[kind] = target
    return found
