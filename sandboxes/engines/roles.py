"""The three roles of every database server, and what every engine asks of their passwords and of images."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bedev.sandboxes.engines.engine import Role
from bedev.sandboxes.errors import UsageError

USERS: Mapping[Role, str] = {
    "admin": "bedev_admin",
    "application": "bedev_app",
    "reader": "bedev_reader",
}

# The names of Debian-like images that hold no server; everything else is expected to bring one.
BARE_IMAGES = ("debian", "ubuntu")


def is_bare(image: str) -> bool:
    """Whether the image is Debian or Ubuntu itself, by its name."""
    return image.rsplit("/", 1)[-1].split("@")[0].split(":")[0] in BARE_IMAGES


def check_passwords(passwords: Mapping[Role, str]) -> None:
    """Raises UsageError for one that is missing or could end the quotes of a statement."""
    for role in USERS:
        if not re.match(r"[A-Za-z0-9_.-]{8,128}\Z", passwords.get(role, "")):
            raise UsageError(
                f"The password of the database role {role!r} is missing or not made by bedev.",
                next_step="Passwords have 8 to 128 letters, digits, dots, _ and -.",
            )
