# mypy: ignore-errors
"""The application's own settings, with what a sandbox needs laid over them; no file of it changes.

BEDEV_SETTINGS_MODULE names the application's module; BEDEV_DOTENV is a file of environment variables that is
read first (variables of the process win); BEDEV_DATABASE_* say where the pod's database is; BEDEV_TESTING is
set for a run of the tests, which keep their own choice of the database (its name, or SQLite in memory).
"""

import hashlib
import importlib
import os


def _read_dotenv(path):
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            if value[:1] == '"':
                value = value[1:-1].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
            os.environ.setdefault(name, value)


def _mysql_driver():
    """PyMySQL where mysqlclient is not installed; it says a version that every Django accepts."""
    try:
        import MySQLdb  # noqa: F401
    except ImportError:
        try:
            import pymysql
        except ImportError:
            return
        pymysql.version_info = (2, 2, 7, "final", 0)
        pymysql.install_as_MySQLdb()


_read_dotenv(os.environ.get("BEDEV_DOTENV", ""))
_mysql_driver()
_name = os.environ["BEDEV_SETTINGS_MODULE"]
_own = importlib.import_module(_name)
globals().update({name: value for name, value in vars(_own).items() if name.isupper()})

_testing = bool(os.environ.get("BEDEV_TESTING"))
_backend = os.environ.get("BEDEV_DATABASE_BACKEND", "")
_FAMILIES = {"mysql": "mysql", "postgis": "postgres", "postgresql": "postgres", "sqlite3": "sqlite"}
_FAMILIES.update({"spatialite": "sqlite", "postgresql_psycopg2": "postgres"})
# What reaches a server elsewhere, or holds a connection longer than a pod lives.
_DROPPED = ("read_default_file", "read_default_group", "ssl", "ssl_mode", "sslmode", "sslrootcert", "sslcert")
_DROPPED += ("sslkey", "unix_socket", "service", "passfile", "pool", "target_session_attrs")


def _family(backend):
    return _FAMILIES.get(backend.rpartition(".")[2], "")


def _database(own):
    """One entry of DATABASES, pointed to the pod's server; the rest stays where the engine is the same."""
    made = dict(own)
    same = _family(made.get("ENGINE", "")) == _family(_backend)
    if not same:
        made["ENGINE"] = _backend
        made.pop("OPTIONS", None)
    options = {k: v for k, v in (made.get("OPTIONS") or {}).items() if k not in _DROPPED}
    made["OPTIONS"] = options
    for setting in ("HOST", "PORT", "USER", "PASSWORD", "NAME"):
        value = os.environ.get("BEDEV_DATABASE_" + setting)
        if value is not None:
            made[setting] = value
    made["NAME"] = made.get("NAME") or "app"
    made.pop("CONN_HEALTH_CHECKS", None)
    made["CONN_MAX_AGE"] = 0
    return made


_databases = globals().get("DATABASES") or {"default": {}}
if _backend and not (_testing and _family(_databases.get("default", {}).get("ENGINE", "")) == "sqlite"):
    DATABASES = {
        alias: _database(own) if alias == "default" or _family(own.get("ENGINE", "")) != "sqlite" else own
        for alias, own in _databases.items()
    }

DEBUG = False
ALLOWED_HOSTS = ["*"]
SECURE_SSL_REDIRECT = False
if not _testing or not globals().get("SECRET_KEY"):
    # One that settings draw, or read from a file that they make, would sign otherwise in each pod.
    SECRET_KEY = "bedev " + hashlib.sha256(_name.encode()).hexdigest()


def _remote(backend):
    """Whether a back end speaks to a server that no pod has."""
    return not backend.startswith(
        (
            "django.core.cache.backends.locmem",
            "django.core.cache.backends.dummy",
            "django.core.cache.backends.db",
            "django.core.cache.backends.filebased",
        )
    )


def _forget(**_):
    from django.core.cache import caches

    for alias in CACHES:
        caches[alias].clear()


_caches = globals().get("CACHES") or {"default": {}}
if _testing:
    CACHES = {
        alias: {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": alias}
        if own.get("BACKEND") and _remote(own["BACKEND"])
        else own or {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
        for alias, own in _caches.items()
    }
else:
    # Nothing is remembered between requests: each measured request does all of its work. Within one a
    # cache works as ever: an application that keeps its settings in it would read them for every row.
    CACHES = {
        alias: {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": alias}
        for alias in _caches
    }
    from django.core.signals import request_started as _request_started

    _request_started.connect(_forget, dispatch_uid="bedev forgets")
    EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    if "cache" in globals().get("SESSION_ENGINE", ""):
        SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    _WATCHERS = ("debug_toolbar.", "silk.", "querycount.", "nplusone.", "django_prometheus.middleware.")
    MIDDLEWARE = [name for name in globals().get("MIDDLEWARE") or () if not name.startswith(_WATCHERS)]

CELERY_TASK_ALWAYS_EAGER = CELERY_ALWAYS_EAGER = True
CELERY_BROKER_URL = "memory://"
CELERY_RESULT_BACKEND = "cache+memory://"
if globals().get("CHANNEL_LAYERS"):
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# Hashed names come from `collectstatic`, which nobody ran; files of users stay in the sandbox.
_PLAIN_FILES = "django.core.files.storage.FileSystemStorage"
_PLAIN_STATIC = "django.contrib.staticfiles.storage.StaticFilesStorage"
if "STORAGES" in globals():
    STORAGES = {**STORAGES, "default": {"BACKEND": _PLAIN_FILES}, "staticfiles": {"BACKEND": _PLAIN_STATIC}}  # noqa: F821
else:
    if "STATICFILES_STORAGE" in globals():
        STATICFILES_STORAGE = _PLAIN_STATIC
    if "DEFAULT_FILE_STORAGE" in globals():
        DEFAULT_FILE_STORAGE = _PLAIN_FILES

if isinstance(globals().get("LOGGING"), dict):
    LOGGING = dict(LOGGING)  # noqa: F821
    LOGGING["handlers"] = {
        name: {"class": "logging.NullHandler"} if "filename" in handler else handler
        for name, handler in (LOGGING.get("handlers") or {}).items()
    }

INSTALLED_APPS = [*globals().get("INSTALLED_APPS", ()), "bedev_django"]

if os.environ.get("BEDEV_AS_USER"):
    _at = [i for i, name in enumerate(MIDDLEWARE) if name.endswith(".AuthenticationMiddleware")]
    MIDDLEWARE.insert(_at[-1] + 1 if _at else len(MIDDLEWARE), "bedev_django.as_user.AsUser")

if os.environ.get("BEDEV_TRACE"):
    from bedev_django import tracer as _tracer

    _tracer.install(os.environ["BEDEV_TRACE"])

del _own
