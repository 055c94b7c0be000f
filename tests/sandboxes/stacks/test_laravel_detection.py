"""Laravel's recipe comes from files that are read as data."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from bedev.sandboxes.errors import UsageError
from bedev.sandboxes.stacks.compose import engine_of_compose
from bedev.sandboxes.stacks.laravel.database import read_database_config
from bedev.sandboxes.stacks.laravel.manifest import Manifest
from bedev.sandboxes.stacks.laravel.php import allows, choose_php
from bedev.sandboxes.stacks.stack import load

from . import contract
from .contract import FilesTree

EXAMPLE = Path(__file__).parents[3] / "examples" / "laravel-slow-users"
LARAVEL = load("laravel")


def application(composer: dict[str, Any] | None = None, files: dict[str, str] | None = None) -> FilesTree:
    manifest: dict[str, Any] = {"name": "acme/shop", "require": {"php": "^8.2", "laravel/framework": "^11.0"}}
    manifest.update(composer or {})
    return FilesTree(
        {"artisan": "#!/usr/bin/env php\n", "composer.json": json.dumps(manifest, indent=4)} | (files or {})
    )


def test_the_example_passes_the_contract_of_stacks() -> None:
    tree = FilesTree.of(EXAMPLE)
    contract.assert_is_found_by_name(LARAVEL)
    recipe = contract.assert_detects(LARAVEL, tree, "mariadb")
    contract.assert_knows_nothing_of_other_repositories(LARAVEL)
    contract.assert_installs_with_network_and_builds_without(LARAVEL, recipe)
    contract.assert_points_to_the_database(LARAVEL, recipe)
    contract.assert_measures_without_a_tracer(LARAVEL)
    contract.assert_writes_migrations_that_sort_last(LARAVEL, tree, recipe)


def test_other_php_projects_are_not_laravel() -> None:
    assert LARAVEL.detect(application().with_files({"artisan": None})) is None
    assert LARAVEL.detect(application({"require": {"laravel/lumen-framework": "^10.0"}})) is None


def test_a_broken_manifest_is_named_with_its_line() -> None:
    with pytest.raises(UsageError) as raised:
        LARAVEL.detect(FilesTree({"artisan": "", "composer.json": '{\n  "require": {\n}'}))
    assert raised.value.where == "composer.json:3"


@pytest.mark.parametrize(
    ("constraint", "fits", "fits_not"),
    [
        ("^8.1", [(8, 1), (8, 5)], [(8, 0)]),
        ("~8.1.0", [(8, 1)], [(8, 2)]),
        ("~8.1", [(8, 1), (8, 4)], [(8, 0)]),
        (">=8.1 <8.3", [(8, 1), (8, 2)], [(8, 3)]),
        (">= 8.1, < 8.3", [(8, 2)], [(8, 3)]),
        ("^7.4|^8.0", [(8, 0), (8, 5)], []),
        ("8.1.* || 8.3.*", [(8, 1), (8, 3)], [(8, 2)]),
        ("8.1 - 8.3", [(8, 1), (8, 3)], [(8, 4)]),
        ("8.2.12", [(8, 2)], [(8, 1), (8, 3)]),
        ("<=8.2", [(8, 2)], [(8, 3)]),
        (">8.2.3", [(8, 2), (8, 3)], [(8, 1)]),
        ("^7.3", [], [(8, 0), (8, 5)]),
        ("*", [(8, 0), (8, 5)], []),
    ],
)
def test_composer_constraints_choose_versions(
    constraint: str, fits: list[tuple[int, int]], fits_not: list[tuple[int, int]]
) -> None:
    assert all(allows(constraint, version) for version in fits)
    assert not any(allows(constraint, version) for version in fits_not)


def test_php_is_the_newest_that_the_framework_and_every_package_run_on() -> None:
    def chosen(composer: dict[str, Any], lock: dict[str, Any] | None = None) -> str:
        return choose_php(Manifest(json.dumps(composer), composer, lock)).image

    twelve = {"require": {"php": "^8.2", "laravel/framework": "^12.0"}}
    ten = {"require": {"php": "^8.1", "laravel/framework": "^10.10"}}
    assert chosen(twelve) == "php:8.5-cli"
    assert chosen(ten) == "php:8.3-cli"
    assert chosen(ten | {"config": {"platform": {"php": "8.1.27"}}}) == "php:8.1-cli"
    assert chosen(twelve, {"platform-overrides": {"php": "8.4.1"}}) == "php:8.4-cli"
    assert (
        chosen(twelve, {"packages": [{"name": "acme/x", "require": {"php": "~8.2.0 || ~8.3.0"}}]})
        == "php:8.3-cli"
    )


def test_extensions_of_the_manifest_and_the_lock_are_installed_and_unknown_ones_ignored() -> None:
    lock = {"packages": [{"name": "acme/x", "version": "1.0", "require": {"ext-intl": "*", "ext-date": "*"}}]}
    tree = application(
        {
            "require": {
                "php": "^8.2",
                "laravel/framework": "^11.0",
                "ext-gd": "*",
                "ext-redis": "*",
                "ext-acme": "*",
            }
        },
        {"composer.lock": json.dumps(lock), ".env.example": "DB_CONNECTION=pgsql\n"},
    )
    recipe = contract.assert_detects(LARAVEL, tree)
    lines = "\n".join(recipe.image_lines)
    assert {"libicu-dev", "libpng-dev", "libpq-dev", "unzip", "git"} <= set(recipe.packages)
    assert "docker-php-ext-configure gd --with-freetype" in lines
    assert all(f" {name}" in lines for name in ("intl", "pdo_pgsql", "opcache"))
    assert "pecl install redis && docker-php-ext-enable redis" in lines
    assert "COPY --from=composer:2 /usr/bin/composer" in lines
    assert recipe.install[0].endswith("--prefer-dist --ignore-platform-req=ext-acme")
    assert recipe.install[0].startswith("composer install ")
    assert recipe.engine == "postgres"


def test_the_environment_is_derived_and_every_change_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_SECRET", "of this machine")
    example = (
        'APP_NAME="Shop"\nAPP_KEY=\nAPP_ENV=local\nQUEUE_CONNECTION=database\nDB_CONNECTION=mysql\n'
        "DB_URL=mysql://a:b@db/shop\nDB_HOST=mysql\nDB_COLLATION=utf8mb4_0900_ai_ci\nMAIL_MAILER=smtp\n"
        'X=${HOST_SECRET}\nMAIL_FROM_NAME="${APP_NAME}"\nTELESCOPE_ENABLED=true\nJWT_SECRET=\n'
    )
    recipe = contract.assert_detects(LARAVEL, application(None, {".env.example": example}), "mariadb")
    assert recipe.dotenv["APP_KEY"].startswith("base64:")
    assert recipe.dotenv["CACHE_STORE"] == "array"
    assert recipe.dotenv["DB_COLLATION"] == "utf8mb4_unicode_ci"
    assert recipe.dotenv["TELESCOPE_ENABLED"] == "false"
    assert len(recipe.dotenv["JWT_SECRET"]) == 64
    assert "DB_URL" not in recipe.dotenv
    assert "QUEUE_CONNECTION: database -> sync" in recipe.substitutions
    assert any(s.startswith("DB_URL: removed") for s in recipe.substitutions)
    text = LARAVEL.dotenv(recipe, "127.0.0.1", 3306, "shop", "app", 'a"b$c').decode()
    assert 'DB_PASSWORD="a\\"b\\$c"' in text
    assert 'MAIL_FROM_NAME="${APP_NAME}"' in text
    assert "of this machine" not in text + repr(recipe)
    assert "HOST_SECRET" in os.environ


def test_the_user_s_engine_keeps_the_connection_where_it_can() -> None:
    config = "<?php return ['default' => 'mysql', 'connections' => ['mysql' => ['driver' => 'mysql']]];"
    old = application(
        {"require": {"php": "^8.1", "laravel/framework": "^10.0"}},
        {".env.example": "DB_CONNECTION=mysql\n", "config/database.php": config},
    )
    recipe = contract.assert_detects(LARAVEL, old)
    assert recipe.engine == "mysql"
    chosen = contract.assert_detects(LARAVEL, old, "mariadb")
    assert (chosen.engine, chosen.dotenv["DB_CONNECTION"]) == ("mariadb", "mysql")
    new = application(None, {".env.example": "DB_CONNECTION=sqlite\n"})
    assert contract.assert_detects(LARAVEL, new).engine == "sqlite"
    moved = contract.assert_detects(LARAVEL, new, "mariadb")
    assert moved.dotenv["DB_CONNECTION"] == "mariadb"
    assert "DB_CONNECTION: sqlite -> mariadb" in moved.substitutions


def test_variables_of_other_names_follow_the_standard_ones() -> None:
    config = """<?php
// 'mysql' => ['host' => env('COMMENTED')]
return [
    'default' => env('DB_CONNECTION', 'mysql'),
    'connections' => [
        'mysql' => [
            'driver' => 'mysql',
            'read' => ['host' => [env('MYSQL_READ_HOST', '10.0.0.1')]],
            'host' => env('MYSQL_HOST', '127.0.0.1'),
            'password' => env('DB_PASSWORD', ''),
        ],
    ],
];
"""
    tree = application(None, {"config/database.php": config, ".env.example": "MYSQL_HOST=db\n"})
    recipe = contract.assert_detects(LARAVEL, tree, "mysql")
    assert recipe.dotenv["MYSQL_HOST"] == "${DB_HOST}"
    assert recipe.dotenv["MYSQL_READ_HOST"] == "${DB_HOST}"
    assert "COMMENTED" not in recipe.dotenv
    assert read_database_config(tree).connections == ("mysql",)


@pytest.mark.parametrize(
    ("image", "engine", "version"),
    [
        ("mysql/mysql-server:8.0", "mysql", "8.0"),
        ("'mariadb:11'", "mariadb", "11"),
        ("postgres:17-alpine # data", "postgres", "17"),
        ("pgvector/pgvector:pg17", "postgres", "17"),
        ("mysql:${MYSQL_VERSION:-8.4}", "mysql", "8.4"),
        ("mariadb", "mariadb", ""),
    ],
)
def test_compose_files_say_which_database(image: str, engine: str, version: str) -> None:
    text = f"services:\n  cache:\n    image: redis:7\n  db:\n    image: {image}\n"
    found = engine_of_compose(FilesTree({"docker-compose.yml": text}))
    assert found is not None
    assert found[1:] == (engine, version)
    assert found[0].source == "docker-compose.yml:5"


def test_tests_keep_the_database_that_their_configuration_names() -> None:
    def databases(phpunit: str) -> tuple[str, ...]:
        tree = application(None, {"phpunit.xml": phpunit, "tests/Feature/ATest.php": "<?php"})
        return contract.assert_detects(LARAVEL, tree, "mariadb").test_databases

    body = '<phpunit><php><env name="DB_CONNECTION" value="{}"/>'
    body += '<env name="DB_DATABASE" value="{}"/></php></phpunit>'
    assert databases(body.format("mysql", "shop_test")) == ("shop_test",)
    assert databases(body.format("sqlite", ":memory:")) == ()
    assert databases("<phpunit/>") == ()


def test_scripts_plugins_and_copies_are_dealt_with_after_the_download() -> None:
    tree = application(
        {
            "scripts": {"post-install-cmd": ["@php artisan about"]},
            "repositories": [{"type": "path", "url": "packages/*"}],
            "require-dev": {"pestphp/pest": "^3.0"},
        },
        {"vite.config.js": "", "tests/Feature/ATest.php": "<?php", "bootstrap/cache/config.php": "<?php"},
    )
    recipe = contract.assert_detects(LARAVEL, tree)
    assert all("--no-scripts --no-plugins" in command for command in recipe.install)
    assert any("composer run-script --no-interaction post-install-cmd" in command for command in recipe.build)
    assert any("public/hot" in command for command in recipe.build)
    assert " pest --colors=never --log-junit {junit}" in recipe.test
    assert any("there is no composer.lock" in finding.value for finding in recipe.findings)
