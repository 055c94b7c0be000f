"""Valkey: in memory alone, on Redis's port, as its clients expect."""

from bedev.sandboxes.services.service import Kind

SERVICE = Kind(
    name="valkey",
    title="Valkey",
    port=6379,
    command='exec valkey-server --bind 127.0.0.1 --port 6379 --dir /tmp --save "" --appendonly no',
    ready='[ "$(valkey-cli -h 127.0.0.1 ping)" = PONG ]',
)
