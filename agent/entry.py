"""Where the console script begins.

Bare module names must never come from the user's repository: with `PYTHONPATH=.` its `typer.py` would
otherwise run on the host. So the search path is cleaned before anything but `sys` and `os` is imported
(not even `__future__`, which is a module too).
"""

import os
import sys


def drop_foreign_paths() -> None:
    """Take PYTHONPATH entries, '' and the working directory out of `sys.path`, and PYTHONPATH out of the
    environment of every program that is started later."""
    asked = os.environ.pop("PYTHONPATH", "").split(os.pathsep)
    foreign = {os.path.realpath(entry) for entry in (os.getcwd(), *asked)}
    sys.path[:] = [
        entry
        for entry in sys.path
        if entry and os.path.realpath(entry) not in foreign
    ]  # fmt: skip


def main() -> int:
    """Run the command line of this process; the exit code."""
    try:
        drop_foreign_paths()
    except FileNotFoundError:
        sys.stderr.write(
            "bedev: The working directory does not exist any more.\n  next: cd to a folder that does.\n"
        )
        return 2
    from bedev.agent.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
