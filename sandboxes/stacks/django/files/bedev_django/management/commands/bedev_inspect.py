# mypy: ignore-errors
"""Lists routes, console commands and pending migrations as one line of JSON for bedev."""

import importlib
import inspect
import json
import os
import re

import django.core.management
from django.core.management import find_commands, get_commands, load_command_class
from django.core.management.base import BaseCommand

ROOT = os.environ.get("BEDEV_ROOT", "/work").rstrip("/") + "/"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Command(BaseCommand):
    help = "For bedev"
    requires_system_checks = ()

    def add_arguments(self, parser):
        parser.add_argument("what", choices=("routes", "commands", "migrations"))

    def handle(self, *args, **options):
        found = {"routes": routes, "commands": commands, "migrations": migrations}[options["what"]]()
        self.stdout.write("\nBEDEV-INSPECT " + json.dumps(found))


def own(path):
    path = os.path.realpath(path or "")
    foreign = any(part in path for part in ("/site-packages/", "/dist-packages/", "/.venv/", "/venv/"))
    return path[len(ROOT) :] if path.startswith(ROOT) and not foreign else ""


def routes():
    from django.urls import get_resolver

    return list(_walk(get_resolver().url_patterns, ""))


def _walk(patterns, prefix):
    for entry in patterns:
        path = prefix + _readable(entry.pattern)
        if hasattr(entry, "url_patterns"):
            try:
                inner = entry.url_patterns
            except Exception:  # noqa: BLE001
                continue  # an include that cannot be imported is not served either
            yield from _walk(inner, path)
        elif callable(getattr(entry, "callback", None)):
            yield from _route(entry, path)


def _readable(pattern):
    """A route as it is written; of a regular expression its groups by name and what stands between them."""
    if hasattr(pattern, "_route"):
        return str(pattern._route)
    if not hasattr(pattern, "_regex"):
        return str(pattern)
    text = str(pattern._regex)
    text = re.sub(r"\(\?P<(\w+)>(?:[^()\[\]]|\[[^\]]*\]|\([^()]*\))*\)", r"<\1>", text)
    text = re.sub(r"\((?!\?)(?:[^()\[\]]|\[[^\]]*\])*\)", "<value>", text)
    text = re.sub(r"\(\?:([^()]*)\)\??", r"\1", text)
    return re.sub(r"[\^$?]|\\[AZz]|\\(?=[.\-/])", "", text)


def _route(entry, path):
    view, layers = _unwrapped(entry.callback)
    target = getattr(entry.callback, "view_class", None) or getattr(entry.callback, "cls", None)
    target = target or getattr(view, "view_class", None) or getattr(view, "cls", None) or view
    module = getattr(target, "__module__", "")
    name = "{}.{}".format(module, getattr(target, "__qualname__", type(target).__name__))
    source = _source(target)
    login = _needs_login(target, layers)
    actions = getattr(entry.callback, "actions", None) or getattr(view, "actions", None)
    if inspect.isclass(target):
        by_method = dict(actions) if actions else {m.lower(): m.lower() for m in METHODS}
        pairs = [(m.upper(), a) for m, a in by_method.items() if m.upper() in METHODS and hasattr(target, a)]
    else:
        pairs = [(method, "") for method in _methods(layers)]
    for method, action in pairs:
        yield {
            "method": method,
            "path": path,
            "handler": name + ("@" + action if action else ""),
            "needs_login": login,
            "name": str(entry.name or ""),
            "source": source,
        }


def _unwrapped(view):
    layers, seen = [view], {id(view)}
    while hasattr(view, "__wrapped__") and id(view.__wrapped__) not in seen:
        view = view.__wrapped__
        seen.add(id(view))
        layers.append(view)
    return view, layers


def _source(target):
    try:
        return own(inspect.getsourcefile(target))
    except (TypeError, OSError):
        return ""


def _methods(layers):
    """What `require_http_methods` allows, else what a plain function is commonly asked with."""
    for layer in layers:
        closure = getattr(layer, "__closure__", None) or ()
        names = getattr(getattr(layer, "__code__", None), "co_freevars", ())
        for name, cell in zip(names, closure):  # noqa: B905
            if name == "request_method_list":
                return [m for m in cell.cell_contents if m in METHODS]
    return ["GET", "POST"]


def _needs_login(target, layers):
    for layer in layers[:-1] if len(layers) > 1 else ():
        code = getattr(layer, "__code__", None)
        if code is None:
            continue
        if "is_authenticated" in code.co_names or "auth/decorators" in code.co_filename:
            return True
    if not inspect.isclass(target):
        return False
    if any(c.__name__ in ("AccessMixin", "LoginRequiredMixin") for c in target.__mro__):
        return True
    return any(
        getattr(p, "__name__", "").startswith(("IsAuthenticated", "IsAdminUser", "DjangoModelPermissions"))
        and "OrReadOnly" not in getattr(p, "__name__", "")
        for p in getattr(target, "permission_classes", None) or ()
    )


def commands():
    found = []
    frameworks = set(find_commands(django.core.management.__path__[0]))  # some are overridden by applications
    for name, app in sorted(get_commands().items()):
        if not isinstance(app, str) or app.startswith(("django.", "bedev_django")) or name in frameworks:
            continue
        try:
            command = load_command_class(app, name)
            module = importlib.import_module(type(command).__module__)
        except Exception:  # noqa: BLE001
            continue  # a command that cannot be imported cannot be run
        source = own(getattr(module, "__file__", ""))
        if source:
            found.append({"name": name, "description": str(command.help or ""), "source": source})
    return found


def migrations():
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
