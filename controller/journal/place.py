"""Where a journal lies, and the schema it has there."""

from __future__ import annotations

from pathlib import Path

from controller.errors import InvalidInput

SCHEMA = "0001"  # that this code reads and writes: of the newest file in migrations/versions
_HINT = "write sqlite:////var/lib/alma/alma.db (four slashes before an absolute path)"


def database_path(url: str) -> Path:
    """The file behind `sqlite:////absolute/path`. Raises InvalidInput for any other URL, and for options in it:
    none of them could make the journal safer."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise InvalidInput("journal: not a database URL", hint=_HINT)
    place, _, options = rest.partition("?")
    host, _, path = place.partition("/")
    if scheme != "sqlite" or host or not path or path == ":memory:":
        raise InvalidInput("journal: only a SQLite file is supported", hint=_HINT)
    if options:
        raise InvalidInput("journal: options in the URL are not supported", hint=_HINT)
    return Path(path).absolute()
