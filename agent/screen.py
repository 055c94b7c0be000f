"""What a person sees while a run goes on: live on a terminal, plain lines in a pipe or a log.

Everything goes to stderr, so that stdout holds the answer alone. All text is encoded here: callers pass
what they have.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from bedev.agent.gate.proof import Check
from bedev.agent.report.encode import for_terminal, one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SYMBOLS = {"passed": "✓", "failed": "✗", "unmeasured": "?", "skipped": "-"}
STYLES = {"passed": "green", "failed": "red", "unmeasured": "yellow", "skipped": "dim"}


class Screen(Protocol):
    """Where a run says what it does. Any thread may call it."""

    def step(self, title: str) -> AbstractContextManager[None]:
        """A step that takes time; steps nest. Its end, or its failure, is shown with its duration."""
        ...

    def working(self, title: str) -> AbstractContextManager[None]:
        """Something that takes time and whose outcome the caller says: shown only while it goes on."""
        ...

    def say(self, text: str) -> None:
        """Something worth keeping: it stays on the screen."""
        ...

    def detail(self, text: str) -> None:
        """What is being tried right now: a live screen shows the last one only."""
        ...

    def check(self, check: Check) -> None:
        """One finished check of the gate."""
        ...

    def table(self, title: str, rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> None:
        """A small table; numbers are right-aligned."""
        ...

    def ask(self, question: str, otherwise: str) -> str:
        """What the person at the terminal answers (`otherwise` where they press Enter alone), '' where there
        is nobody; then `otherwise` is what happens."""
        ...


def seconds(value: float) -> str:
    """A duration for people: `0.4 s`, `12.3 s`, `2 min 05 s`."""
    if value < 99.95:
        return f"{value:.1f} s"
    whole = round(value)
    return f"{whole // 60} min {whole % 60:02d} s"


def make_screen(stream: TextIO | None = None) -> Screen:
    """A live screen where `stream` (stderr) is a terminal that can move its cursor, plain lines elsewhere."""
    stream = stream or sys.stderr
    if stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb"):
        return LiveScreen(stream)
    return PlainScreen(stream)


class PlainScreen:
    """One line an event, with the seconds since the beginning."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._began = time.monotonic()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        began = time.monotonic()
        self._line(title)
        try:
            yield
        except BaseException:
            self._line(f"failed: {title} ({seconds(time.monotonic() - began)})")
            raise
        self._line(f"done: {title} ({seconds(time.monotonic() - began)})")

    @contextlib.contextmanager
    def working(self, title: str) -> Iterator[None]:
        yield

    def say(self, text: str) -> None:
        for line in for_terminal(text).splitlines():
            self._line(line)

    def detail(self, text: str) -> None:
        self._line(f"  {one_line(text)}")

    def check(self, check: Check) -> None:
        self._line(f"{SYMBOLS.get(check.status, '?')} {check.name}: {check.status}: {check.summary}")

    def table(self, title: str, rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> None:
        self._line(title)
        for line in aligned(rows, header):
            self._line(f"  {line}")

    def ask(self, question: str, otherwise: str) -> str:
        self.say(f"question:\n{_quoted(question)}\nnobody can be asked here; going on with:")
        self.say(_quoted(otherwise))
        return ""

    def _line(self, text: str) -> None:
        passed = time.monotonic() - self._began
        indent = text[: len(text) - len(text.lstrip(" "))]
        with self._lock:
            self._stream.write(f"[{passed:7.1f} s] {indent}{one_line(text, 400)}\n")
            self._stream.flush()


class LiveScreen:
    """What is done stays as lines; below them, the steps that are going on, with their clocks."""

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console

        self._console: Console = Console(
            file=stream or sys.stderr, highlight=False, markup=False, emoji=False, soft_wrap=False
        )
        self._lock = threading.RLock()
        self._open: list[tuple[str, float]] = []
        self._detail = ""
        self._live: Any = None

    def __rich__(self) -> RenderableType:
        """The live part. Rich's refresh thread calls this with its own locks held, so it takes none of ours:
        a thread that prints holds them the other way round."""
        from rich.text import Text

        going_on, detail = tuple(self._open), self._detail
        lines = Text(no_wrap=True, overflow="ellipsis")
        now = time.monotonic()
        for depth, (title, began) in enumerate(going_on):
            dots = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(now * 8) % 10] if depth == len(going_on) - 1 else "·"
            lines.append(f"{'  ' * depth}{dots} ", "cyan").append(title)
            lines.append(f"  {seconds(now - began)}\n", "dim")
        if detail and going_on:
            lines.append(f"{'  ' * len(going_on)}{detail}", "dim")
        lines.rstrip()
        return lines

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        title, began, depth = one_line(title), time.monotonic(), len(self._open)
        failed = True
        try:
            with self.working(title):
                yield
            failed = False
        finally:
            self._done(depth, title, time.monotonic() - began, failed)

    @contextlib.contextmanager
    def working(self, title: str) -> Iterator[None]:
        entry = (one_line(title), time.monotonic())
        with self._lock:
            self._open.append(entry)
            self._detail = ""
            if self._live is None:
                self._start()
        try:
            yield
        finally:
            with self._lock:
                self._open.remove(entry)
                self._detail = ""
                # Taken down before the next line, so that an error or Ctrl-C leaves the cursor shown.
                if not self._open:
                    self._stop()

    def say(self, text: str) -> None:
        self._print(for_terminal(text))

    def detail(self, text: str) -> None:
        with self._lock:
            self._detail = one_line(text)

    def check(self, check: Check) -> None:
        from rich.text import Text

        style = STYLES.get(check.status, "yellow")
        line = Text("  ").append(f"{SYMBOLS.get(check.status, '?')} {one_line(check.name, 20):15} ", style)
        self._print(line.append(one_line(check.summary, 400)))

    def table(self, title: str, rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> None:
        from rich.text import Text

        self._print(Text(one_line(title), "bold"))
        for line in aligned(rows, header, self._console.width - 2):
            self._console.print(Text(f"  {line}"), no_wrap=True, overflow="ellipsis")

    def ask(self, question: str, otherwise: str) -> str:
        if not sys.stdin.isatty():
            self.say(f"question:\n{_quoted(question)}\nnobody can be asked here; going on with:")
            self.say(_quoted(otherwise))
            return ""
        with self._lock:
            self._stop()
        try:
            self.say(f"\n{_quoted(question)}\n(Enter alone: {one_line(otherwise, 400)})")
            self._console.print("> ", end="")
            return for_terminal(sys.stdin.readline().strip()) or otherwise
        finally:
            with self._lock:
                if self._open:
                    self._start()

    def _done(self, depth: int, title: str, took: float, failed: bool) -> None:
        from rich.text import Text

        line = Text("  " * depth).append("✗ " if failed else "✓ ", "red" if failed else "green").append(title)
        self._print(line.append(f"  {seconds(took)}", "dim"))

    def _print(self, what: RenderableType) -> None:
        self._console.print(what)

    def _start(self) -> None:
        from rich.live import Live

        self._live = Live(
            self, console=self._console, refresh_per_second=8, transient=True, redirect_stdout=False
        )
        self._live.start()

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()


def _quoted(text: str) -> str:
    """Words of a model: no line of them can look like one of bedev's own."""
    return "\n".join(f"  | {line}" for line in for_terminal(text).splitlines()[:12])


def aligned(rows: Sequence[Sequence[str]], header: Sequence[str] = (), width: int = 0) -> list[str]:
    """A table as lines: columns two spaces apart, numbers to the right, everything encoded.

    With a `width` the widest columns are cut, down to 24 characters, until a line fits.
    """
    cells = [[one_line(cell, 90) for cell in row] for row in ([header] if header else []) + list(rows)]
    if not cells:
        return []
    count = max(len(row) for row in cells)
    cells = [row + [""] * (count - len(row)) for row in cells]
    widths = [max(len(row[i]) for row in cells) for i in range(count)]
    while width and sum(widths) + 2 * (count - 1) > width and max(widths) > 24:
        widths[widths.index(max(widths))] -= 1
    body = cells[1:] if header else cells
    right = [
        any(row[i] for row in body) and all(not row[i] or row[i][0].isdigit() for row in body)
        for i in range(count)
    ]
    return [
        "  ".join(
            one_line(cell, wide).rjust(wide) if to_right else one_line(cell, wide).ljust(wide)
            for cell, wide, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
