"""Alembic, started from code: no ini file, no connection of its own."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest version, in the transaction that `connection` is in."""
    command.upgrade(config_of(connection), "head")


def config_of(connection: Connection) -> Config:
    """For Alembic's own commands."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
