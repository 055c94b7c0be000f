"""MySQL passes the engines' contract, and counts what its modules say that it counts."""

from __future__ import annotations

from typing import ClassVar

import pytest

from .contract import EngineContract


@pytest.mark.docker
class TestMySQL(EngineContract):
    engine_name: ClassVar[str] = "mysql"
    image: ClassVar[str] = "mysql:9.7"
    app_packages: ClassVar[tuple[str, ...]] = ("python3-cryptography", "python3-pymysql")
    optional_image: ClassVar[bool] = True
