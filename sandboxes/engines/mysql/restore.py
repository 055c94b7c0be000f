"""Loading a user's own dump: MariaDB's module, with MySQL's client."""

from __future__ import annotations

from typing import Any

from bedev.sandboxes.engines.engine import Instance
from bedev.sandboxes.engines.mariadb import restore as shared
from bedev.sandboxes.sandbox import Box

# The key for the password comes over loopback. --commands and --system-command, where the client has them,
# turn its own commands off once more.
CLIENT = (
    'client=$(command -v mysql); known=$("$client" --no-defaults --help); '
    "options='--ssl-mode=DISABLED --get-server-public-key'; "
    "for name in commands system-command; do "
    'if grep -q -- "^  --$name " <<<"$known"; then options="$options --skip-$name"; fi; done; '
)


def restore(db: Box, instance: Instance, dump: bytes, progress: Any = None) -> None:
    shared.restore(db, instance, dump, progress, CLIENT, "mysqldump")
