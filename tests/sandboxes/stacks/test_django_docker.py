"""Django in a pod, on SQLite: the example comes up, is traced, answers as a user."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from bedev.sandboxes.engines.engine import IndexSpec
from bedev.sandboxes.errors import SetUpFailed
from bedev.sandboxes.recipe import Recipe
from bedev.sandboxes.sandbox import HttpRequest, HttpResponse, Pod, Sandbox, Service
from bedev.sandboxes.stacks.stack import TracedQuery

from .contract import FilesTree
from .django_pod import DJANGO, EXAMPLE, come_up, example_recipe

pytestmark = pytest.mark.docker

TRACE = "/tmp/trace.jsonl"
DATABASE = "/work/shop.sqlite3"


@dataclass
class Shop:
    pod: Pod
    recipe: Recipe
    tree: FilesTree
    service: Service | None = None

    def serve(self, user: str = "", trace: str = "", env: Mapping[str, str] | None = None) -> None:
        self.stop()
        environment = {**DJANGO.serve_environment(user, trace), **(env or {})}
        self.service = self.pod.app.start("serve", DJANGO.serve_command(self.recipe), env=environment)
        assert self.pod.probe.wait_for_port(self.recipe.served_port, 20), self.service.log()

    def stop(self) -> None:
        if self.service is not None:
            self.service.stop()

    def ask(self, path: str, method: str = "GET") -> HttpResponse:
        return self.pod.probe.http(self.recipe.served_port, HttpRequest(method, path))

    def trace(self) -> tuple[TracedQuery, ...]:
        return DJANGO.parse_trace(self.pod.app.read_file(TRACE) or b"")

    def python(self, code: str, env: Mapping[str, str] | None = None) -> str:
        result = self.pod.app.run(f"python3 manage.py shell -c '{code}'", env=env)
        assert result.ok, result.last_lines
        return result.stdout.text

    def write(self, path: str, text: str) -> None:
        self.pod.app.write_file(f"/work/{path}", text.encode())

    def text(self, path: str) -> str:
        return (self.tree.read(path) or b"").decode()


@pytest.fixture(scope="module")
def shop(sandbox: Sandbox) -> Iterator[Shop]:
    tree = FilesTree.of(EXAMPLE)
    recipe = example_recipe(tree, "sqlite")
    pod = come_up(sandbox, tree, recipe)
    try:
        pod.app.write_file("/work/.env", DJANGO.dotenv(recipe, "", 0, DATABASE, "", ""))
        for command in (recipe.migrate, recipe.seed):
            result = pod.app.run(command, timeout=120)
            assert result.ok, result.last_lines
        yield Shop(pod, recipe, tree)
    finally:
        pod.close()


def test_routes_are_listed_with_their_files_and_logins(shop: Shop) -> None:
    routes = {(route.method, route.path): route for route in DJANGO.routes(shop.pod.app)}
    users = routes["GET", "api/users"]
    assert (users.handler, users.source) == ("shop.views.users", "shop/views.py")
    assert not users.needs_login
    assert routes["GET", "api/account"].needs_login
    assert routes["GET", "api/users/<int:pk>"].handler == "shop.views.user"
    assert ("GET", "api/login") not in routes
    assert ("POST", "api/users") not in routes


def test_other_kinds_of_routes_are_read_too(shop: Shop) -> None:
    urls = """
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import JsonResponse
from django.urls import include, path, re_path
from django.views import View
from shop import urls, views

class Mine(LoginRequiredMixin, View):
    def get(self, request, year): return JsonResponse({})
    def put(self, request, year): return JsonResponse({})

urlpatterns = [
    path("api/", include("shop.urls")),
    re_path(r"^archive/(?P<year>[0-9]{4})/(?:old/)?$", Mine.as_view(), name="archive"),
    path("free/", lambda request: JsonResponse({})),
]
"""
    shop.write("config/urls.py", urls)
    try:
        routes = {(r.method, r.path): r for r in DJANGO.routes(shop.pod.app)}
    finally:
        shop.write("config/urls.py", shop.text("config/urls.py"))
    mine = routes["GET", "archive/<year>/old/"]
    assert (mine.handler, mine.needs_login, mine.name) == ("config.urls.Mine@get", True, "archive")
    assert routes["PUT", "archive/<year>/old/"].source == "config/urls.py"
    assert {m for m, p in routes if p == "free/"} == {"GET", "POST"}


def test_commands_are_the_application_s_own(shop: Shop) -> None:
    commands = {command.name: command for command in DJANGO.commands(shop.pod.app)}
    assert set(commands) == {"report_daily", "seed", "show_user"}
    assert commands["report_daily"].source == "shop/management/commands/report_daily.py"
    assert commands["report_daily"].description.startswith("Number and value")


def test_a_traced_request_names_the_line_of_the_n_plus_one(shop: Shop) -> None:
    shop.pod.app.remove_file(TRACE)
    shop.serve(trace=TRACE)
    answer = shop.ask("/api/users?country=DE")
    assert answer.status == 200
    repeated: Counter[tuple[str, int]] = Counter()
    for query in shop.trace():
        assert query.request == "GET /api/users?country=DE"
        assert "%s" not in query.sql
        repeated[query.file, query.line] += query.calls
    lines = shop.text("shop/answers.py").splitlines()
    most = [(file, lines[line - 1].strip()) for (file, line), calls in repeated.items() if calls == 25]
    assert ("shop/answers.py", '"country": found.country.name if found.country else None,') in most
    assert ("shop/answers.py", '"orders_count": found.orders.count(),') in most
    shop.pod.app.remove_file(TRACE)
    shop.serve()
    plain = shop.ask("/api/users?country=DE")
    assert plain.body == answer.body
    assert [h for h in plain.headers if h[0].lower() != "date"] == [
        h for h in answer.headers if h[0].lower() != "date"
    ]
    assert shop.trace() == ()


def test_a_query_of_the_framework_itself_is_not_laid_on_a_line_of_the_application(shop: Shop) -> None:
    """Middleware of the application stands around the whole request and caused none of what is inside."""
    shop.write(
        "shop/around.py", "def around(get_response):\n    return lambda request: get_response(request)\n"
    )
    settings = shop.text("config/settings.py")
    shop.write("config/settings.py", settings + '\nMIDDLEWARE.insert(0, "shop.around.around")\n')
    session = (
        "from django.contrib.sessions.backends.db import SessionStore as S; s = S(); s[1] = 2; s.save(); "
    )
    key = shop.python(session + "print(s.session_key)").strip()
    shop.pod.app.remove_file(TRACE)
    try:
        shop.serve(trace=TRACE)
        sent = HttpRequest("GET", "/api/account", (("Cookie", f"sessionid={key}"),))
        assert shop.pod.probe.http(shop.recipe.served_port, sent).status == 401
    finally:
        shop.write("config/settings.py", settings)
    queries = shop.trace()
    assert queries
    assert {query.file for query in queries} <= {"", "shop/access.py"}
    assert all(query.file or query.function for query in queries)


def test_a_query_of_a_template_is_laid_on_its_line(shop: Shop) -> None:
    shop.write(
        "shop/templates/list.html",
        "<ul>\n{% for one in countries %}\n<li>{{ one.users.count }}</li>\n{% endfor %}",
    )
    urls = """
from django.shortcuts import render
from django.urls import path
from shop.models import Country
def page(request):
    return render(request, "list.html", {"countries": Country.objects.all()})
urlpatterns = [path("page", page)]
"""
    settings = shop.text("config/settings.py")
    templates = (
        'TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]\n'
    )
    shop.write("config/urls.py", urls)
    shop.write("config/settings.py", settings + templates)
    shop.pod.app.remove_file(TRACE)
    try:
        shop.serve(trace=TRACE)
        assert shop.ask("/page").status == 200
        places = Counter((q.file, q.line) for q in shop.trace())
    finally:
        shop.write("config/urls.py", shop.text("config/urls.py"))
        shop.write("config/settings.py", settings)
    assert places == {("shop/templates/list.html", 2): 1, ("shop/templates/list.html", 3): 40}


def test_a_request_is_served_as_a_user(shop: Shop) -> None:
    shop.serve()
    assert shop.ask("/api/account").status == 401
    shop.serve("users:1")
    answer = shop.ask("/api/account")
    assert answer.status == 200
    assert json.loads(answer.body)["data"]["id"] == 1
    assert shop.ask("/api/logout", "POST").status == 204


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("users:999999", "no user with id 999999"),
        ("users:x", "no user with id x"),
        ("admins:1", "No model has the table `admins`"),
        ("orders:1", "is no user"),
    ],
)
def test_a_user_who_is_not_there_is_said_in_the_answer(shop: Shop, user: str, reason: str) -> None:
    shop.serve(user)
    answer = shop.ask("/api/account")
    assert answer.status == 500
    assert reason in {name.lower(): value for name, value in answer.headers}["x-bedev-error"]


def test_the_reason_of_an_error_is_in_the_server_s_log(shop: Shop) -> None:
    shop.serve()
    answer = shop.ask("/api/users?page=x")
    assert answer.status == 500
    assert b"ValueError" not in answer.body
    assert shop.service is not None
    assert "ValueError: invalid literal for int()" in shop.service.log()


def test_a_traced_command_prints_what_it_prints_without(shop: Shop) -> None:
    shop.pod.app.remove_file(TRACE)
    plain = shop.pod.app.run("python3 manage.py report_daily")
    traced = shop.pod.app.run("python3 manage.py report_daily", env=DJANGO.command_environment(TRACE))
    assert plain.ok
    assert (traced.exit_code, traced.stdout.text, traced.stderr.text) == (
        0,
        plain.stdout.text,
        plain.stderr.text,
    )
    assert {q.file for q in shop.trace()} == {"shop/management/commands/report_daily.py"}
    assert {q.request for q in shop.trace()} == {"manage.py report_daily"}


def test_a_loop_of_queries_is_folded_and_counted_whole(shop: Shop) -> None:
    shop.pod.app.remove_file(TRACE)
    shop.write(
        "loop.py",
        "from shop.models import Country\nfor i in range(5000):\n"
        "    Country.objects.filter(code=str(i)).first()\n",
    )
    shop.python("import loop", DJANGO.command_environment(TRACE))
    queries = [q for q in shop.trace() if q.file == "loop.py"]
    assert sum(q.calls for q in queries) == 5000
    assert len(queries) == 2001
    assert {q.line for q in queries} == {3}


def test_bindings_and_broken_text_stay_readable(shop: Shop) -> None:
    shop.pod.app.remove_file(TRACE)
    code = """
import datetime
from django.db import connection
with connection.cursor() as cursor:
    values = [None, 1.5, b"\\xff\\x00", "ä", datetime.date(2026, 1, 2)]
    cursor.execute("SELECT %s, %s, %s, %s, %s, 100 %% 7", values)
    cursor.execute("SELECT 'a%b'")
"""
    shop.write("bind.py", code)
    shop.python("import bind", DJANGO.command_environment(TRACE))
    first, second = shop.trace()
    assert first.sql == "SELECT ?, ?, ?, ?, ?, 100 % 7"
    assert first.bindings == (None, 1.5, {"base64": "/wA="}, "ä", "2026-01-02")
    assert second.sql == "SELECT 'a%b'"


def indexes(shop: Shop) -> str:
    code = (
        "from django.db import connection as c; k = c.cursor(); "
        'k.execute("select name from sqlite_master where name like ?".replace("?", "%s"), ["%_idx"]); '
        "print(sorted(r[0] for r in k.fetchall()))"
    )
    return shop.python(code).strip()


def test_a_written_migration_goes_up_down_and_up_and_leaves_nothing_to_make(shop: Shop) -> None:
    written = DJANGO.write_migration(
        shop.tree,
        [IndexSpec("orders", ("status", "placed_at")), IndexSpec("users", ("email",))],
        "2026-01-02 03:04:05",
    )
    for path, content in written.files.items():
        shop.pod.app.write_file(f"/work/{path}", content)
    app = shop.pod.app
    try:
        assert DJANGO.pending_migrations(app, {}) == 1
        check = app.run("python3 manage.py makemigrations --check --dry-run")
        assert check.ok, check.stdout.text
        assert indexes(shop) == "[]"
        names = "['orders_status_6f01af_idx', 'users_email_4b85f2_idx']"
        for command, there in (
            (shop.recipe.migrate, True),
            (shop.recipe.rollback.replace("{steps}", "1"), False),
            (shop.recipe.migrate, True),
        ):
            result = app.run(command)
            assert result.ok, result.last_lines
            assert indexes(shop) == (names if there else "[]")
        assert DJANGO.pending_migrations(app, {}) == 0
        assert app.run(shop.recipe.rollback.replace("{steps}", "1")).ok
    finally:
        app.remove_file(f"/work/{written.path}")
        shop.write("shop/models.py", shop.text("shop/models.py"))


def test_the_migration_alone_would_leave_the_model_behind(shop: Shop) -> None:
    written = DJANGO.write_migration(shop.tree, [IndexSpec("users", ("email",))], "2026-01-02 03:04:05")
    shop.pod.app.write_file(f"/work/{written.path}", written.content)
    try:
        check = shop.pod.app.run("python3 manage.py makemigrations --check --dry-run")
    finally:
        shop.pod.app.remove_file(f"/work/{written.path}")
    assert not check.ok
    assert "Remove index users_email_4b85f2_idx" in check.stdout.text


def test_rolling_back_goes_through_applications_in_the_order_of_their_migrations(shop: Shop) -> None:
    shop.pod.app.run("cp shop.sqlite3 kept.sqlite3")
    try:
        result = shop.pod.app.run(shop.recipe.rollback.replace("{steps}", "3"), timeout=120)
        assert result.ok, result.last_lines
        assert DJANGO.pending_migrations(shop.pod.app, {}) == 3
        assert shop.pod.app.run(shop.recipe.migrate).ok
        refused = shop.pod.app.run(shop.recipe.rollback.replace("{steps}", "99"), timeout=120)
        assert not refused.ok
        assert "No migration is applied" in refused.last_lines
    finally:
        shop.pod.app.run("mv kept.sqlite3 shop.sqlite3")


def test_the_tests_are_read_by_name_and_can_be_chosen(shop: Shop) -> None:
    env = DJANGO.test_environment("127.0.0.1", 1, "nobody", "")
    settings = shop.text("config/settings.py")
    shop.write(
        "config/settings.py", settings.replace("django.db.backends.mysql", "django.db.backends.sqlite3")
    )
    dotenv = shop.pod.app.read_file("/work/.env") or b""
    shop.pod.app.write_file("/work/.env", b"\n".join(x for x in dotenv.splitlines() if b"NAME" not in x))
    try:
        run = shop.recipe.test.replace("{junit}", "/tmp/junit.xml")
        result = shop.pod.app.run(run, env=env, timeout=120)
        assert result.ok, result.last_lines
        cases = DJANGO.parse_tests(shop.pod.app.read_file("/tmp/junit.xml") or b"")
        assert len(cases) == 20
        assert {case.status for case in cases} == {"passed"}
        assert "shop.tests.test_users.UserListTest::test_a_user_is_found_by_email" in {c.id for c in cases}
        assert all(case.seconds < 60 for case in cases)
        for chosen, count in (("UserListTest", 8), ("UserListTest::test_a_user_is_found_by_email", 1)):
            assert shop.pod.app.run(DJANGO.filtered_tests(run, chosen), env=env, timeout=120).ok
            found = DJANGO.parse_tests(shop.pod.app.read_file("/tmp/junit.xml") or b"")
            assert len(found) == count
    finally:
        shop.write("config/settings.py", settings)
        shop.pod.app.write_file("/work/.env", dotenv)


def test_every_kind_of_result_is_in_the_report(shop: Shop) -> None:
    tests = """
import unittest
class Kinds(unittest.TestCase):
    def test_fails(self): self.assertEqual(1, 2, "]]> \\x01 <b>")
    def test_breaks(self): raise OSError("gone")
    @unittest.skip("not now")
    def test_skipped(self): pass
    def test_parts(self):
        for i in range(3):
            with self.subTest(i=i): self.assertLess(i, 2)
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    @unittest.expectedFailure
    def test_unexpected(self): pass
class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise OSError("no class")
    def test_never(self): pass
"""
    shop.write("shop/tests/test_kinds.py", tests)
    run = shop.recipe.test.replace("{junit}", "/tmp/kinds.xml").replace(
        " test ", " test shop.tests.test_kinds "
    )
    try:
        result = shop.pod.app.run(run, timeout=60)
    finally:
        shop.pod.app.remove_file("/work/shop/tests/test_kinds.py")
    assert not result.ok
    cases = {
        c.id.partition("Kinds::")[2] or c.id: c
        for c in DJANGO.parse_tests(shop.pod.app.read_file("/tmp/kinds.xml") or b"")
    }
    assert {name: case.status for name, case in cases.items()} == {
        "test_fails": "failed",
        "test_breaks": "error",
        "test_skipped": "skipped",
        "test_parts": "failed",
        "test_expected": "passed",
        "test_unexpected": "failed",
        "shop.tests.test_kinds.Broken::setUpClass": "error",
    }
    assert "OSError: gone" in cases["test_breaks"].message


def test_an_application_that_does_not_start_is_said(shop: Shop) -> None:
    shop.write("shop/views.py", "this is no Python")
    try:
        with pytest.raises(SetUpFailed) as raised:
            DJANGO.routes(shop.pod.app)
    finally:
        shop.write("shop/views.py", shop.text("shop/views.py"))
    assert "views.py" in raised.value.detail


def test_a_secret_that_settings_draw_is_the_same_in_each_process(shop: Shop) -> None:
    shop.write("config/drawn.py", "import secrets\nfrom config.settings import *\n"
               "SECRET_KEY = secrets.token_hex(32)\n")  # fmt: skip
    env = {"BEDEV_SETTINGS_MODULE": "config.drawn"}
    code = "from django.core.signing import Signer; print(Signer().sign(1))"
    assert shop.python(code, env) == shop.python(code, env)


def test_settings_that_fix_everything_are_overlaid(shop: Shop) -> None:
    hard = """
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = ""
DEBUG = True
ALLOWED_HOSTS = []
SECURE_SSL_REDIRECT = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
                  "django.contrib.staticfiles", "shop"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware",
              "debug_toolbar.middleware.DebugToolbarMiddleware",
              "django.contrib.sessions.middleware.SessionMiddleware",
              "django.contrib.auth.middleware.AuthenticationMiddleware"]
ROOT_URLCONF = "config.urls"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.postgresql", "HOST": "db.example.org", "NAME": "shop",
                "OPTIONS": {"sslmode": "require"}, "ATOMIC_REQUESTS": True},
    "replica": {"ENGINE": "django.db.backends.postgresql", "HOST": "replica.example.org", "NAME": "shop"},
}
CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://cache/1"}}
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
STORAGES = {"default": {"BACKEND": "storages.backends.s3.S3Storage"},
            "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}}
LOGGING = {"version": 1,
           "handlers": {"file": {"class": "logging.FileHandler", "filename": "/var/log/shop.log"}},
           "root": {"handlers": ["file"]}}
AUTH_USER_MODEL = "shop.User"
STATIC_URL = "static/"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
    shop.write("config/hard.py", hard)
    shop.write("shop/static/shop.css", "body {}")
    env = {"BEDEV_SETTINGS_MODULE": "config.hard"}
    shop.serve("users:1", env=env)
    try:
        assert shop.ask("/api/account").status == 200
        assert shop.ask("/api/users?email=nobody").status == 200
        assert shop.ask("/static/shop.css").body == b"body {}"
        code = (
            "from django.conf import settings as s; from django.core.cache import cache; cache.set(1, 2); "
            'print(cache.get(1), s.DATABASES["replica"]["NAME"], s.DATABASES["default"]["ATOMIC_REQUESTS"])'
        )
        assert shop.python(code, env).split() == ["2", DATABASE, "True"]
        begun = (
            "from django.core.cache import cache; from django.core.signals import request_started; "
            "cache.set(1, 2); request_started.send(sender=None); print(cache.get(1))"
        )
        assert shop.python(begun, env).split() == ["None"]
    finally:
        shop.stop()
