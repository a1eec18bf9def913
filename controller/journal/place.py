"""Where a journal lies, and the schema it has there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from controller.errors import InvalidInput

SCHEMA = "0002"  # that this code reads and writes: of the newest file in migrations/versions
_HINT = (
    "write sqlite:////var/lib/alma/alma.db (four slashes before an absolute path) or postgresql://user@host/database"
)
_SERVERS = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A SQLite file: one machine, one process."""

    path: Path


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """A PostgreSQL database: any number of processes. `url` may hold a password and is never shown (I26)."""

    url: str = field(repr=False)

    @property
    def password(self) -> str | None:
        """The one in the URL; the driver finds others by itself (`PGPASSWORD`, `~/.pgpass`)."""
        return urlsplit(self.url).password


Place: TypeAlias = FilePlace | ServerPlace


def place_of(url: str) -> Place:
    """What `journal:` names. Raises InvalidInput for what is neither, without repeating it."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise InvalidInput("journal: not a database URL", hint=_HINT)
    if scheme in _SERVERS:
        return _server(url)
    if scheme != "sqlite":
        raise InvalidInput("journal: neither SQLite nor PostgreSQL", hint=_HINT)
    return FilePlace(_file(rest))


def _server(url: str) -> ServerPlace:
    try:
        parts = urlsplit(url)
        named = parts.path.strip("/") and parts.port != 0
    except ValueError:
        named = False
    if "password=" in url:
        raise InvalidInput("journal: a password among the options", hint="write user:password@host, or set $PGPASSWORD")
    if not named:
        raise InvalidInput("journal: the PostgreSQL URL names no database", hint=_HINT)
    return ServerPlace(url)


def _file(rest: str) -> Path:
    """Options are refused: none of them could make the journal safer."""
    place, _, options = rest.partition("?")
    host, _, path = place.partition("/")
    if host or not path or path == ":memory:":
        raise InvalidInput("journal: the SQLite URL names no file", hint=_HINT)
    if options:
        raise InvalidInput("journal: options in a SQLite URL are not supported", hint=_HINT)
    return Path(path).absolute()
