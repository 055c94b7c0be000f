"""RabbitMQ: one node without plugins, with the user `guest` that it makes by itself."""

from bedev.sandboxes.services.service import Kind

PATHS = "/opt/rabbitmq/sbin:/usr/lib/rabbitmq/bin"
"""Where the official image and Debian's package have its programs."""

SERVICE = Kind(
    name="rabbitmq",
    title="RabbitMQ",
    port=5672,
    command=f'PATH="{PATHS}:$PATH" exec rabbitmq-server',
    # Erlang's helper has a session of its own, so that it would end with any command that is run beside it.
    # The port is opened last.
    ready="",
    environment={
        "HOME": "/tmp",
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": "/tmp/rabbitmq",
        "RABBITMQ_DATA_DIR": "/tmp/rabbitmq",
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_LOG_BASE": "/tmp",
        "RABBITMQ_PID_FILE": "/tmp/rabbitmq.pid",
        "RABBITMQ_ENABLED_PLUGINS_FILE": "/tmp/rabbitmq-plugins",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    },
)
