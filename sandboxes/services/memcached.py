"""Memcached. Its image has no client: it is asked for its version over bash's own sockets."""

from bedev.sandboxes.services.service import Kind

SERVICE = Kind(
    name="memcached",
    title="Memcached",
    port=11211,
    command="exec memcached -l 127.0.0.1 -p 11211 -U 0 -m 64",
    ready=r"exec 3<>/dev/tcp/127.0.0.1/11211 && printf 'version\r\n' >&3 && read -r -t 5 said <&3 "
    "&& [[ $said == VERSION* ]]",
)
