# mypy: ignore-errors
"""Serves the application's own WSGI application on the framework's own server: one process, one request at a
time, no reloader. The reason of a 500 goes to stderr."""

import logging
import os
import sys

from django.core.management.base import BaseCommand
from django.core.servers.basehttp import WSGIRequestHandler, WSGIServer, get_internal_wsgi_application
from django.db import DatabaseError, connections

from bedev_django import tracer


class Handler(WSGIRequestHandler):
    def log_message(self, format, *args):
        """Requests are not logged."""


class Command(BaseCommand):
    help = "Serves one request at a time on 127.0.0.1"
    requires_system_checks = ()

    def add_arguments(self, parser):
        parser.add_argument("port", type=int)

    def handle(self, *args, **options):
        application = with_static(get_internal_wsgi_application())
        log_errors()  # the application's wsgi.py has set logging up once more
        if os.environ.get("BEDEV_TRACE"):
            application = traced(application)
        warm()
        server = WSGIServer(("127.0.0.1", options["port"]), Handler)
        server.set_app(application)
        server.serve_forever()


def log_errors():
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.ERROR)
    log = logging.getLogger("django.request")
    log.handlers, log.propagate, log.disabled = [handler], False, False


def warm():
    """What a process asks its server once is asked before the first request, which then does not count it."""
    with tracer.paused():
        for connection in connections.all():
            try:
                connection.ensure_connection()
            except DatabaseError as error:
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
            finally:
                connection.close()


def with_static(application):
    """Files of `static/` come from where the applications keep them, as `runserver --insecure` does it."""
    from django.apps import apps

    if not apps.is_installed("django.contrib.staticfiles"):
        return application
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.contrib.staticfiles.views import serve

    class Insecure(StaticFilesHandler):
        def serve(self, request):
            return serve(request, self.file_path(request.path), insecure=True)

    return Insecure(application)


def traced(application):
    def inner(environ, start_response):
        query = environ.get("QUERY_STRING", "")
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        tracer.begin("{} {}{}".format(environ.get("REQUEST_METHOD", ""), path, "?" + query if query else ""))
        try:
            return application(environ, start_response)
        finally:
            tracer.end()

    return inner
