"""How the journal fails. Above it these are the only errors it raises, and none carries a row's text."""

from __future__ import annotations

import sqlite3

from controller.errors import AlmaError

_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_FORMAT")


class JournalDamaged(AlmaError):
    """What is stored is not what was written. Mutation stops until a person has looked (I24). `seq` is the damaged
    record's number, None where no single record can be named."""

    def __init__(self, what: str, seq: int | None = None) -> None:
        where = f"record {seq}: " if seq is not None else ""
        super().__init__(
            f"journal is damaged: {where}{what}",
            hint="run `alma journal verify` for every damaged place, then restore the database from a backup",
        )
        self.what, self.seq = what, seq


class JournalUnavailable(AlmaError):
    """The journal cannot be written or read now (disk full, I/O error, locked). Nothing was half done: what was not
    acknowledged may be sent again."""

    def __init__(self, what: str, *, hint: str = "free space or mend the disk; the next write tries again") -> None:
        super().__init__(f"journal is unavailable: {what}", hint=hint)


class JournalTooNew(AlmaError):
    """A newer version wrote this journal; this one cannot read it (I25)."""

    def __init__(self, found: str, known: str) -> None:
        super().__init__(
            f"journal has schema {found}, this version knows up to {known}",
            hint="start the version that wrote it, or a newer one; nothing was changed",
        )


class StaleStream(AlmaError):
    """Somebody wrote to the stream since it was read. Read it again, then decide again."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(f"stream {stream} is at version {actual}, not {expected}", hint="read it again")
        self.stream, self.expected, self.actual = stream, expected, actual


def explained(error: BaseException | None) -> AlmaError:
    """The driver's error in our words. Its own text is dropped: it may quote a row."""
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    if name.startswith(_DAMAGE) or _unreadable(error, name):
        return JournalDamaged(f"the database reports {name}")
    return JournalUnavailable(f"the database reports {name}")


def _unreadable(error: BaseException | None, name: str) -> bool:
    """Text that is no UTF-8, or a table that is gone: the driver reports both without a code of their own."""
    if not isinstance(error, sqlite3.Error):
        return False
    text = str(error)
    return text.startswith("Could not decode") or (name == "SQLITE_ERROR" and "no such" in text)
