"""`bedev demo`: the example application, from a sentence to a proven branch, in a repository made for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from bedev.agent.commands import options, output

TASK = "slow users query"


@dataclass(frozen=True)
class Example:
    """A folder of examples/, a file that it certainly has, and a bedev.toml in place of its own, if any."""

    name: str
    file: str
    settings: str = ""


LARAVEL = Example("laravel-slow-users", "artisan")
DJANGO_WITHOUT_CONTAINERS = Example(
    "django-slow-users",
    "manage.py",
    """\
# Without containers: Django in a virtual environment of its own, and SQLite.
[database]
engine = "sqlite"

[database.rows]
users = 100000
orders = 300000
""",
)
EXAMPLES: Mapping[str, Example] = {"docker": LARAVEL, "process": DJANGO_WITHOUT_CONTAINERS}
"""By sandbox: without containers from nothing but Python."""


def demo(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", help="Make the repository here (default: a new temporary folder).", metavar="DIR"
        ),
    ] = None,
    sandbox: options.Sandbox = None,
    max_minutes: options.Minutes = None,
    allow_image: options.AllowImage = None,
) -> int:
    """Fix a slow query in a real application, then verify the branch. Needs no key.

    A Laravel application with MariaDB in containers; with --sandbox process a Django application with SQLite,
    from nothing but Python.
    """
    from bedev.agent.commands.fix import print_result
    from bedev.agent.requests import FixRequest, VerifyRequest
    from bedev.agent.run import fix, verify
    from bedev.agent.screen import make_screen
    from bedev.agent.settings import load

    wanted = load({"sandbox": sandbox}).sandbox
    example = EXAMPLES[wanted]
    source = example_folder(example)
    repository = make_repository(source, folder, example.settings)
    output.say(f"The example is a git repository of its own now: {repository}")
    # The user agrees to the example's image and code by running the demo: bedev wrote them.
    settings = load(
        {
            "sandbox": sandbox,
            "trust": options.trusted(True),
            "max_minutes": max_minutes,
            "allow_images": (*(allow_image or ()), *example_images(repository)),
        }
    )
    screen = make_screen()
    flag = f" --sandbox {wanted}" if sandbox else ""
    output.say(f'$ bedev fix "{TASK}" --repo {repository}{flag}')
    result = fix(
        FixRequest(
            TASK,
            repository,
            model=settings.model or "advisor",
            sandbox=settings.sandbox,
            max_minutes=settings.max_minutes,
            allow_images=settings.allow_images,
            settings=settings,
        ),
        screen,
    )
    print_result(result, repository)
    if result.exit_code or not result.branch:
        return result.exit_code or 1
    output.say(f"$ bedev verify {result.branch} --repo {repository}{flag}")
    judged = verify(
        VerifyRequest(
            repository,
            ref=result.branch,
            sandbox=settings.sandbox,
            max_minutes=settings.max_minutes,
            allow_images=settings.allow_images,
            settings=settings,
        ),
        screen,
    )
    from bedev.agent.report.encode import one_line

    headline = judged.proof.headline.removeprefix(f"{judged.proof.verdict}: ")
    output.line(f"verify   {judged.proof.verdict}: {one_line(headline)}")
    output.line(f"look     git -C {repository} diff {result.base[:12]} {result.branch}")
    return judged.exit_code


def example_folder(example: Example = LARAVEL) -> Path:
    """The example beside the package (a checkout) or within it (a wheel). Raises UsageError."""
    from bedev.sandboxes.errors import UsageError

    package = Path(__file__).resolve().parent.parent
    for folder in (package.parent / "examples" / example.name, package / "examples" / example.name):
        if (folder / example.file).is_file():
            return folder
    raise UsageError(
        "The example application is not in this installation.",
        where=str(package / "examples" / example.name),
        next_step="Run it from a checkout of bedev (pip install -e .), where examples/ lies beside agent/.",
    )


def example_images(folder: Path) -> tuple[str, ...]:
    """Images that the example's bedev.toml names."""
    from bedev.agent.settings import RepositorySettings

    return RepositorySettings.parse((folder / "bedev.toml").read_bytes()).images


def make_repository(example: Path, folder: Path | None = None, settings: str = "") -> Path:
    """A git repository with one commit that holds the example, with `settings` in place of its bedev.toml
    where there are any. Raises UsageError for a folder in use."""
    from bedev.agent.git import command
    from bedev.sandboxes.errors import UsageError

    if folder is None:
        target = Path(tempfile.mkdtemp(prefix="bedev-demo-")) / example.name
    else:
        target = folder.absolute()
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(
                f"{folder} is not empty.",
                where="--folder",
                next_step="Name a folder that does not exist yet.",
            )
    try:
        shutil.copytree(example, target, dirs_exist_ok=True, symlinks=True)
        if settings:
            (target / "bedev.toml").write_text(settings, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{target} cannot be made: {error.strerror or error}.",
            where="--folder",
            next_step="Name another folder.",
        ) from error
    git = target / ".git"
    author: dict[str, str | None] = {
        "GIT_AUTHOR_NAME": "bedev demo",
        "GIT_AUTHOR_EMAIL": "demo@bedev.invalid",
        "GIT_COMMITTER_NAME": "bedev demo",
        "GIT_COMMITTER_EMAIL": "demo@bedev.invalid",
    }
    command.run(["init", "--quiet", "--template=", "--initial-branch=main", str(target)], git_dir=None)
    command.run(["add", "--all", "."], git_dir=git, work_tree=target)
    command.run(
        ["commit", "--quiet", "--no-verify", "-m", "A small shop, slow at looking customers up"],
        git_dir=git,
        work_tree=target,
        env=author,
    )
    return target
