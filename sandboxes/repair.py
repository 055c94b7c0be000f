"""What a failed step's own words say of the cause, the line of bedev.toml that settles it, and the recipe
with it corrected where a rule can do that.

The rules are data: system libraries and tools in repair.toml, the others in `RULES`. None knows a repository.
Only Debian packages are corrected without asking: they come from the image's own release, and add to an image
what it lacks; a module, a variable or a server may be missing for a reason that only a person knows.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from bedev.sandboxes.errors import BedevError
from bedev.sandboxes.recipe import Recipe

MOST_CORRECTIONS = 3
"""How often one set-up is tried again with a corrected recipe: a build may lack one library after another."""
MANY_RED = 0.2  # share of a suite: fewer red tests have causes of their own
_COMPILER = ("gcc", "libc6-dev")
_KEPT = 60_000  # characters of output, from its end
_SERVERS: Mapping[str, tuple[str, str]] = {
    "6379": ("Redis", 'redis = "redis:8"'),
    "5672": ("RabbitMQ", 'rabbitmq = "rabbitmq:4"'),
    "11211": ("Memcached", 'memcached = "memcached:1"'),
}
"""By default port: the server's name, and the line below [services] that starts it."""
_ELSEWHERE: Mapping[str, str] = {
    "9200": "Elasticsearch or OpenSearch",
    "27017": "MongoDB",
    "9092": "Kafka",
    "9000": "MinIO or ClickHouse",
    "4566": "LocalStack",
    "1025": "a mail catcher",
}
"""Servers that a pod cannot have, by default port."""
_LAST_PYTHON = {"distutils": "3.11", "imp": "3.11", "asynchat": "3.11", "asyncore": "3.11", "cgi": "3.12"}
"""Modules that left Python's standard library, and the last version that has them (docs.python.org, What's
New in 3.12 and 3.13)."""
_DISTRIBUTIONS = {
    "yaml": "PyYAML",
    "PIL": "Pillow",
    "dotenv": "python-dotenv",
    "environ": "django-environ",
    "decouple": "python-decouple",
    "corsheaders": "django-cors-headers",
    "rest_framework": "djangorestframework",
    "debug_toolbar": "django-debug-toolbar",
    "bs4": "beautifulsoup4",
    "dateutil": "python-dateutil",
    "jwt": "PyJWT",
    "psycopg2": "psycopg2-binary",
    "psycopg": "psycopg[binary]",
    "MySQLdb": "mysqlclient",
    "magic": "python-magic",
    "pkg_resources": "setuptools<81",
    "xdist": "pytest-xdist",
    "pytest_django": "pytest-django",
}
"""Modules whose distribution is called otherwise."""
_RUNNERS = {"pytest", "pytest_django", "xdist", "nose", "nose2", "pytest_cov"}


@dataclass(frozen=True)
class Diagnosis:
    """`cause` is a sentence; `said` the recognised words (untrusted); `toml` the lines of bedev.toml that
    settle it, empty where none can; `packages` what a corrected recipe adds."""

    cause: str
    said: str
    toml: str = ""
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """`words` is searched in a step's output; `answer` says what a match means for that recipe, None where
    it means nothing."""

    words: str
    answer: Callable[[re.Match[str], Recipe], tuple[str, str] | None]


def diagnose(output: str, recipe: Recipe) -> Diagnosis | None:
    """The likely cause of a step that failed with this output, None where no rule knows it."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output[-_KEPT:])
    for rule in RULES:
        for match in re.finditer(rule.words, text, re.MULTILINE):
            answer = rule.answer(match, recipe)
            if answer is not None:
                return Diagnosis(answer[0], _line(text, match), answer[1])
    return _library(text, recipe)


def explain(error: BedevError, recipe: Recipe) -> Diagnosis | None:
    """Put the likely cause and the lines that settle it into an error of a step, once."""
    if error.cause:
        return None
    found = diagnose(error.output or error.detail, recipe)
    if found is not None:
        error.cause, error.toml = found.cause, found.toml
    return found


def likely(output: str, recipe: Recipe) -> str:
    """The likely cause with the lines that settle it, on one line; empty where no rule knows it."""
    found = diagnose(output, recipe)
    if found is None:
        return ""
    settled = f" In bedev.toml: {' '.join(found.toml.split())}" if found.toml else ""
    return f"{found.cause}{settled}"


def cause_of_red(messages: Sequence[str], tests: int, output: str, recipe: Recipe) -> str:
    """What the red tests of a suite of so many `tests` have in common, where many are red: one thing that the
    pod lacks is more likely then than many faults. Empty where few are, or no rule knows it."""
    if len(messages) < max(2.0, MANY_RED * tests):
        return ""
    return likely("\n".join([*messages, output]), recipe)


def corrected(recipe: Recipe, diagnosis: Diagnosis | None) -> Recipe | None:
    """The recipe with what it lacked, None where a rule cannot correct it."""
    if diagnosis is None or not diagnosis.packages:
        return None
    said = f"packages: {' '.join(diagnosis.packages)} added, as a step said: {diagnosis.said}"
    return replace(
        recipe,
        packages=(*recipe.packages, *diagnosis.packages),
        substitutions=(*recipe.substitutions, said),
    )


# system libraries and tools


@cache
def _libraries() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("repair.toml").read_text(encoding="utf-8"))


def _library(text: str, recipe: Recipe) -> Diagnosis | None:
    for name, entry in _libraries().items():
        for words in entry["words"]:
            match = re.search(words, text, re.MULTILINE)
            if match is None:
                continue
            wanted = (*entry["packages"], *(_COMPILER if entry.get("compiled") else ()))
            missing = tuple(p for p in dict.fromkeys(wanted) if p not in recipe.packages)
            if not missing:
                break
            cause = f"The image lacks {name}, which a dependency is built with or loads."
            return Diagnosis(cause, _line(text, match), packages_line(recipe, missing), missing)
    return _unknown_library(text, recipe)


def _unknown_library(text: str, recipe: Recipe) -> Diagnosis | None:
    match = (
        re.search(r"fatal error: ([\w./+-]+\.h(?:pp)?): No such file", text)
        or re.search(r"(?:^|[\s:'\"])(lib[\w.+-]+\.so[\w.]*): cannot open shared object file", text)
        or re.search(r"(?:^|: )([\w.+-]+): (?:command )?not found$", text, re.MULTILINE)
    )
    if match is None:
        return None
    cause = f"The image lacks {match[1]}; the Debian package that has it is not one that bedev knows."
    return Diagnosis(cause, _line(text, match), packages_line(recipe, (f"THE-PACKAGE-WITH-{match[1]}",)))


def packages_line(recipe: Recipe, more: Sequence[str]) -> str:
    return f"[recipe]\npackages = {json.dumps([*recipe.packages, *more])}"


# the other rules


def _other_python(match: re.Match[str], recipe: Recipe) -> tuple[str, str]:
    del recipe
    version = _below(match["wanted"])
    cause = f"{_short(match['what'])} does not run on this Python: it asks for {_short(match['wanted'])}."
    return cause, _python_image(version)


def _gone_module(match: re.Match[str], recipe: Recipe) -> tuple[str, str] | None:
    del recipe
    last = _LAST_PYTHON.get(match[1])
    if last is None:
        return None
    return f"This Python has no module {match[1]} any more; {last} is the last that has it.", _python_image(
        last
    )


def _module(match: re.Match[str], recipe: Recipe) -> tuple[str, str]:
    module = match[1].partition(".")[0]
    name = _DISTRIBUTIONS.get(module, module.replace("_", "-"))
    what = "the test runner needs" if module in _RUNNERS else "the application imports"
    cause = (
        f"The module {module}, which {what}, is not installed: it may be of an extra or of a list for "
        "development that the install step leaves out."
    )
    return cause, _also_install(recipe, f"python3 -m pip install '{name}'")


def _node_module(match: re.Match[str], recipe: Recipe) -> tuple[str, str] | None:
    if match[1].startswith((".", "/")):
        return f"The built file {match[1]} is not there.", '[recipe]\nbuild = ["npm run build"]'
    cause = f"The package {match[1]} is not installed: development dependencies may have been left out."
    return cause, _also_install(recipe, f"npm install --no-save {match[1]}")


def _php_class(match: re.Match[str], recipe: Recipe) -> tuple[str, str]:
    cause = (
        f"The class {match[1]} is not there: it may be of a package for development that is not installed, "
        "or the autoload files are older than the class."
    )
    return cause, _also_install(recipe, "composer install --no-interaction --no-scripts --no-plugins")


def _runner(match: re.Match[str], recipe: Recipe) -> tuple[str, str]:
    cause = f"The test runner {match[1]} is not installed: development dependencies may have been left out."
    how = {
        "phpunit": "composer install",
        "pest": "composer install",
        "pytest": "python3 -m pip install pytest",
    }
    return cause, _also_install(recipe, how.get(match[1], "npm ci --include=dev"))


def _variable(match: re.Match[str], recipe: Recipe) -> tuple[str, str] | None:
    name = next((g for g in match.groups() if g), "")
    if not name or name in recipe.environment or name in ("PATH", "HOME"):
        return None
    cause = f"The application needs the environment variable {name}, for which the repository has no example."
    return cause, f'[recipe.environment]\n{name} = "..."'


def _refused(match: re.Match[str], recipe: Recipe) -> tuple[str, str] | None:
    port = next((g for g in match.groups() if g), "")
    if port in _SERVERS:
        name, line = _SERVERS[port]
        if line.partition(" ")[0] in recipe.services:
            cause = (
                f"{name} runs in the pod, on 127.0.0.1:{port}, but was not reached under the address asked."
            )
            return cause, '[recipe.environment]\nTHE_VARIABLE_WITH_ITS_ADDRESS = "127.0.0.1"'
        return (
            f"The application asks {name} on port {port}, which this pod does not have.",
            f"[services]\n{line}",
        )
    if port in _ELSEWHERE:
        return (
            f"The application asks {_ELSEWHERE[port]} on port {port}, which no pod can have: look for a "
            "setting of the application that does without.",
            "",
        )
    return None


def _unresolved(match: re.Match[str], recipe: Recipe) -> tuple[str, str] | None:
    host = match[1].lower()
    for _, line in _SERVERS.values():
        kind = line.partition(" ")[0]
        if kind in host:
            have = "" if kind in recipe.services else f"\n\n[services]\n{line}"
            cause = f"The application asks for {kind} under the name {match[1]}; in the pod it is 127.0.0.1."
            return cause, f'[recipe.environment]\nTHE_VARIABLE_WITH_ITS_ADDRESS = "127.0.0.1"{have}'
    return None


def _network(match: re.Match[str], recipe: Recipe) -> tuple[str, str]:
    del match
    cause = (
        "The step asked for the network, which only [recipe] install has (and behind a proxy only with the "
        "user's `proxy`)."
    )
    return cause, _also_install(recipe, "the command that downloads")


def _certificate(match: re.Match[str], recipe: Recipe) -> tuple[str, str]:
    del match, recipe
    cause = (
        "The registry's certificate is not known inside the sandbox, as behind a company's proxy: that is "
        "the user's own setting, `ca_file` in ~/.config/bedev/config.toml or BEDEV_CA_FILE, and never one of "
        "bedev.toml."
    )
    return cause, ""


def _no_version(match: re.Match[str], recipe: Recipe) -> tuple[str, str]:
    what = _short(next(g for g in match.groups() if g))
    cause = f"{what} is not in the registry (any more), or has no release for this image's version."
    return cause, _also_install(recipe, f"the step with a version of {what.partition('=')[0]} that is there")


def _drift(match: re.Match[str], recipe: Recipe) -> tuple[str, str]:
    package = match[2].partition(".")[0]
    cause = (
        f"{package} has no {match[1]}: a version that is newer (or older) than the code expects is "
        "installed, as nothing pins it."
    )
    name = _DISTRIBUTIONS.get(package, package.replace("_", "-"))
    return cause, _also_install(recipe, f"python3 -m pip install '{name}<THE NEXT VERSION'")


def _extension(match: re.Match[str], recipe: Recipe) -> tuple[str, str]:
    del recipe
    name = next(g for g in match.groups() if g)
    image = {"postgis": "postgis/postgis:17-3.5", "vector": "pgvector/pgvector:pg17"}.get(name)
    cause = f"The database server does not have the extension {name}; an image with it has to be named."
    return cause, f'[database]\nimage = "{image or "AN-IMAGE-WITH-" + name}"'


def _extension_right(match: re.Match[str], recipe: Recipe) -> tuple[str, str]:
    del recipe
    cause = (
        f"The extension {match[1]} may be made by a superuser alone, which the application's role is not:"
        " where a migration makes it, that migration cannot run here."
    )
    return cause, ""


def _characters(match: re.Match[str], recipe: Recipe) -> tuple[str, str]:
    del match
    cause = (
        "A table's or the connection's character set is not utf8mb4, which the server of the pod has as its "
        "default: the application's own connection setting says another."
    )
    return cause, '[recipe.environment]\nTHE_VARIABLE_WITH_THE_CHARACTER_SET = "utf8mb4"'


def _no_package(match: re.Match[str], recipe: Recipe) -> tuple[str, str]:
    others = [p for p in recipe.packages if p != match[1]]
    cause = f"The image's Debian release has no package {match[1]}: another release calls it otherwise."
    return cause, f"[recipe]\npackages = {json.dumps(others)}"


_VARIABLES = (
    r"KeyError: '([A-Z][A-Z0-9_]{2,})'"
    r"|ImproperlyConfigured: (?:Set|set) the ([A-Z][A-Z0-9_]+) (?:environment|env)"
    r"|UndefinedValueError: ([A-Z][A-Z0-9_]+) not found"
    r"|[Mm]issing (?:required )?env(?:ironment)? var(?:iable)?s?:? ['\"`]?([A-Z][A-Z0-9_]+)"
    r"|[Ee]nvironment variable ['\"`]?([A-Z][A-Z0-9_]+)['\"`]? (?:is |was |must |not )"
    r"|EnvVarError: .*[\"']([A-Z][A-Z0-9_]+)[\"'] not set"
)
RULES: tuple[Rule, ...] = (
    Rule(r"^E: (?:Unable to locate package (\S+)|Package '(?:\S+)' has no installation candidate)",
         lambda m, r: _no_package(m, r) if m[1] else None),
    Rule(r"CERTIFICATE_VERIFY_FAILED|self[- ]signed certificate in certificate chain|"
         r"unable to get local issuer certificate|x509: certificate signed by unknown authority",
         _certificate),
    Rule(r"[Pp]ackage '?(?P<what>[\w.\[\]-]+)'? requires a different Python: \S+ not in '(?P<wanted>[^']+)'",
         _other_python),
    Rule(r"Current Python version \(\S+\) is not allowed by the (?P<what>project) \((?P<wanted>[^)]+)\)",
         _other_python),
    Rule(r"ModuleNotFoundError: No module named '([\w.]+)'", _gone_module),
    Rule(r"No matching distribution found for ([^\s(]+)|No matching version found for ([^\s]+?)\.?$|"
         r"because there (?:is|are) no versions? of (\S+)", _no_version),
    Rule(r"ImportError: cannot import name '(\w+)' from '([\w.]+)' \([^)\n]*site-packages", _drift),
    Rule(r"(?:ModuleNotFoundError|ImportError): No module named '?([\w.]+)'?", _module),
    Rule(r"^\S*python[\d.]*: No module named (\w+)", _module),
    Rule(r"Cannot find (?:module|package) '([^']+)'", _node_module),
    Rule(r"Error: Class ['\"]([\w\\]+)['\"] not found", _php_class),
    Rule(r"\b(pytest|phpunit|pest|jest|vitest|mocha|ava|tap): (?:command )?not found", _runner),
    Rule(_VARIABLES, _variable),
    Rule(r"could not open extension control file \"[^\"]*/(\w+)\.control\"|"
         r"extension \"([\w-]+)\" is not available",
         _extension),
    Rule(r"permission denied to create extension \"([\w-]+)\"", _extension_right),
    Rule(r"Incorrect string value: '\\\\?x|is not valid for CHARACTER SET '(?:latin1|utf8mb?3?)'|"
         r"Specified key was too long; max key length is 767", _characters),
    Rule(r"(?:ECONNREFUSED|[Cc]onnection refused|Error \d+ connecting to)[^\n]{0,80}?:(\d{4,5})\b|"
         r":(\d{4,5})[^\n\d]{0,60}(?:[Cc]onnection refused|ECONNREFUSED)", _refused),
    Rule(r"(?:connecting to|ENOTFOUND|EAI_AGAIN|host name|hostname|lookup)\W+([A-Za-z][\w-]*)\b",
         _unresolved),
    Rule(r"Temporary failure in name resolution|Network is unreachable|Could not resolve host|"
         r"EAI_AGAIN|ENETUNREACH",
         _network),
)  # fmt: skip
"""In the order in which they are asked: the first that has an answer is taken; then repair.toml."""


def _also_install(recipe: Recipe, command: str) -> str:
    """One more command behind the install steps that there are."""
    before = "..., " if recipe.install else ""
    rest = "   # ... as `bedev init --print` shows them" if recipe.install else ""
    return f"[recipe]\ninstall = [{before}{json.dumps(command)}]{rest}"


def _python_image(version: str) -> str:
    return f'[recipe]\nimage = "python:{version or "ANOTHER"}-slim"'


def _below(constraint: str) -> str:
    """The newest Python that a constraint with an upper bound allows, else the least that it asks for."""
    upper = re.search(r"<\s*(\d+)\.(\d+)", constraint)
    if upper and int(upper[2]) > 0:
        return f"{upper[1]}.{int(upper[2]) - 1}"
    least = re.search(r"(?:>=|==|~=|\^)\s*(\d+\.\d+)", constraint)
    return least[1] if least else ""


def _line(text: str, match: re.Match[str]) -> str:
    start = text.rfind("\n", 0, match.start()) + 1
    end = text.find("\n", match.end())
    return _short(text[start : end if end >= 0 else len(text)].strip(), 160)


def _short(text: str, most: int = 80) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
