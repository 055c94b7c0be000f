"""Composer on the official images' names: what is downloaded, and what runs afterwards without network.

All packages come from folders of the project itself, so that no registry is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from bedev.sandboxes.errors import SetUpFailed
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import Pod, Sandbox

from .contract import FilesTree
from .laravel_pod import LARAVEL, come_up

pytestmark = pytest.mark.docker

NETWORK = (
    "$s = @stream_socket_client('tcp://1.1.1.1:53', $n, $e, 2); "
    "$network = $s || count(net_get_interfaces() ?: []) > 1 ? 'yes' : 'no'; "
)
PLUGIN = f"""<?php
namespace Acme;
class Plugin implements \\Composer\\Plugin\\PluginInterface {{
    public function activate(\\Composer\\Composer $c, \\Composer\\IO\\IOInterface $io) {{
        {NETWORK}
        file_put_contents('/work/plugin.log', "network: $network\\n", FILE_APPEND);
    }}
    public function deactivate(\\Composer\\Composer $c, \\Composer\\IO\\IOInterface $io) {{}}
    public function uninstall(\\Composer\\Composer $c, \\Composer\\IO\\IOInterface $io) {{}}
}}
"""


def package(name: str, namespace: str, **more: Any) -> str:
    return json.dumps({"name": name, "version": "11.0.0", "autoload": {"psr-4": {namespace: "src/"}}, **more})


def composer_project() -> FilesTree:
    manifest = {
        "name": "acme/shop",
        "require": {
            "php": "~8.4.0",
            "ext-bcmath": "*",
            "laravel/framework": "^11.0",
            "acme/copied": "*",
            "acme/plugin": "*",
        },
        "autoload": {"psr-4": {"App\\": "app/"}},
        "repositories": [
            {"type": "path", "url": "packages/copied", "options": {"symlink": False}},
            {"type": "path", "url": "packages/*"},
            {"packagist.org": False},
        ],
        "config": {"allow-plugins": {"acme/plugin": True}},
        "scripts": {
            "post-autoload-dump": ["@php artisan package:discover"],
            "post-install-cmd": ["@php artisan after"],
        },
    }
    log = (
        "$line = $argv[1] . ' network: ' . $network . ' ' . getenv('DB_CONNECTION'); "
        "file_put_contents('/work/script.log', trim($line) . PHP_EOL, FILE_APPEND);"
    )
    return FilesTree(
        {
            "composer.json": json.dumps(manifest, indent=4),
            "artisan": f"<?php {NETWORK} {log}\n",
            ".env.example": "DB_CONNECTION=mysql\n",
            "app/Shop.php": "<?php namespace App; class Shop { const NAME = 'shop'; }\n",
            "packages/framework/composer.json": package("laravel/framework", "Illuminate\\"),
            "packages/framework/src/Marker.php": "<?php namespace Illuminate; class Marker {}\n",
            "packages/copied/composer.json": package("acme/copied", "Acme\\Copied\\"),
            "packages/copied/src/Rate.php": "<?php namespace Acme\\Copied; class Rate { const VALUE = 1; }\n",
            "packages/plugin/composer.json": package(
                "acme/plugin",
                "Acme\\",
                type="composer-plugin",
                extra={"class": "Acme\\Plugin"},
                require={"composer-plugin-api": "^2.0"},
            ),
            "packages/plugin/src/Plugin.php": PLUGIN,
        }
    )


@pytest.fixture(scope="module")
def installed(sandbox: Sandbox) -> Iterator[tuple[Pod, Recipe]]:
    tree = composer_project()
    recipe = LARAVEL.detect(tree, "mariadb")
    assert recipe is not None
    assert recipe.image == "php:8.4-cli"
    # The control: this one runs with network, so the probe in `artisan` can tell the difference.
    recipe = replace(recipe, install=(*recipe.install, "php artisan control"))
    pod = come_up(sandbox, tree, recipe)
    yield pod, recipe
    pod.close()


def lines(pod: Pod, path: str) -> list[str]:
    return (pod.app.read_file(path) or b"").decode().splitlines()


def test_scripts_and_plugins_run_after_the_download_and_without_network(
    installed: tuple[Pod, Recipe],
) -> None:
    pod, _ = installed
    assert set(lines(pod, "/work/plugin.log")) == {"network: no"}
    assert lines(pod, "/work/script.log") == [
        "control network: yes",
        "package:discover network: no mysql",
        "after network: no mysql",
    ]


def test_the_image_has_the_extensions_and_the_classes_load(installed: tuple[Pod, Recipe]) -> None:
    pod, _ = installed
    loaded = {name.lower() for name in pod.app.run("php -m").stdout.text.splitlines()}
    assert {"pdo_mysql", "bcmath", "mbstring", "zend opcache"} <= loaded
    code = 'require "vendor/autoload.php"; new Illuminate\\Marker; echo App\\Shop::NAME;'
    assert pod.app.run(f"php -r '{code}'").stdout.text == "shop"


def test_a_copied_package_does_not_shadow_the_workspace(installed: tuple[Pod, Recipe]) -> None:
    pod, _ = installed
    edited = b"<?php namespace Acme\\Copied; class Rate { const VALUE = 2; }\n"
    pod.app.write_file("/work/packages/copied/src/Rate.php", edited)
    result = pod.app.run("php -r 'require \"vendor/autoload.php\"; echo Acme\\Copied\\Rate::VALUE;'")
    assert result.stdout.text == "2"


def test_a_lock_file_is_honoured(sandbox: Sandbox, installed: tuple[Pod, Recipe]) -> None:
    lock = installed[0].app.read_file("/work/composer.lock")
    assert lock is not None
    changed: Mapping[str, Any] = json.loads(lock)
    kept = [p for p in changed["packages"] if p["name"] != "acme/plugin"]
    tree = composer_project().with_files({"composer.lock": json.dumps({**changed, "packages": kept})})
    recipe = LARAVEL.detect(tree, "mariadb")
    assert recipe is not None
    assert recipe.install[0].startswith("composer install ")
    with pytest.raises(SetUpFailed) as raised:
        come_up(sandbox, tree, recipe)
    assert "acme/plugin" in raised.value.detail
    pod = come_up(sandbox, composer_project().with_files({"composer.lock": lock}), recipe)
    try:
        assert pod.app.read_file("/work/composer.lock") == lock
        assert lines(pod, "/work/script.log")[-1] == "after network: no mysql"
    finally:
        pod.close()
