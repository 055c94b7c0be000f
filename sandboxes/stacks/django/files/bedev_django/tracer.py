# mypy: ignore-errors
"""Appends one JSON line for each query, with the place in the application's own code that caused it.

Lines: {"kind":"begin","id","what"}, {"kind":"query",...}, {"kind":"more",...,"calls"}. After FULL_RECORDS
queries of one request only counts by statement and place are kept, so that a loop over 100,000 rows costs
neither memory nor disk. Nothing is ever printed, and no error leaves this module.
"""

import atexit
import base64
import contextlib
import json
import os
import re
import sys
import time
import uuid

FULL_RECORDS = 2000
FOLDED_GROUPS = 5000
FLUSH_EVERY = 20000
WHOLE = os.environ.get("BEDEV_TRACE_WHOLE") == "1"  # nobody but the trace counts (SQLite)
MAX_SQL = 1000000 if WHOLE else 100000
MAX_BINDINGS = 33000 if WHOLE else 500
MAX_TEXT = 2000
MAX_FRAMES = 12

ROOT = os.environ.get("BEDEV_ROOT", "/work").rstrip("/") + "/"
_FOREIGN = ("/site-packages/", "/dist-packages/", "/.venv/", "/venv/", "/env/lib/", "/node_modules/")
_FRAMEWORK = os.sep.join(("", "django", ""))
_LISTS = re.compile(r"\(\s*(?:\?|'[^']*'|-?\d+)(?:\s*,\s*(?:\?|'[^']*'|-?\d+))+\s*\)")
_NUMBERS = re.compile(r"\b\d+\b")

_tracer = None


def install(path):
    """Trace every connection that is opened from now on."""
    global _tracer
    from django.db.backends.signals import connection_created

    _tracer = Tracer(path)
    connection_created.connect(_connected, dispatch_uid="bedev", weak=False)
    atexit.register(_tracer.flush)


def begin(what):
    if _tracer is not None:
        _tracer.begin(what)


def end():
    if _tracer is not None:
        _tracer.flush()


@contextlib.contextmanager
def paused():
    """Nothing is recorded in here: the queries are bedev's own."""
    if _tracer is None:
        yield
        return
    _tracer.quiet = True
    try:
        yield
    finally:
        _tracer.quiet = False


def _connected(sender, connection, **_):
    if _tracer.query not in connection.execute_wrappers:
        connection.execute_wrappers.append(_tracer.query)


class Tracer:
    def __init__(self, path):
        self.path, self.id, self.queries, self.unflushed, self.folded = path, "", 0, 0, {}
        self.quiet = False

    def begin(self, what):
        self.flush()
        self.id, self.queries = uuid.uuid4().hex[:12], 0
        self.write({"kind": "begin", "id": self.id, "what": short(what)})

    def query(self, execute, sql, params, many, context):
        start = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            milliseconds = (time.perf_counter() - start) * 1000
            # A tracer that fails must not change what the application answers.
            with contextlib.suppress(Exception):
                self.record(sql, params, many, milliseconds)

    def record(self, sql, params, many, milliseconds):
        if self.quiet:
            return
        if not self.id:
            self.begin(" ".join(sys.argv))
        self.queries += 1
        frames = own_frames()
        site = frames[0] if frames else ("", 0, cause())
        sql = placeholders(str(sql), params)[:MAX_SQL]
        entry = {
            "kind": "query",
            "id": self.id,
            "sql": sql,
            "bindings": [] if many else bindings(params),
            "ms": round(milliseconds, 3),
            "file": site[0],
            "line": site[1],
            "function": site[2],
            "stack": [f"{frame[0]}:{frame[1]}" for frame in frames],
        }
        if self.queries <= FULL_RECORDS:
            self.write(entry)
            return
        key = (_NUMBERS.sub("0", _LISTS.sub("(?+)", sql)), site[:2])
        if key in self.folded:
            self.folded[key]["calls"] += 1
            self.folded[key]["ms"] += milliseconds
        else:
            if len(self.folded) >= FOLDED_GROUPS:
                self.flush()
            self.folded[key] = {**entry, "kind": "more", "calls": 1}
        self.unflushed += 1
        if self.unflushed >= FLUSH_EVERY:
            self.flush()  # a command that is killed at its time limit keeps what it did until then

    def flush(self):
        for group in self.folded.values():
            self.write(group)
        self.folded, self.unflushed = {}, 0

    def write(self, entry):
        try:
            line = json.dumps(entry, ensure_ascii=True) + "\n"
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(file, line.encode())
            finally:
                os.close(file)
        except (OSError, ValueError):
            pass


def own_frames():
    """The application's own frames, innermost first: (file, line, function)."""
    found = []
    frame, inner = sys._getframe(2), ""
    while frame is not None and len(found) < MAX_FRAMES:
        code = frame.f_code
        path = code.co_filename
        place = None
        if path.startswith(ROOT) and not any(part in path for part in _FOREIGN):
            # `self.get_response(request)` of a middleware caused nothing that the layers behind it did.
            if not inner.endswith("django/core/handlers/exception.py") and path != ROOT + "manage.py":
                name = getattr(code, "co_qualname", code.co_name)
                place = (path[len(ROOT) :], frame.f_lineno, "" if name == "<module>" else name)
        elif code.co_name == "render_annotated" and path.endswith("django/template/base.py"):
            place = template_place(frame.f_locals.get("self"))
        if place is not None and place not in found:
            found.append(place)
        frame, inner = frame.f_back, path
    return found


def template_place(node):
    origin = getattr(getattr(node, "origin", None), "name", "") or ""
    line = getattr(getattr(node, "token", None), "lineno", None)
    if not line or not origin.startswith(ROOT) or any(part in origin for part in _FOREIGN):
        return None
    return origin[len(ROOT) :], line, ""


def cause():
    """Which part of the framework asked, for a query that no line of the application did (sessions ...)."""
    frame, found = sys._getframe(2), ""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("django.") and not module.startswith(("django.db", "django.utils")):
            return module + "." + getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
        frame = frame.f_back
    return found


def placeholders(sql, params):
    """`%s` as `?`, as other drivers write it; without parameters a `%` is itself."""
    if params is None or isinstance(params, dict):
        return sql
    return re.sub(r"%[s%]", lambda found: "?" if found[0] == "%s" else "%", sql)


def bindings(params):
    if params is None:
        return []
    values = list(params.values()) if isinstance(params, dict) else list(params)
    return [plain(value) for value in values[:MAX_BINDINGS]]


def plain(value):
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"base64": base64.b64encode(bytes(value)[:MAX_TEXT]).decode()}
    return short(str(value))


def short(text):
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
