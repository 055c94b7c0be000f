"""Who the model is asked to be: an agent file, in the format that `.claude/agents/*.md` made common.

Parsed leniently, because people write these files by hand, and trusted with nothing: a file can change
the persona and name a model; what it says about tools, permissions or hooks is read and not obeyed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from bedev.sandboxes.errors import EnvironmentUnusable, UsageError
from bedev.sandboxes.recipe import TreeReader

OWN_FILE = ".claude/agents/backend-developer.md"
"""Where a repository keeps its own; used only after the user has agreed to its hash."""
AGREED = "agreed-agents"
MOST_BYTES = 256 << 10
MOST_FRONT_MATTER = 64 << 10
OBEYED = frozenset(("name", "description", "model", "color", "tools"))
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\Z")


@dataclass(frozen=True)
class Persona:
    """`prompt` is the file's body. `model` is an alias or id, '' where the file leaves it to the user.
    `notes` say what in the file was not obeyed. `sha256` is that of the whole file."""

    name: str
    description: str
    prompt: str
    model: str
    color: str
    source: str
    sha256: str
    notes: tuple[str, ...] = ()


def built_in() -> Persona:
    """bedev's own backend developer."""
    text = resources.files("bedev.agent").joinpath("prompts/backend-developer.md").read_bytes()
    return parse(text, "built in")


def method() -> str:
    """How work goes in bedev; stands below every persona and is no persona's to change."""
    return resources.files("bedev.agent").joinpath("prompts/method.md").read_text(encoding="utf-8")


def from_file(path: Path) -> Persona:
    """The agent file of `--agent`. Raises UsageError where it cannot be read or holds no prompt."""
    try:
        if not path.is_file():
            what = f"{path} is no file." if path.exists() else f"There is no file {path}."
            raise UsageError(what, where="--agent", next_step="Name a Markdown file.")
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(
                f"{path} is larger than {MOST_BYTES >> 10} KiB.", where="--agent", next_step="Shorten it."
            )
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", where="--agent") from error
    return parse(content, str(path))


def of_repository(tree: TreeReader) -> Persona | None:
    """The repository's own agent file (untrusted), None where there is none or it is unusable."""
    content = tree.read(OWN_FILE)
    if content is None or len(content) > MOST_BYTES:
        return None
    try:
        return parse(content, OWN_FILE)
    except UsageError:
        return None


def is_agreed(state: Path, persona: Persona) -> bool:
    """Whether the user has agreed to exactly this content in this repository (`state`: its folder)."""
    try:
        return persona.sha256 in (state / AGREED).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return False


def agree(state: Path, persona: Persona) -> None:
    """Remember that the user agrees to this content. Raises EnvironmentUnusable."""
    try:
        with (state / AGREED).open("a", encoding="ascii") as file:
            file.write(f"{persona.sha256}\n")
    except OSError as error:
        raise EnvironmentUnusable(
            f"The agreement cannot be kept: {error.strerror}.", where=str(state / AGREED)
        ) from error


def parse(content: bytes, source: str) -> Persona:
    """Read an agent file. Raises UsageError where no prompt is left."""
    text = content.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    head, body = _split(text)
    fields = _front_matter(head)
    notes: list[str] = []
    ignored = sorted(set(map(str, fields)) - OBEYED)
    if ignored:
        notes.append(f"not obeyed: {', '.join(ignored[:8])}")
    model = _text(fields.get("model"))
    if model.lower() in ("inherit", "default"):
        model = ""
    if model and not _MODEL.match(model):
        notes.append(f"not a model: {model[:40]!r}")
        model = ""
    prompt = body.strip()
    if not prompt:
        raise UsageError(
            f"The agent file {source} has no text below its front matter.",
            where="--agent",
            next_step="Write who the agent is below the second `---` line.",
        )
    return Persona(
        name=_text(fields.get("name")) or Path(source).stem,
        description=_text(fields.get("description")),
        prompt=prompt,
        model=model,
        color=_text(fields.get("color")),
        source=source,
        sha256=hashlib.sha256(content).hexdigest(),
        notes=tuple(notes),
    )


def _split(text: str) -> tuple[str, str]:
    """Front matter and body; a file without front matter is all body."""
    found = re.match(r"\s*---[ \t]*\n(?:(.*?)\n)?---[ \t]*(?:\n|\Z)(.*)\Z", text, re.DOTALL)
    if found is None or len(found[1] or "") > MOST_FRONT_MATTER:
        return "", text
    return found[1] or "", found[2]


def _front_matter(head: str) -> Mapping[str, Any]:
    """The fields: as YAML; where that fails, with each top-level text quoted; where that fails, by lines."""
    import yaml

    if re.search(r"(?m)^\s*[\w-]+:\s*[&*]\w", head):
        return _by_lines(head)
    for text in (head, _quoted(head)):
        try:
            fields = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError):
            continue
        if isinstance(fields, Mapping):
            return fields
    return _by_lines(head)


def _quoted(head: str) -> str:
    """Top-level `key: value` lines with the value in single quotes (`description: Use when: a: b`)."""
    return re.sub(
        r"(?m)^([A-Za-z][\w-]*):[ \t]+(?![|>\[{\"'])(\S.*)$",
        lambda found: f"{found[1]}: '{found[2].replace(chr(39), chr(39) * 2)}'",
        head,
    )


def _by_lines(head: str) -> Mapping[str, Any]:
    found = re.findall(r"(?m)^([A-Za-z][\w-]*):[ \t]*(.*)$", head)
    return {key: value.strip().strip("\"'") for key, value in found}


def _text(value: Any) -> str:
    """A field as one text; descriptions often hold the two characters `\\n` for a line break."""
    if value is None or isinstance(value, Mapping | list):
        return ""
    return str(value).replace("\\n", "\n").strip()
