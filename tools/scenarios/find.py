"""Which requests and commands a task may mean, best first. Nothing is run here: candidates are measured
elsewhere, and only a measured one becomes the scenario.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from bedev.sandboxes.engines.engine import Schema
from bedev.sandboxes.stacks.stack import ConsoleCommand, Route
from bedev.tools.scenarios.scenario import Question
from bedev.tools.scenarios.source_reads import (
    PAGING,
    Handler,
    SourceIndex,
    guess_column,
    is_test,
    key_of,
    snake,
    stem,
    words,
)

MOST = 24
# fmt: off
_SAY_NOTHING = frozenset((
    "slow", "query", "page", "endpoint", "request", "api", "route", "fix", "the", "an", "of", "for",
    "is", "are", "too", "very", "take", "long", "performance", "make", "faster", "fast", "speed", "up",
    "improve", "optimize", "optimise", "load", "loading", "sql", "database", "db", "when", "by", "with",
    "on", "in", "to", "and", "it", "screen", "problem", "issue", "get", "our", "we", "that", "from",
    "all", "show", "index", "http", "second", "time", "response", "url", "please", "why", "so", "bad",
    "its", "be", "a", "at", "my", "some", "this",
))
# fmt: on
# fmt: off
_WRITING = frozenset((
    "import", "seed", "send", "delete", "purge", "sync", "create", "update", "migrate", "prune",
    "clean", "clear", "remove", "reset", "install", "generate", "make", "notify", "mail", "queue",
    "work", "flush", "archive",
))
# fmt: on


@dataclass(frozen=True)
class CandidateScenario:
    """A question that may be meant. `question` is a template: `{users.email}` stands for a value of that
    column; `parameters` are (name, table, column) of these, in the order in which they stand. `why` is for
    people; scores only compare. `matches`: a word of the task has something to do with it."""

    question: Question
    score: float
    why: str
    parameters: tuple[tuple[str, str, str], ...] = ()
    matches: bool = False


def fill(candidate: CandidateScenario, values: Mapping[str, str]) -> Question:
    """The question with `values` (by parameter name) in place, URL-encoded. Raises KeyError for a value
    that is not given."""
    text = candidate.question.text
    encode = candidate.question.kind == "http"
    for name, table, column in candidate.parameters:
        value = values[name]
        text = text.replace(f"{{{table}.{column}}}", quote(value, safe="") if encode else _shell(value), 1)
    return Question(candidate.question.kind, text)


def _shell(value: str) -> str:
    import shlex

    return shlex.quote(value)


def candidates(
    task: str,
    routes: Sequence[Route],
    commands: Sequence[ConsoleCommand],
    sources: Mapping[str, str],
    schema: Schema,
    console: str = "",
) -> tuple[CandidateScenario, ...]:
    """At most 24 questions that `task` may mean, best first, the same for the same input.

    `sources` are files as text, tests included. `console` is what runs a console command (its words before
    the command's name). Only routes that read (GET) are candidates, and commands whose name says that they
    read come after them. Where no word of the task matches anything, all of them are, with a low score.
    """
    wanted = tuple(w for w in words(task) if w not in _SAY_NOTHING and len(w) > 1)
    index = SourceIndex(sources, schema)
    calls = _calls_of_tests(sources)
    found: list[CandidateScenario] = []
    for route in routes:
        if "GET" in re.split(r"\W", route.method.upper()) and not route.path.lstrip("/").startswith("_"):
            found.extend(_RouteCandidates(route, index, schema, calls, wanted, task).all())
    found.extend(_commands(commands, index, schema, wanted, console))
    matching = [c for c in found if c.matches]
    best: dict[str, CandidateScenario] = {}
    for candidate in matching or found:
        before = best.get(candidate.question.text)
        if before is None or candidate.score > before.score:
            best[candidate.question.text] = candidate
    ranked = sorted(best.values(), key=lambda c: (-c.score, c.question.kind != "http", c.question.text))
    return tuple(ranked[:MOST])


@dataclass(frozen=True)
class _Call:
    """A request that a feature test sends; `{...}` in it is a value of the test."""

    path: str
    query: tuple[tuple[str, str], ...]


_CALL = re.compile(
    r"\b(?P<method>get|json|call|client|request|fetch|visit)(?:Json|_json)?\(\s*(?:['\"]GET['\"]\s*,\s*)?"
    r"(?P<quote>['\"`])(?P<url>(?:https?://[^/'\"`]+)?/[^'\"`\n]*)(?P=quote)",
    re.IGNORECASE,
)
_VALUE = re.compile(r"\{\$[^}]*\}|\$\{[^}]*\}|\{[^{}]*\}|\$\w+(?:->\w+)*")


def _calls_of_tests(sources: Mapping[str, str]) -> tuple[_Call, ...]:
    found: dict[_Call, None] = {}
    for path in sorted(sources):
        if not is_test(path):
            continue
        for match in _CALL.finditer(sources[path]):
            url = re.sub(r"^https?://[^/]+", "", _VALUE.sub("{}", match["url"]))
            before, _, query = url.partition("?")
            found[_Call(before, tuple(parse_qsl(query, keep_blank_values=True)))] = None
    return tuple(found)


_PATH_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?(\?)?\}|<(?:\w+:)?(\w+)>|:(\w+)\??|\[(\w+)\]")


class _RouteCandidates:
    """The candidates of one route: with each query parameter alone, and with none."""

    def __init__(
        self,
        route: Route,
        index: SourceIndex,
        schema: Schema,
        calls: Sequence[_Call],
        wanted: Sequence[str],
        task: str,
    ) -> None:
        self._route, self._index, self._schema = route, index, schema
        self._wanted, self._task = wanted, task
        self._handler: Handler = index.handler(route)
        self._path = "/" + route.path.lstrip("/")  # one framework's `/users/` is another's redirect
        pattern = re.escape(self._path.rstrip("/") or "/")
        for match in _PATH_PARAMETER.finditer(self._path):
            pattern = pattern.replace(re.escape(match[0]), r"([^/]+)", 1)
        self._calls = [c for c in calls if re.fullmatch(pattern, c.path.rstrip("/") or "/")]
        self._pattern = pattern
        self._segments = [s for s in self._path.split("/") if s and not _PATH_PARAMETER.search(s)]

    def all(self) -> Iterable[CandidateScenario]:
        path = self._filled_path()
        if path is None:
            return
        url, path_parameters = path
        reads = {r.name: r.required for r in self._handler.reads}
        for call in self._calls:
            for name, _ in call.query:
                if name.lower() not in PAGING:
                    reads.setdefault(name, False)
        required = [n for n, r in reads.items() if r]
        filters: list[str | None] = [None, *reads]
        for chosen in filters:
            if chosen is None and required:
                continue
            more = [chosen] if chosen is not None and chosen not in required else []
            made = self._query([*required, *more])
            if made is not None:
                yield self._candidate(url, path_parameters, *made, chosen)

    def _tables(self) -> list[str]:
        """The likeliest first: what the path names, then what the handler touches."""
        named = [self._index.table_of(s) for s in reversed(self._segments)]
        order = [*(t for t in named if t), *self._handler.direct, *self._handler.reached]
        return list(dict.fromkeys(order))

    def _filled_path(self) -> tuple[str, list[tuple[str, str, str]]] | None:
        """The path with its parameters' columns in place, None where one cannot be guessed."""
        parameters: list[tuple[str, str, str]] = []
        out, end = "", 0
        for number, match in enumerate(_PATH_PARAMETER.finditer(self._path)):
            name = next(g for g in (match[1], match[4], match[5], match[6]) if g)
            place = self._path_column(name, match[2], self._path[: match.start()])
            out += self._path[end : match.start()]
            end = match.end()
            if place is not None:
                parameters.append((name, *place))
                out += f"{{{place[0]}.{place[1]}}}"
            else:
                literal = self._literal_segment(number)
                if literal is None:
                    return None
                out += quote(literal, safe="")
        return out + self._path[end:], parameters

    def _path_column(self, name: str, field: str | None, before: str) -> tuple[str, str] | None:
        owner = self._index.table_of(re.sub(r"(?:_?[iI]d|_?[uU]uid|_?[sS]lug|_?pk)$", "", name) or name)
        segments = [s for s in before.split("/") if s and not _PATH_PARAMETER.search(s)]
        if owner is None and segments:
            owner = self._index.table_of(segments[-1])
        table = self._schema.table(owner) if owner else None
        if table is not None:
            for wanted in (field, snake(name)):
                column = table.column(wanted) if wanted else None
                if column is not None:
                    return table.name, column.name
            key = key_of(table)
            if key:
                return table.name, key
        return guess_column(name, self._tables(), self._schema)

    def _literal_segment(self, number: int) -> str | None:
        for call in self._calls:
            match = re.fullmatch(self._pattern, call.path.rstrip("/") or "/")
            if match and "{" not in match[number + 1]:
                return match[number + 1]
        return None

    def _query(self, names: Sequence[str]) -> tuple[str, list[tuple[str, str, str]]] | None:
        """The query string, None where nobody knows a value for one of `names`."""
        parts: list[str] = []
        parameters: list[tuple[str, str, str]] = []
        for name in names:
            place = guess_column(name, self._tables(), self._schema)
            if place is not None:
                parameters.append((name, *place))
                parts.append(f"{quote(name)}={{{place[0]}.{place[1]}}}")
                continue
            literals = [v for c in self._calls for n, v in c.query if n == name and v and "{" not in v]
            if not literals:
                return None
            parts.append(f"{quote(name)}={quote(literals[0], safe='')}")
        return "&".join(parts), parameters

    def _candidate(
        self,
        url: str,
        path_parameters: Sequence[tuple[str, str, str]],
        query: str,
        parameters: Sequence[tuple[str, str, str]],
        name: str | None,
    ) -> CandidateScenario:
        text = f"GET {url}{'?' + query if query else ''}"
        score, why = self._score(name)
        matches = score > 0
        if name is not None:
            score += 1.5
            tested = any(n == name for c in self._calls for n, _ in c.query)
            score += 0.5 if tested else 0.0
            why.append(f"{'a feature test' if tested else 'its handler'} filters by {name}")
        if path_parameters and not parameters:
            score -= 1  # one row by its key is rarely what is slow
        if self._route.needs_login:
            score -= 1
            why.append("needs a login")
        every = (*path_parameters, *parameters)
        return CandidateScenario(
            Question("http", text),
            round(score, 3),
            "; ".join(why) or "it reads, and nothing matched",
            every,
            matches,
        )

    def _score(self, name: str | None) -> tuple[float, list[str]]:
        score, why = 0.0, []
        path_words = {w for s in self._segments for w in words(s)}
        handler_words = set(words(self._route.handler.rsplit("\\", 1)[-1])) | set(words(self._route.name))
        tables = self._tables()
        main = set(words(tables[0])) if tables else set()
        direct = {w for t in self._handler.direct for w in words(t)}
        reached = {w for t in self._handler.reached for w in words(t)}
        reached |= {w for c in self._handler.classes for w in words(c)}
        own = set(words(name)) if name else set()
        if name:
            place = guess_column(name, tables, self._schema)
            own |= set(words(place[1])) if place else set()
        kinds = (
            ("its path", path_words, 6.0),
            ("its handler's name", handler_words, 3.0),
            ("its table", main, 4.0),
            ("a table that it reads", direct, 2.0),
            ("what it reaches", reached, 1.0),
            ("its parameter", own, 6.0),
        )
        for word in self._wanted:
            hits = [(label, points) for label, names, points in kinds if word in names]
            if hits:
                score += sum(points for _, points in hits)
                why.append(f"{word!r} is in {hits[0][0]}")
        static = self._path.split("{")[0].rstrip("/")
        if len(static) > 1 and re.search(rf"(?<![\w/]){re.escape(static)}(?![\w-])", self._task):
            score += 20
            why.insert(0, "the task names its path")
        return score, why


def _commands(
    commands: Sequence[ConsoleCommand],
    index: SourceIndex,
    schema: Schema,
    wanted: Sequence[str],
    console: str,
) -> Iterable[CandidateScenario]:
    for command in commands:
        name_words = set(words(command.name))
        if name_words & _WRITING:
            continue
        text = index.sources.get(command.source, "") or next(
            (t for p, t in sorted(index.sources.items()) if not is_test(p) and _declares(t, command.name)), ""
        )
        tables = [t for t in (index.table_of(w) for w in re.split(r"[:\-_ ]", command.name)) if t]
        handler = index.handler(Route("", "", "", source=command.source)) if command.source else Handler()
        tables = list(dict.fromkeys([*tables, *handler.direct]))
        parts: list[str] = [*([console] if console else []), command.name]
        parameters: list[tuple[str, str, str]] = []
        for argument in _arguments(text, command.name):
            place = guess_column(argument, tables, schema)
            if place is None:
                break
            parameters.append((argument, *place))
            parts.append(f"{{{place[0]}.{place[1]}}}")
        else:
            described = set(words(command.description))
            score, why = 0.0, []
            for word in wanted:
                points = 5.0 * (word in name_words) + 2.0 * (word in described)
                points += 2.0 * any(stem(word) in words(t) for t in tables)
                if points:
                    score += points
                    why.append(f"{word!r} is in the command {command.name}")
            yield CandidateScenario(
                Question("command", " ".join(parts)),
                round(score, 3),
                "; ".join(why) or "a command, and nothing matched",
                tuple(parameters),
                score > 0,
            )


def _declares(text: str, name: str) -> bool:
    return name in text and re.search(rf"['\"]{re.escape(name)}(?=[\s'\"{{])", text) is not None


def _arguments(text: str, name: str) -> Iterable[str]:
    """The arguments that a command's signature requires (`{id : The number}`; options and `{id?}` not)."""
    match = re.search(rf"['\"]{re.escape(name)}\s+([^'\"]*)['\"]", text)
    if match is None:
        return
    for argument in re.finditer(r"\{\s*([\w-]+)(\?|=|\*)?[^}]*\}", match[1]):
        if not argument[1].startswith("-") and argument[2] is None:
            yield argument[1]
