# mypy: ignore-errors
"""Undoes the migrations that were applied last, in the opposite order (Django itself goes to a named one)."""

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder


class Command(BaseCommand):
    help = "Undoes the last N migrations"

    def add_arguments(self, parser):
        parser.add_argument("steps", type=int)
        parser.add_argument("--database", default="default")

    def handle(self, *args, **options):
        connection = connections[options["database"]]
        recorder = MigrationRecorder(connection)
        for _ in range(options["steps"]):
            last = recorder.migration_qs.order_by("-applied", "-id").first()
            if last is None:
                raise CommandError("No migration is applied.")
            graph = MigrationExecutor(connection).loader.graph
            key = (last.app, last.name)
            if key not in graph.nodes:
                raise CommandError("The migration {}.{} is applied, and its file is gone.".format(*key))
            parents = [p.key for p in graph.node_map[key].parents if p.key[0] == last.app]
            target = parents[0][1] if parents else "zero"
            call_command(
                "migrate", last.app, target, database=options["database"], interactive=False, verbosity=1
            )
            if recorder.migration_qs.filter(app=last.app, name=last.name).exists():
                raise CommandError("The migration {}.{} was not undone.".format(*key))
