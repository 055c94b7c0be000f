"""Laravel in a pod, on SQLite: the example comes up, is traced, answers as a user."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from bedev.sandboxes.engines.engine import IndexSpec
from bedev.sandboxes.errors import SetUpFailed
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import HttpRequest, HttpResponse, Pod, Sandbox, Service
from bedev.sandboxes.stacks.stack import TracedQuery

from .contract import FilesTree
from .laravel_pod import EXAMPLE, LARAVEL, come_up, example_recipe

pytestmark = pytest.mark.docker

TRACE = "/tmp/trace.jsonl"
DATABASE = "/work/database/shop.sqlite"


@dataclass
class Shop:
    pod: Pod
    recipe: Recipe
    tree: FilesTree
    service: Service | None = None

    def serve(self, user: str = "", trace: str = "") -> None:
        self.stop()
        env = LARAVEL.serve_environment(user, trace)
        self.service = self.pod.app.start("serve", LARAVEL.serve_command(self.recipe), env=env)
        assert self.pod.probe.wait_for_port(self.recipe.served_port, 20), self.service.log()

    def stop(self) -> None:
        if self.service is not None:
            self.service.stop()

    def ask(self, path: str, method: str = "GET") -> HttpResponse:
        headers = (("Accept", "application/json"),)
        return self.pod.probe.http(self.recipe.served_port, HttpRequest(method, path, headers))

    def trace(self) -> tuple[TracedQuery, ...]:
        return LARAVEL.parse_trace(self.pod.app.read_file(TRACE) or b"")


@pytest.fixture(scope="module")
def shop(sandbox: Sandbox) -> Iterator[Shop]:
    tree = FilesTree.of(EXAMPLE)
    recipe = example_recipe(tree, "sqlite")
    pod = come_up(sandbox, tree, recipe)
    pod.app.write_file("/work/.env", LARAVEL.dotenv(recipe, "", 0, DATABASE, "", ""))
    pod.app.write_file(DATABASE, b"")
    for command in (recipe.migrate, recipe.seed):
        result = pod.app.run(command, timeout=120)
        assert result.ok, result.last_lines
    yield Shop(pod, recipe, tree)
    pod.close()


def test_routes_are_listed_with_their_files_and_logins(shop: Shop) -> None:
    routes = {(route.method, route.path): route for route in LARAVEL.routes(shop.pod.app)}
    users = routes["GET", "api/users"]
    assert users.source == "app/Http/Controllers/UserController.php"
    assert users.handler.endswith("UserController@index")
    assert not users.needs_login
    assert routes["GET", "api/account"].needs_login
    assert not any(method == "HEAD" for method, _ in routes)


def test_commands_are_the_application_s_own(shop: Shop) -> None:
    commands = {command.name: command for command in LARAVEL.commands(shop.pod.app)}
    assert commands["report:daily"].source == "app/Console/Commands/DailyReport.php"
    assert "migrate" not in commands


def test_a_traced_request_names_the_line_of_the_n_plus_one(shop: Shop) -> None:
    shop.pod.app.remove_file(TRACE)
    shop.serve(trace=TRACE)
    answer = shop.ask("/api/users?country=DE")
    assert answer.status == 200
    repeated: dict[tuple[str, int], int] = {}
    for query in shop.trace():
        assert query.request == "GET /api/users?country=DE"
        repeated[query.file, query.line] = repeated.get((query.file, query.line), 0) + query.calls
    (file, line), calls = max(repeated.items(), key=lambda item: item[1])
    assert calls > 10
    text = (shop.tree.read(file) or b"").decode().splitlines()[line - 1]
    assert file == "app/Http/Resources/CustomerResource.php"
    assert "->" in text
    shop.pod.app.remove_file(TRACE)
    shop.serve()
    plain = shop.ask("/api/users?country=DE")
    assert plain.body == answer.body
    volatile = {"date"}
    assert [h for h in plain.headers if h[0].lower() not in volatile] == [
        h for h in answer.headers if h[0].lower() not in volatile
    ]
    assert shop.trace() == ()


def test_a_query_of_the_framework_itself_is_not_laid_on_a_line_of_the_application(shop: Shop) -> None:
    shop.pod.app.remove_file(TRACE)
    shop.serve(trace=TRACE)
    assert shop.ask("/api/users/3").status == 200
    (bound,) = shop.trace()
    assert (bound.file, bound.stack) == ("", ())
    assert bound.function.endswith("SubstituteBindings::handle")


def test_a_request_is_served_as_a_user(shop: Shop) -> None:
    shop.serve()
    assert shop.ask("/api/account").status == 401
    shop.serve("users:1")
    answer = shop.ask("/api/account")
    assert answer.status == 200
    assert json.loads(answer.body)["data"]["id"] == 1
    assert shop.ask("/api/logout", "POST").status == 204


def test_every_guard_of_the_table_knows_the_user_and_forms_need_no_token(shop: Shop) -> None:
    auth = """<?php return [
        'defaults' => ['guard' => 'web'],
        'guards' => [
            'web' => ['driver' => 'session', 'provider' => 'users'],
            'api' => ['driver' => 'token', 'provider' => 'plain'],
            'staff' => ['driver' => 'session', 'provider' => 'countries'],
        ],
        'providers' => [
            'users' => ['driver' => 'eloquent', 'model' => App\\Models\\User::class],
            'plain' => ['driver' => 'database', 'table' => 'users'],
            'countries' => ['driver' => 'database', 'table' => 'countries'],
        ],
    ];"""
    csrf = "Illuminate\\Foundation\\Http\\Middleware\\VerifyCsrfToken::class"
    added = f"""
Route::get('/by-token', fn () => ['id' => auth('api')->id(), 'is' => class_basename(auth('api')->user())])
    ->middleware('auth:api');
Route::get('/by-staff', fn () => [])->middleware('auth:staff');
Route::post('/form', fn () => ['id' => auth()->id()])->middleware(['session', {csrf}]);
"""
    app = shop.pod.app
    kept = {path: app.read_file(path) or b"" for path in ("/work/config/auth.php", "/work/routes/api.php")}
    app.write_file("/work/config/auth.php", auth.encode())
    app.write_file("/work/routes/api.php", kept["/work/routes/api.php"] + added.encode())
    try:
        shop.serve()
        assert shop.ask("/api/form", "POST").status == 419
        shop.serve("users:2")
        assert json.loads(shop.ask("/api/by-token").body) == {"id": 2, "is": "GenericUser"}
        assert json.loads(shop.ask("/api/form", "POST").body) == {"id": 2}
        assert shop.ask("/api/by-staff").status == 401
        closures = [route for route in LARAVEL.routes(app) if route.handler == "Closure"]
        assert {route.source for route in closures} == {"routes/api.php"}
        assert {route.path for route in closures if route.needs_login} == {"api/by-token", "api/by-staff"}
    finally:
        for path, content in kept.items():
            app.write_file(path, content)


def test_a_query_of_a_view_is_laid_on_its_template(shop: Shop) -> None:
    app = shop.pod.app
    kept = app.read_file("/work/routes/api.php") or b""
    app.write_file("/work/resources/views/count.blade.php", b"<p>\n{{ App\\Models\\User::count() }}\n</p>\n")
    app.write_file("/work/routes/api.php", kept + b"\nRoute::get('/page', fn () => view('count'));\n")
    app.remove_file(TRACE)
    try:
        shop.serve(trace=TRACE)
        assert shop.ask("/api/page").status == 200
        (query,) = shop.trace()
        assert (query.file, query.line) == ("resources/views/count.blade.php", 2)
    finally:
        app.write_file("/work/routes/api.php", kept)


def test_bindings_and_broken_text_stay_readable(shop: Shop) -> None:
    code = (
        "<?php require '/work/vendor/autoload.php'; $app = require '/work/bootstrap/app.php';"
        "$app->make(Illuminate\\Contracts\\Console\\Kernel::class)->bootstrap();"
        "DB::select('select ?, ?, ?, ?, ?, ?', [null, true,"
        " 1.5, \"\\xff\\x00\", 'ä', new DateTime('2026-01-02 03:04:05')]);"
    )
    shop.pod.app.write_file("/work/bind.php", code.encode())
    shop.pod.app.remove_file(TRACE)
    result = shop.pod.app.run("php bind.php", env=LARAVEL.command_environment(TRACE))
    assert result.ok, result.last_lines
    (query,) = shop.trace()
    assert query.bindings == (None, 1, 1.5, {"base64": "/wA="}, "ä", "2026-01-02 03:04:05")


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("users:999999", "no user with id 999999"),
        ("admins:1", "No guard of config/auth.php reads the table `admins`"),
    ],
)
def test_a_user_who_is_not_there_is_said_in_the_answer(shop: Shop, user: str, reason: str) -> None:
    shop.serve(user)
    answer = shop.ask("/api/account")
    assert answer.status == 500
    assert reason in {name.lower(): value for name, value in answer.headers}["x-bedev-error"]


def test_a_loop_of_queries_is_folded_and_counted_whole(shop: Shop) -> None:
    loop = (
        "$app = require '/work/bootstrap/app.php';"
        "$app->make(Illuminate\\Contracts\\Console\\Kernel::class)->bootstrap();"
        "for ($i = 0; $i < 30000; $i++) { DB::select(\"select $i as n where 1 = ?\", [1]); } echo 'done';"
    )
    shop.pod.app.write_file("/work/loop.php", f"<?php require '/work/vendor/autoload.php'; {loop}".encode())
    shop.pod.app.remove_file(TRACE)
    result = shop.pod.app.run("php loop.php", env=LARAVEL.command_environment(TRACE), timeout=60)
    assert result.stdout.text == "done"
    assert result.stderr.text == ""
    queries = shop.trace()
    assert sum(query.calls for query in queries) == 30000
    assert len(queries) < 2010
    assert {(query.file, query.line) for query in queries} == {("loop.php", 1)}


def test_a_traced_command_prints_what_it_prints_without(shop: Shop) -> None:
    plain = shop.pod.app.run("php artisan report:daily")
    traced = shop.pod.app.run("php artisan report:daily", env=LARAVEL.command_environment(TRACE))
    assert plain.ok
    assert (traced.exit_code, traced.stdout.text, traced.stderr.text) == (
        0,
        plain.stdout.text,
        plain.stderr.text,
    )
    assert any(query.file == "app/Console/Commands/DailyReport.php" for query in shop.trace())


def test_a_written_migration_goes_up_down_and_up(shop: Shop) -> None:
    indexes = [IndexSpec("orders", ("status", "placed_at")), IndexSpec("users", ("email",))]
    written = LARAVEL.write_migration(shop.tree, indexes, "2026-01-02 03:04:05")
    app = shop.pod.app
    app.write_file(f"/work/{written.path}", written.content)
    assert LARAVEL.pending_migrations(app, {}) == 1
    schema = (
        "php -r '$d = new PDO(\"sqlite:"
        + DATABASE
        + '"); foreach ($d->query("select name from sqlite_master '
        'where name like \\"%_index\\" order by name") as $r) echo $r[0], "\\n";\''
    )
    before = app.run(schema).stdout.text
    for command, names in (
        (shop.recipe.migrate, "orders_status_placed_at_index\nusers_email_index\n"),
        (shop.recipe.rollback.replace("{steps}", "1"), before),
        (shop.recipe.migrate, "orders_status_placed_at_index\nusers_email_index\n"),
    ):
        result = app.run(command)
        assert result.ok, result.last_lines
        assert app.run(schema).stdout.text == names
    assert before == ""
    assert LARAVEL.pending_migrations(app, {}) == 0


def test_the_tests_are_read_by_name(shop: Shop) -> None:
    env = LARAVEL.test_environment("127.0.0.1", 1, "nobody", "")
    result = shop.pod.app.run(shop.recipe.test.replace("{junit}", "/tmp/junit.xml"), env=env, timeout=120)
    assert result.ok, result.last_lines
    cases = LARAVEL.parse_tests(shop.pod.app.read_file("/tmp/junit.xml") or b"")
    assert len(cases) >= 10
    assert {case.status for case in cases} == {"passed"}
    assert all(case.id.startswith("Tests\\Feature\\") for case in cases)


def test_an_application_that_does_not_boot_is_said(shop: Shop) -> None:
    broken = "/work/app/Providers/AppServiceProvider.php"
    kept = shop.pod.app.read_file(broken)
    assert kept is not None
    shop.pod.app.write_file(broken, b"<?php this is no PHP")
    try:
        with pytest.raises(SetUpFailed) as raised:
            LARAVEL.routes(shop.pod.app)
    finally:
        shop.pod.app.write_file(broken, kept)
    assert "AppServiceProvider" in raised.value.detail
