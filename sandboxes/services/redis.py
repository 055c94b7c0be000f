"""Redis: in memory alone, so that nothing of one pod is seen in another."""

from bedev.sandboxes.services.service import Kind

SERVICE = Kind(
    name="redis",
    title="Redis",
    port=6379,
    command='exec redis-server --bind 127.0.0.1 --port 6379 --dir /tmp --save "" --appendonly no',
    ready='[ "$(redis-cli -h 127.0.0.1 ping)" = PONG ]',
)
