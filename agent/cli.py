"""The commands. With agent/commands/ and agent/screen.py the only code that knows the terminal.

Nothing heavy is imported here: `bedev --help` has to answer at once.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import typer
from bedev.agent.commands import output
from bedev.agent.commands.demo import demo
from bedev.agent.commands.doctor import doctor
from bedev.agent.commands.fix import fix
from bedev.agent.commands.gc import gc
from bedev.agent.commands.init import init
from bedev.agent.commands.models import models
from bedev.agent.commands.resume import resume
from bedev.agent.commands.runs import runs, show
from bedev.agent.commands.verify import verify
from bedev.sandboxes.errors import BedevError
from typer._click.exceptions import ClickException

app = typer.Typer(
    name="bedev",
    help="An autonomous backend developer: no patch without a proof.",
    epilog="Exit codes: 0 verified or done, 1 rejected or not achieved, 2 wrong usage, 3 the environment is "
    "not usable, 4 paused, 5 unproven, 130 interrupted.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class _Interrupted(Exception):
    """Ctrl-C in a command: typer would turn KeyboardInterrupt into an exit code that a run may return too."""


def _interruptible(command: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(command)
    def call(*arguments: object, **options: object) -> int:
        try:
            return command(*arguments, **options)
        except KeyboardInterrupt as error:
            raise _Interrupted from error

    return call


for command in (fix, verify, resume, runs, show, gc, init, doctor, demo, models):
    app.command()(_interruptible(command))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        output.line(f"bedev {version('bedev')}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code. Every error becomes text on stderr, never a traceback; with
    --json stdout holds exactly one object in any case."""
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        # What the terminal's encoding lacks is shown as a question mark rather than raising.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    name = next((a for a in arguments if not a.startswith("-")), "")
    json = "--json" in arguments
    try:
        with _signals():
            answer = app(args=list(arguments), prog_name="bedev", standalone_mode=False)
            sys.stdout.flush()
        return answer if isinstance(answer, int) else 0
    except ClickException as error:
        error.show(file=sys.stderr)
        if json:
            output.failure_json(
                name, "failed", error.format_message(), next_step=f"bedev {name} --help".strip()
            )
        return error.exit_code
    except BedevError as error:
        output.print_error(error)
        if json:
            outcome = "paused" if error.exit_code == 4 else "failed"
            output.failure_json(name, outcome, error.what, error.where, error.next_step)
        return error.exit_code
    except (_Interrupted, KeyboardInterrupt, typer.Abort):
        sys.stderr.write("bedev: interrupted\n")
        if name == "fix":
            sys.stderr.write("  next:  `bedev runs` lists it, `bedev show RUN` says how far it came\n")
        if json:
            output.failure_json(name, "interrupted", "interrupted")
        return 130
    except BrokenPipeError:
        # Whoever read stdout has enough (`bedev runs | head`); Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except Exception as error:  # noqa: BLE001 - the last line of defence: a person never sees a traceback
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            full = output.full_disk(error)
            output.print_error(full)
            if json:
                output.failure_json(name, "failed", full.what, full.where, full.next_step)
            return full.exit_code
        sys.stderr.write(output.crash(error))
        if json:
            output.failure_json(name, "failed", f"a fault in bedev: {type(error).__name__}")
        return 1


def _open_missing_streams() -> None:
    """A closed stdout or stderr (`>&-`) is None in Python; what is written there goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the process lives


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """End in an orderly way, sandbox removed, on SIGTERM and a closed terminal as on Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        # Under nohup SIGHUP is ignored, and stays so.
        ends = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
        before = {n: signal.signal(n, interrupt) for n in ends}
    except ValueError:  # not the main thread: whoever runs it there handles signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
