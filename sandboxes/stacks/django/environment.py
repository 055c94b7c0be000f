"""The variables that settings read, each with a value that brings the application up."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bedev.sandboxes.recipe import Finding, TreeReader
from bedev.sandboxes.stacks.tree_text import assignment_source, text_of

EXAMPLES = (".env.example", ".env.dist", ".env.sample", ".env.template", "env.example", ".env.local.example")
_READS = re.compile(
    r"(?:os\.environ\.get|os\.getenv|getenv|environ\.get|environ|\benv(?:\.(?P<cast>\w+))?|\bconfig|get_env\w*)"
    r"[(\[]\s*(?:var\s*=\s*)?['\"](?P<name>[A-Za-z_]\w*)['\"](?P<rest>[^\n]*)"
    r"|\benv\.(?P<bare>db|cache|email)(?:_url)?\(\s*\)|dj_database_url\.(?:config|parse)\((?P<dj>[^\n]*)"
)
_SCHEMES = {"mysql": "mysql", "mariadb": "mysql", "postgres": "postgres", "sqlite": "sqlite"}
_HOST, _PORT = "${BEDEV_DATABASE_HOST}", "${BEDEV_DATABASE_PORT}"
_USER, _PASSWORD = "${BEDEV_DATABASE_USER}", "${BEDEV_DATABASE_PASSWORD}"
_NAME = "${BEDEV_DATABASE_NAME}"
_URL = "{scheme}://" + f"{_USER}:{_PASSWORD}@{_HOST}:{_PORT}/{_NAME}"
_DATABASE = r"(?:^|_)(?:DB|DATABASE|MYSQL|MARIADB|POSTGRES|POSTGRESQL|PG|RDS|SQL)_?(?:\w+_)?"
RULES: tuple[tuple[str, str], ...] = (
    (r"(?:DATABASE|DB|POSTGRES|MYSQL)(?:_\w+)?_UR[IL]$", _URL),
    (r"(?:DB|DATABASE|SQL)_(?:ENGINE|BACKEND)$", "{backend}"),
    (_DATABASE + r"(?:HOST|HOSTNAME|SERVER)$", _HOST),
    (_DATABASE + r"PORT$", _PORT),
    (_DATABASE + r"(?:USER|USERNAME)$", _USER),
    (_DATABASE + r"(?:PASS|PASSWORD|PASSWD|PW)$", _PASSWORD),
    (_DATABASE + r"(?:NAME|DB|DATABASE)$", _NAME),
    (r"ALLOWED_HOSTS?$", "*"),
    (r"^(?:DJANGO_|APP_)?DEBUG$", "False"),
    (r"(?:SECRET|SIGNING|ENCRYPTION|JWT|FIELD).*KEY|SECRET$|_SALT$|TOKEN$", "{secret}"),
    (r"CACHE_URL$", "locmemcache://"),
    (r"(?:REDIS|VALKEY).*UR[IL]$", "redis://127.0.0.1:6379/0"),
    (r"(?:BROKER|CELERY|AMQP|RABBIT\w*).*UR[IL]$", "memory://"),
    (r"EMAIL_URL$", "dummymail://"),
    (r"DSN$", ""),
)  # fmt: skip
"""Name of a variable (a pattern) to its value; the first that fits counts, whatever the repository says."""
GENERIC: tuple[tuple[str, str], ...] = (
    (r"UR[IL]$|ORIGINS?$|ENDPOINT$", "http://127.0.0.1:8000"),
    (r"(?:HOST|DOMAIN|ADDRESS)$", "127.0.0.1"),
    (r"(?:PORT|TIMEOUT|SIZE|DAYS|HOURS|MINUTES|SECONDS|TTL|COUNT|LIMIT|NUM\w*)$", "1"),
    (r"(?:EMAIL|MAIL|FROM)$", "bedev@example.org"),
)
"""For those that have no default in the code and no value in the example."""
_CASTS = {"bool": "False", "int": "1", "float": "1", "list": "", "tuple": "", "json": "{}", "dict": ""}


@dataclass(frozen=True)
class Read:
    """A variable that settings read; `needed` where they have no default for it."""

    name: str
    source: str
    needed: bool
    cast: str = ""


@dataclass(frozen=True)
class Environment:
    dotenv: Mapping[str, str]
    findings: tuple[Finding, ...]
    substitutions: tuple[str, ...]


def reads(tree: TreeReader, files: tuple[str, ...]) -> tuple[Read, ...]:
    """Each variable once, at its first place; needed where one of its places needs it."""
    found: dict[str, Read] = {}
    for path in files:
        for number, line in enumerate((text_of(tree, path) or "").splitlines(), 1):
            if line.lstrip().startswith("#"):
                continue
            for match in _READS.finditer(line):
                one = _read(match, f"{path}:{number}")
                known = found.get(one.name)
                if known is None or (one.needed and not known.needed):
                    found[one.name] = one if known is None else Read(one.name, known.source, True, one.cast)
    return tuple(found.values())


def _read(match: re.Match[str], source: str) -> Read:
    if match["name"]:
        said = re.search(r"cast\s*=\s*(\w+)|\b(int|bool|float)\(\s*$", match["rest"] or "")
        cast = match["cast"] or (next((g for g in said.groups() if g), "") if said else "")
        rest = re.sub(r"cast\s*=\s*[\w.()]+", "", match["rest"])
        optional = "environ.get" in match[0] or "getenv" in match[0] or re.match(r"\s*,\s*[^)\s]", rest)
        return Read(match["name"], source, not optional, cast)
    if match["bare"]:
        return Read(
            {"db": "DATABASE_URL", "cache": "CACHE_URL", "email": "EMAIL_URL"}[match["bare"]], source, True
        )
    named = re.search(r"env\s*=\s*['\"](\w+)", match["dj"] or "")
    return Read(named[1] if named else "DATABASE_URL", source, False)


def example(tree: TreeReader, root: str) -> tuple[str, Mapping[str, str]]:
    """The path and the values of the repository's example of an environment file; `("", {})` without one."""
    from dotenv import dotenv_values

    for folder in dict.fromkeys((root, "")):
        for name in EXAMPLES:
            text = text_of(tree, folder + name)
            if text is not None:
                values = dotenv_values(stream=io.StringIO(text), interpolate=False)
                return folder + name, {k: v or "" for k, v in values.items() if re.fullmatch(r"\w+", k)}
    return "", {}


def derive(
    tree: TreeReader, root: str, files: tuple[str, ...], engine: str, backend: str, identity: str
) -> Environment:
    """The environment file: what the example says, with what a pod needs in its place, and a value for each
    variable that settings cannot do without."""
    path, said = example(tree, root)
    asked = {one.name: one for one in reads(tree, files)}
    words = {
        "scheme": _SCHEMES.get(engine, "postgres"),
        "backend": backend,
        "secret": hashlib.sha256(f"bedev {identity}".encode()).hexdigest(),
    }
    values: dict[str, str] = {}
    findings: list[Finding] = []
    substitutions: list[str] = []
    if path:
        findings.append(Finding("environment", path, f"{path}:1"))
    for name in dict.fromkeys((*said, *asked)):
        one = asked.get(name)
        value = _value(name, said.get(name, ""), one, words)
        if value is None:
            continue
        values[name] = value
        shown = "generated" if value == words["secret"] else value or "(empty)"
        shown = "the pod's" if "${BEDEV_" in value else shown
        if name in said and said[name] != value:
            substitutions.append(f"{name}: {said[name] or '(empty)'} -> {shown}")
        if one is not None:
            findings.append(Finding("environment", f"{name}={shown}", one.source))
        elif said.get(name) != value:
            source = assignment_source(text_of(tree, path) or "", path, name)
            findings.append(Finding("environment", f"{name}={shown}", source))
    return Environment(values, tuple(findings), tuple(substitutions))


def _value(name: str, said: str, one: Read | None, words: Mapping[str, str]) -> str | None:
    upper = name.upper()
    for pattern, value in RULES:
        if re.search(pattern, upper):
            return value.format(**words) if "${" not in value else value.replace("{scheme}", words["scheme"])
    if said:
        return said
    if one is None or not one.needed:
        return None
    if one.cast in _CASTS:
        return _CASTS[one.cast]
    return next((value for pattern, value in GENERIC if re.search(pattern, upper)), "bedev")


def database(host: str, port: int, user: str, password: str, name: str | None = None) -> dict[str, str]:
    """What settings.py of the sandbox reads; without `name` the settings' own stays."""
    found = {
        "BEDEV_DATABASE_HOST": host,
        "BEDEV_DATABASE_PORT": str(port) if port else "",
        "BEDEV_DATABASE_USER": user,
        "BEDEV_DATABASE_PASSWORD": password,
    }
    return found if name is None else {**found, "BEDEV_DATABASE_NAME": name}


def render(values: Mapping[str, str], own: Mapping[str, str]) -> bytes:
    """The bytes of the environment file, database first."""
    filled = {n: re.sub(r"\$\{(BEDEV_\w+)\}", lambda m: own.get(m[1], ""), v) for n, v in values.items()}
    return "".join(f"{name}={_quoted(value)}\n" for name, value in {**filled, **own}.items()).encode()


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w./:@+=,%*-]*", value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
