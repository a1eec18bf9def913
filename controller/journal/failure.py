"""How the journal fails. Above it these are the only errors it raises, and none carries a row's text."""

from __future__ import annotations

import sqlite3

from controller.errors import AlmaError

_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_FORMAT")

# Corrupted data and indexes, a broken constraint, a table or column that is gone, text that is not UTF-8.
_PG_DAMAGE = ("XX", "23", "42P01", "42703", "22021")
_PG_HINTS = {
    "28": "the database refuses the login: check user and password in `journal:` or $PGPASSWORD",
    "3D": "make the database first: createdb --encoding UTF8 --template template0 NAME",
    "42501": "the login may not do that: make it the owner of the database",
    "53": "PostgreSQL lacks connections, memory or disk: mend that; the next write tries again",
    "55P03": "another controller holds the journal's lock for too long; the next write tries again",
}


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


class Evicted(AlmaError):
    """Others took this process for dead and may hold what it held: it writes nothing more and begins anew (I14)."""

    def __init__(self) -> None:
        super().__init__(
            "this process was silent for longer than its lease and was taken for dead: its scopes may be another's",
            hint="nothing was written; it registers anew and goes on with what is free",
        )


class NotHeld(AlmaError):
    """The lease under which this was to be written is another's by now, or has another epoch: nothing was written
    (I14)."""

    def __init__(self, unit: str) -> None:
        super().__init__(
            f"{unit} is not held any more as it was when this work was given out",
            hint="nothing was written; who holds it now goes on",
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


def of_sqlstate(state: str | None, name: str) -> AlmaError:
    """PostgreSQL's error in our words, by its SQLSTATE (its Appendix A); None where the driver has none."""
    text = f"the database reports {name}"
    if state is None:
        return JournalUnavailable(
            text, hint="is PostgreSQL running, and is `journal:` right? the next write tries again"
        )
    if state.startswith(_PG_DAMAGE):
        return JournalDamaged(text)
    hint = next((hint for start, hint in _PG_HINTS.items() if state.startswith(start)), "the next write tries again")
    return JournalUnavailable(text, hint=hint)


def _unreadable(error: BaseException | None, name: str) -> bool:
    """Text that is no UTF-8, or a table that is gone: the driver reports both without a code of their own."""
    if not isinstance(error, sqlite3.Error):
        return False
    text = str(error)
    return text.startswith("Could not decode") or (name == "SQLITE_ERROR" and "no such" in text)
