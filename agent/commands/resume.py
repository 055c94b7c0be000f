"""`bedev resume RUN`: go on with a run that was interrupted, killed, paused or ended by its budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from bedev.agent.commands import options, output


def resume(
    run: Annotated[str, typer.Argument(help="A run's id, or the beginning of it.", metavar="RUN")],
    repo: options.Repo = Path("."),
    max_turns: options.Turns = None,
    max_tokens: options.Tokens = None,
    max_usd: options.Usd = None,
    max_minutes: options.Minutes = None,
    max_proposals: options.Proposals = None,
    json: options.Json = False,
) -> int:
    """Go on with a run after Ctrl-C, a crash, a refused key or the end of its budget.

    Conversation, workspace and what was spent are as the journal has them. The limits are those of the
    whole run: give larger ones where a budget had ended it.
    """
    from bedev.agent.commands.fix import print_result
    from bedev.agent.commands.runs import run_folder
    from bedev.agent.repository import Repository
    from bedev.agent.run import resume as go_on
    from bedev.agent.screen import make_screen
    from bedev.agent.settings import load

    settings = load(
        {
            "max_turns": max_turns,
            "max_tokens": max_tokens,
            "max_usd": max_usd,
            "max_minutes": max_minutes,
            "max_proposals": max_proposals,
        }
    )
    with Repository.open(repo) as repository:
        folder = run_folder(repository.state, run)
    result = go_on(repo, folder.name, settings, make_screen())
    if json:
        output.print_json(result.to_dict())
    else:
        print_result(result, repo)
    return result.exit_code
