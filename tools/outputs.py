"""Outputs on their way to a model: short ones whole, long ones by their ends, with a handle for the rest."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

from bedev.sandboxes.errors import BedevError
from bedev.sandboxes.sandbox import CommandResult, Output
from bedev.tools.tool import ToolFailed

SHOWN_CHARACTERS = 12_000
"""How much of one output a model sees at once; the rest has a handle."""
KEPT_CHARACTERS = 4 << 20
KEPT_TOTAL = 32 << 20
"""Of texts that are kept for read_output, in characters; the oldest go first."""


class Outputs(ABC):
    """What a workbench shows and keeps."""

    def __init__(self) -> None:
        self._kept: dict[str, str | Output] = {}
        self._numbers = 0

    @abstractmethod
    def read_output(self, handle: str, most: int) -> bytes:
        """The whole of a command's output. Raises BedevError where the box no longer has it."""

    def shown(self, result: CommandResult) -> str:
        """A command's output, bounded, with handles for the rest; white space at the ends of lines and more
        than one empty line say nothing and cost tokens."""
        parts = []
        for name, output in (("stdout", result.stdout), ("stderr", result.stderr)):
            if output.text.strip():
                parts.append(self.bounded(output, name if name == "stderr" else ""))
        return "\n".join(parts) or "(no output)"

    def whole(self, output: Output) -> str:
        """All of a command's output, of which a result carries the ends; at most 64 MiB. Bytes that are no
        text are surrogates."""
        if not output.truncated and "\ufffd" not in output.text:
            return output.text
        content = self.read_output(output.handle, 64 << 20)
        return content.decode("utf-8", "surrogateescape")

    def bounded(self, output: Output | str, title: str = "", limit: int = SHOWN_CHARACTERS) -> str:
        """`output` where it is short; else its beginning and end, and the handle that read_output takes."""
        text = output if isinstance(output, str) else output.text
        truncated = not isinstance(output, str) and output.truncated
        head = f"[{title}]\n" if title else ""
        if not isinstance(output, str) and not truncated:
            text = re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+(?=\n|\Z)", "", text)).strip("\n")
        if len(text) <= limit and not truncated:
            return head + text.rstrip("\n")
        handle = self.keep(output)
        half = limit // 2
        total = len(text) if isinstance(output, str) else output.total_bytes
        middle = f"\n[... {total:,} characters in all; read_output with handle {handle} shows the rest ...]\n"
        return head + text[:half] + middle + text[-half:].rstrip("\n")

    def keep(self, output: Output | str) -> str:
        """A handle for an output, for read_output. Old ones are dropped when much is kept."""
        self._numbers += 1
        handle = f"out-{self._numbers}"
        self._kept[handle] = output if not isinstance(output, str) else output[:KEPT_CHARACTERS]
        while sum(len(o) for o in self._kept.values() if isinstance(o, str)) > KEPT_TOTAL:
            del self._kept[next(iter(self._kept))]
        return handle

    def kept(self, handle: str) -> str:
        """What a handle stands for. Raises ToolFailed for one that is not there (any more)."""
        output = self._kept.get(handle)
        if output is None:
            known = ", ".join(list(self._kept)[-5:]) or "none yet"
            raise ToolFailed(
                f"There is no output {handle!r} (handles: {known}). Run the command again to get a new one."
            )
        if isinstance(output, str):
            return output
        try:
            content = self.read_output(output.handle, KEPT_CHARACTERS)
        except BedevError as error:
            raise ToolFailed(
                f"The output {handle!r} is no longer kept. Run the command again to get a new one."
            ) from error
        return content.decode("utf-8", "replace")
