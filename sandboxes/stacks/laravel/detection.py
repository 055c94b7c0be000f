"""A Laravel repository's recipe, from its files as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bedev.sandboxes.recipe import Finding, Recipe, TreeReader
from bedev.sandboxes.stacks.compose import engine_of_compose
from bedev.sandboxes.stacks.laravel.database import (
    ENGINES,
    DatabaseConfig,
    read_database_config,
)
from bedev.sandboxes.stacks.laravel.environment import derive, engine_for, example_file
from bedev.sandboxes.stacks.laravel.manifest import Manifest, read_manifest
from bedev.sandboxes.stacks.laravel.php import choose_php, image_parts
from bedev.sandboxes.stacks.laravel.suite import (
    TEST_CONFIG,
    TEST_PATHS,
    test_command,
    test_databases,
    test_environment,
)
from bedev.sandboxes.stacks.tree_text import assignment_source, line_of, mapping, text_of

PROCESS_ENVIRONMENT: Mapping[str, str] = {
    "COMPOSER_HOME": "/tmp/composer",
    "COMPOSER_CACHE_DIR": "/tmp/composer/cache",
    "COMPOSER_NO_INTERACTION": "1",
    "COMPOSER_NO_AUDIT": "1",
    "COMPOSER_MEMORY_LIMIT": "-1",
}

WRITABLE = "bootstrap/cache storage/app storage/framework/cache/data storage/framework/sessions " + (
    "storage/framework/testing storage/framework/views storage/logs"
)

SERVE = (
    "cd public && LOG_CHANNEL=stderr exec php -q -d memory_limit=512M -d opcache.enable=1 "
    "-d opcache.validate_timestamps=0 -d display_errors=0 -S 127.0.0.1:8000 -t . /bedev/stack/router.php"
)
"""PHP's own server, as `artisan serve` starts it; one process, one request at a time. Errors go to its log
(commands log to a file, so that their output stays clean); `-q`: requests do not. Files are compiled once:
after an edit the server has to be started again."""

MIGRATION_PATHS = ("database/migrations/**",)
GENERATED = (
    "vendor/**",
    "node_modules/**",
    "bootstrap/cache/*.php",
    "storage/app/**",
    "storage/framework/cache/**",
    "storage/framework/sessions/**",
    "storage/framework/testing/**",
    "storage/framework/views/**",
    "storage/logs/**",
    "public/build/**",
    "public/hot",
    "public/storage",
    ".env",
    "database/*.sqlite",
    "database/*.sqlite-journal",
    ".phpunit.*",
    ".phpunit.cache/**",
)


def detect(tree: TreeReader, engine: str = "") -> Recipe | None:
    """The recipe, or None where this is no Laravel application. `engine` is the user's choice."""
    manifest = read_manifest(tree)
    if manifest is None:
        return None
    _, example = example_file(tree)
    connection, config, chosen, database = _database(tree, manifest, example.get("DB_CONNECTION", ""), engine)
    tests = test_environment(tree)
    environment = derive(tree, manifest, config, connection, chosen)
    php = choose_php(manifest)
    engines = [chosen, ENGINES.get(tests.get("DB_CONNECTION", ("", ""))[0], "")]
    image = image_parts(manifest, engines, _clients(tree, chosen))
    compose = engine_of_compose(tree)
    engine_image = f"{chosen}:{compose[2]}" if compose and compose[1] == chosen and compose[2] else ""
    install, build, steps = _steps(tree, manifest, image.ignored)
    seed, seeding = _seed(tree)
    test, testing = test_command(tree, manifest)
    version = manifest.locked_version("laravel/framework") or manifest.require["laravel/framework"]
    framework = Finding("framework", f"Laravel {version}", manifest.requirement_source("laravel/framework"))
    return Recipe(
        stack="laravel",
        image=php.image,
        packages=image.packages,
        image_lines=image.lines,
        install=install,
        build=build,
        environment=dict(PROCESS_ENVIRONMENT),
        dotenv=environment.dotenv,
        dotenv_path=".env",
        migrate="php artisan migrate --force --no-interaction",
        rollback="php artisan migrate:rollback --step={steps} --force --no-interaction",
        seed=seed,
        serve=SERVE,
        test=test,
        test_paths=TEST_PATHS,
        test_config=TEST_CONFIG,
        migration_paths=MIGRATION_PATHS,
        generated=GENERATED,
        test_databases=test_databases(tests),
        engine=chosen,
        engine_image=engine_image,
        findings=(
            framework,
            php.finding,
            *image.findings,
            *database,
            *((compose[0],) if compose else ()),
            *environment.findings,
            *steps,
            *seeding,
            *testing,
            *_test_database(tests),
        ),
        substitutions=environment.substitutions,
    )


def _test_database(tests: Mapping[str, tuple[str, str]]) -> tuple[Finding, ...]:
    """Where the tests' own configuration sends them."""
    name, source = tests.get("DB_CONNECTION", ("", ""))
    return (Finding("test database", name, source),) if name else ()


def _database(
    tree: TreeReader, manifest: Manifest, said: str, engine: str
) -> tuple[str, DatabaseConfig, str, tuple[Finding, ...]]:
    """The connection's name, its configuration, the engine, and what says so."""
    config = read_database_config(tree, said)
    name, source = said, ""
    if said:
        path, _ = example_file(tree)
        source = assignment_source(text_of(tree, path) or "", path, "DB_CONNECTION")
    else:
        name, source = config.default, config.default_source or "composer.json:1"
        compose = engine_of_compose(tree)
        if not config.default_source and compose is not None:
            name = {"postgres": "pgsql"}.get(compose[1], compose[1])
            source = compose[0].source
    own = engine_for(name, config)
    findings = [Finding("database", f"connection {name}" + (f" ({own})" if own else ""), source)]
    if not engine or engine == own:
        return name, config, own or name, tuple(findings)
    if (engine, own) == ("mariadb", "mysql"):
        findings.append(
            Finding("database", f"MariaDB serves the connection {name}, as the user chose", source)
        )
        return name, config, engine, tuple(findings)
    wanted = {"postgres": "pgsql"}.get(engine, engine)
    if wanted == "mariadb" and (
        (manifest.laravel_major or 0) < 11 or (config.connections and wanted not in config.connections)
    ):
        wanted = "mysql"  # the driver of this name came with Laravel 11
    findings.append(
        Finding("database", f"connection {wanted} instead, for the user's choice of {engine}", source)
    )
    return wanted, read_database_config(tree, wanted), engine, tuple(findings)


def _clients(tree: TreeReader, engine: str) -> tuple[str, ...]:
    """`artisan migrate` loads a schema dump with the server's own command line client."""
    if not any(re.fullmatch(r"database/schema/[\w.-]+\.(?:sql|dump)", path) for path in tree.paths()):
        return ()
    clients = {"mysql": "default-mysql-client", "mariadb": "default-mysql-client"}
    clients |= {"postgres": "postgresql-client", "sqlite": "sqlite3"}
    return (clients[engine],) if engine in clients else ()


def _steps(
    tree: TreeReader, manifest: Manifest, ignored: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Finding, ...]]:
    findings: list[Finding] = []
    build = [f"mkdir -p {WRITABLE}"]
    if tree.read("bootstrap/cache/config.php") is not None:
        build.append("rm -f bootstrap/cache/config.php")
        findings.append(
            Finding("build", "the committed configuration cache is removed", "bootstrap/cache/config.php:1")
        )
    install: tuple[str, ...] = ()
    if tree.read("vendor/autoload.php") is not None:
        findings.append(Finding("install", "nothing: vendor/ is in the repository", "vendor/autoload.php:1"))
    else:
        flags = "--no-interaction --no-progress --no-scripts --no-plugins --prefer-dist"
        flags += "".join(f" --ignore-platform-req=ext-{name}" for name in ignored)
        verb = "install" if manifest.locked is not None else "update"
        install = (f"composer {verb} {flags}",)
        said = "composer.lock:1" if manifest.locked is not None else "composer.json:1"
        what = (
            "from composer.lock"
            if manifest.locked is not None
            else "the newest versions: there is no composer.lock"
        )
        findings.append(Finding("install", what, said))
        # Only where composer installed: a recipe may bring the dependencies in another way.
        composer = "if [ -f vendor/composer/installed.json ]; then {}; fi"
        build.append(
            composer.format(
                "php /bedev/stack/link_path_packages.php && composer dump-autoload --no-interaction"
            )
        )
        if "post-install-cmd" in manifest.scripts:
            build.append(composer.format("composer run-script --no-interaction post-install-cmd"))
            findings.append(
                Finding(
                    "build",
                    "post-install-cmd, without network",
                    manifest.source("scripts", "post-install-cmd"),
                )
            )
    findings.extend(_path_repositories(manifest))
    plugins = [str(p.get("name")) for p in manifest.packages if p.get("type") == "composer-plugin"]
    if plugins:
        findings.append(
            Finding(
                "install",
                "plugins run after the download, without network: " + ", ".join(plugins),
                "composer.lock:1",
            )
        )
    build_front_end = _front_end(tree)
    if build_front_end is not None:
        build.append(build_front_end[0])
        findings.append(build_front_end[1])
    return install, tuple(build), tuple(findings)


def _path_repositories(manifest: Manifest) -> list[Finding]:
    entries: Any = manifest.data.get("repositories") or []
    found = entries.values() if isinstance(entries, dict) else entries
    return [
        Finding(
            "install",
            f"packages of {entry.get('url')} are links to the workspace, never copies",
            manifest.source("repositories", "url"),
        )
        for entry in found
        if mapping(entry).get("type") == "path"
    ]


def _front_end(tree: TreeReader) -> tuple[str, Finding] | None:
    """Pages ask for the manifest of built assets and fail without one; with `public/hot` they link to a
    development server instead, which nobody needs for what bedev measures."""
    configs = ("vite.config.js", "vite.config.ts", "vite.config.mjs", "webpack.mix.js")
    config = next((path for path in configs if tree.read(path) is not None), None)
    built = ("public/build/manifest.json", "public/build/.vite/manifest.json", "public/mix-manifest.json")
    if config is None or any(tree.read(path) is not None for path in built):
        return None
    command = "[ -e public/hot ] || echo http://127.0.0.1:5173 > public/hot"
    return command, Finding("build", "front-end assets are not built; pages link to them", f"{config}:1")


def _seed(tree: TreeReader) -> tuple[str, tuple[Finding, ...]]:
    for path in ("database/seeders/DatabaseSeeder.php", "database/seeds/DatabaseSeeder.php"):
        text = text_of(tree, path)
        if text is not None:
            line = line_of(text, r"class\s+DatabaseSeeder")
            # As on a developer's machine: seeders commonly refuse to fill a production database.
            command = "APP_ENV=local php -d memory_limit=1G artisan db:seed --force --no-interaction"
            return command, (Finding("seed", "db:seed", f"{path}:{line}"),)
    return "", (Finding("seed", "nothing: there is no DatabaseSeeder", "composer.json:1"),)
