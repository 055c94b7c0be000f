"""The places and ports of a pod under the names that recipes, stacks and engines give them.

They speak of /work, /bedev/data, /tmp and 127.0.0.1:8000, which in a container are the pod's own. Without one
a normal user cannot make /work, and two pods would meet in /tmp and on port 8000. So texts on their way in
(commands, values of variables, paths, configuration) get the real folder and port, and texts on their way out
(output, files, answers) the name again: base and patch live in different folders, and must not differ by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

_BEFORE = r"(?<![\w./~})\]$*?+%-])"
_AFTER = r"(?![\w-]|\.\w)"
# `tar -C/work` and `cc -I/work/include`; `sqlite:////bedev/data/x` and `file:///work/x`, but neither
# `http://127.0.0.1:8000/work` nor the relative path of `sqlite:///work.db`.
_OPTION = r"(?<=[\s]-[A-Za-z])"
_URL = r"(?<=:///)"
_FILE_URL = r"(?<=file://)"
_EXPANDED = re.compile(r"(?:\$\{?\w+\}?|\))[\"']\Z")  # "$HOME"/work is no path of ours

_HOSTS = r"(?:127\.0\.0\.1|localhost|0\.0\.0\.0|\[::1?\])"
_SERVERS = (
    "postgres|psql|pg_ctl|pg_isready|createdb|dropdb|mysql|mariadb|mysqladmin|mysqldump|next|vite|serve|"
    "http-server|gunicorn|uvicorn|hypercorn|waitress-serve|puma|rails"
)
_PORTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"({_HOSTS}[\"']?\s*[:,/]\s*[\"']?)(\d{{4,5}})(?![\w.])",
        r"((?:(?<![a-z])|(?<=_))port[\"']?\]?(?:\s*(?:=>|[=:])\s*[\"']?|\s+))(\d{4,5})(?![\w.])",
        r"(\b(?:\w*serve|runserver|http\.server)\s+)(\d{4,5})(?![\w.])",
        r"((?:\s|=):)(\d{4,5})(?=\s|\Z)",
    )
)
_SHORT_OPTION = re.compile(rf"(\b(?:{_SERVERS})\b[^\n;|&]*?\s-[pP]\s*=?)(\d{{4,5}})(?![\w.])")


class Ports:
    """Ports of a pod by the number that the recipe knows. `choose` gives a free real one."""

    def __init__(self, choose: Callable[[], int]) -> None:
        self._choose = choose
        self._real: dict[int, int] = {}

    def of(self, port: int) -> int:
        """The real port of `port`. System ports (below 1024) stay themselves."""
        if port < 1024 or port > 65535:
            return port
        if port not in self._real:
            if port in self._real.values():
                return port
            self._real[port] = self._choose()
        return self._real[port]

    @property
    def real(self) -> tuple[int, ...]:
        return tuple(self._real.values())

    def inward(self, text: str) -> str:
        """`text` with the real ports wherever a port is written as one: beside a host, after `port`."""

        def replace(match: re.Match[str]) -> str:
            return f"{match[1]}{self.of(int(match[2]))}"

        for pattern in (*_PORTS, _SHORT_OPTION):
            text = pattern.sub(replace, text)
        return text

    def of_service(self, command: str) -> str:
        """`command`, which starts a server, with the real number of each port that was asked for before."""
        for port, real in self._real.items():
            command = re.sub(rf"(?<![\w.]){port}(?![\w.])", str(real), command)
        return command

    def outward(self, content: bytes) -> bytes:
        """`content` with the known ports in place of the real ones."""
        for port, real in self._real.items():
            number = str(real).encode()
            if number in content:
                pattern = rb"((?:" + _HOSTS.encode() + rb":|\bport[ =:\"']{1,4}))" + number + rb"(?!\d)"
                content = re.sub(pattern, rb"\g<1>" + str(port).encode(), content, flags=re.IGNORECASE)
        return content


class Places:
    """The real folder of each place (`/work` -> `/home/ann/.../work`), and the ports of a pod."""

    def __init__(self, folders: Mapping[str, Path], ports: Ports | None = None) -> None:
        self.folders = dict(sorted(folders.items(), key=lambda item: -len(item[0])))
        self.ports = ports
        names = "|".join(re.escape(name) for name in self.folders)
        self._inward = re.compile(f"(?:{_BEFORE}|{_OPTION}|{_URL}|{_FILE_URL})({names}){_AFTER}")
        # /work of the pod may lie below the real folder of nothing else; the longest real path goes first.
        self._outward = tuple(
            (form(str(real)).encode(), form(name).encode())
            for name, real in sorted(self.folders.items(), key=lambda item: -len(str(item[1])))
            for form in (str, _json_path)
        )

    def path(self, path: str) -> Path | None:
        """The real path of an absolute one, None where it lies in none of the places."""
        for name, real in self.folders.items():
            if path == name or path.startswith(f"{name}/"):
                return real / path[len(name) :].lstrip("/")
        return None

    def inward(self, text: str) -> str:
        """A command, a variable's value or configuration as it is really run. `//` before a place, a word
        or a variable in front of it, or more letters behind it mean that it is another path."""

        def replace(match: re.Match[str]) -> str:
            if _EXPANDED.search(text, max(0, match.start() - 60), match.start()):
                return match[0]
            return str(self.folders[match[1]])

        found = self._inward.sub(replace, text)
        return self.ports.inward(found) if self.ports is not None else found

    def value(self, name: str, value: str) -> str:
        """The value of the variable `name` as it is really set."""
        if self.ports is not None and name.upper().endswith("PORT") and re.fullmatch(r"\d{4,5}", value):
            return str(self.ports.of(int(value)))
        return self.inward(value)

    def outward(self, content: bytes) -> bytes:
        """What came out of the pod, under the known names. Content that is not text stays as it is."""
        if b"\0" in content:
            return content
        for real, name in self._outward:
            content = content.replace(real, name)
        return self.ports.outward(content) if self.ports is not None else content

    def outward_text(self, text: str) -> str:
        return self.outward(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _json_path(path: str) -> str:
    """As PHP's json_encode writes it."""
    return path.replace("/", "\\/")
