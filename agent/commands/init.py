"""`bedev init`: say what was detected, and write it to bedev.toml for a person to edit."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Annotated

import typer
from bedev.agent.commands import options, output

FILE = "bedev.toml"


def init(
    repo: options.Repo = Path("."),
    path: options.Sub = "",
    engine: options.Engine = None,
    force: Annotated[bool, typer.Option("--force", help="Write over the bedev.toml that is there.")] = False,
    only_print: Annotated[bool, typer.Option("--print", help="Print the file and write nothing.")] = False,
    json: options.Json = False,
) -> int:
    """Write bedev.toml: how this repository comes up, each line with the file that says so.

    Read from the last commit. The only command that writes into the checkout, and only this file; lines that
    detection is not sure of are commented out.
    """
    from bedev.agent.proposed_toml import propose
    from bedev.agent.report.encode import one_line
    from bedev.agent.repository import Repository
    from bedev.agent.settings import load
    from bedev.agent.subject import sub_tree

    settings = load({"engine": engine or ""})
    with Repository.open(repo) as repository:
        head = repository.head
        repository.import_commits(head)
        tree = sub_tree(repository, head, path)
        proposal = propose(tree, head, settings.engine)
        target = repository.top / tree.prefix / FILE
    if not only_print:
        write(target, repository.top, proposal.text, force)
    if json:
        output.print_json(
            {
                "schema": "bedev.init/1",
                "file": None if only_print else str(target),
                "stack": proposal.stack or None,
                "found": list(proposal.found),
                "text": proposal.text,
            }
        )
        return 0
    for line in proposal.found:
        output.say(f"  {one_line(line, 300)}")
    if only_print:
        output.line(proposal.text.rstrip("\n"))
        return 0
    output.line(f"wrote    {one_line(str(target), 400)}")
    what = "edit it where it is wrong" if proposal.stack else "complete it (docs/generic.md)"
    output.line(f"next     {what}, commit it, then: bedev doctor")
    return 0


def write(target: Path, top: Path, text: str, force: bool) -> None:
    """Write the file, through no link: neither at its place nor in its folders. Raises UsageError where one
    is there already and is not to be replaced."""
    from bedev.sandboxes.errors import UsageError

    if not target.parent.resolve().is_relative_to(top.resolve()):
        raise UsageError(
            f"{target.parent} leads out of the repository.",
            where=str(target.parent.resolve()),
            next_step="Use --print.",
        )
    # With --force a whole new file takes the old one's place; without, nobody can have made it meanwhile.
    draft = target.with_name(f".{FILE}.{secrets.token_hex(4)}") if force else target
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        if force:
            os.replace(draft, target)
    except FileExistsError:
        raise UsageError(
            f"There is a {FILE} already.",
            where=str(target),
            next_step="Look at what would be written with --print, or write over it with --force.",
        ) from None
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        raise UsageError(
            f"{FILE} cannot be written: {error.strerror or error}.",
            where=str(target),
            next_step="Look at the folder's permissions, or use --print.",
        ) from error
