"""The tests of a Laravel application: their command, their files, and what their configuration says."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Mapping
from xml.etree import ElementTree

from bedev.sandboxes.recipe import Finding, TreeReader
from bedev.sandboxes.stacks.laravel.manifest import Manifest
from bedev.sandboxes.stacks.tree_text import assignment_source, line_of, text_of

TEST_PATHS = ("tests/**",)
TEST_CONFIG = (
    "phpunit.xml",
    "phpunit.xml.dist",
    "phpunit.dist.xml",
    ".env.testing",
    "pest.php",
    "pest.config.php",
    "tests/Pest.php",
    "tests/TestCase.php",
    "tests/CreatesApplication.php",
    "tests/bootstrap.php",
    "tests/bootstrap/**",
    "paratest.php",
)


def test_command(tree: TreeReader, manifest: Manifest) -> tuple[str, tuple[Finding, ...]]:
    if not any(path.startswith("tests/") and path.endswith(".php") for path in tree.paths()):
        return "", (Finding("test", "nothing: there is no file in tests/", "composer.json:1"),)
    runner = "pest" if "pestphp/pest" in manifest.require else "phpunit"
    package = "pestphp/pest" if runner == "pest" else "phpunit/phpunit"
    quiet = " --do-not-cache-result" if runner == "phpunit" else ""
    # The repository's own runner first; where vendor/bin has none, the one on the path.
    command = f'PATH="$PWD/vendor/bin:$PATH" {runner} --colors=never{quiet} --log-junit {{junit}}'
    return command, (Finding("test", runner, manifest.requirement_source(package)),)


def filtered(command: str, filter: str) -> str:
    """PHPUnit, Pest and `artisan test` take one option: a regular expression over `Class::test_name`. The
    backslashes of a namespace would be read as escapes, slashes at its ends as delimiters."""
    pattern = re.sub(r"\\(?=[A-Z])", r"\\\\", filter.strip().strip("/"))
    return f"{command} --filter={shlex.quote(pattern)}"


def test_environment(tree: TreeReader) -> dict[str, tuple[str, str]]:
    """The variables that the tests' own configuration sets: name to (value, source)."""
    from dotenv import dotenv_values

    found: dict[str, tuple[str, str]] = {}
    text = text_of(tree, ".env.testing")
    if text is not None:
        for name, value in dotenv_values(stream=io.StringIO(text), interpolate=False).items():
            found[name] = (value or "", assignment_source(text, ".env.testing", name))
    for path in ("phpunit.xml", "phpunit.xml.dist", "phpunit.dist.xml"):
        content = text_of(tree, path)
        if content is None or "<!ENTITY" in content:
            continue
        try:
            root = ElementTree.fromstring(content)
        except ElementTree.ParseError:
            break  # the test runner will say what is wrong with it
        for element in root.iterfind("./php/*"):
            variable = element.get("name")
            if element.tag in ("env", "server") and variable is not None:
                found[variable] = (
                    element.get("value") or "",
                    f"{path}:{line_of(content, re.escape(variable))}",
                )
        break
    return found


def test_databases(tests: Mapping[str, tuple[str, str]]) -> tuple[str, ...]:
    connection = tests.get("DB_CONNECTION", ("", ""))[0]
    name = tests.get("DB_DATABASE", ("", ""))[0]
    if connection == "sqlite" or name in ("", ":memory:") or "/" in name or name.endswith(".sqlite"):
        return ()
    return (name,)
