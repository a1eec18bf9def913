"""Ownership on Docker objects: the labels `alma.*`, and notes for what must change without a replacement. Pure.

Labels of an object never change, so a rename, an adoption, a forgetting or a new lifecycle is written on an empty
volume, the note, whose labels name the object's uid and override its own. A newer note (higher number) overrides an
older one, so a note is never changed: the next one is created beside it, and the old one retired.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.blueprint.entry import OnDelete
from controller.plan.resource import Mark, MarkLifecycle, ResourceId

INSTALL = "alma.install"
SCOPE = "alma.scope"
RESOURCE = "alma.resource"
OP = "alma.op"
PROTECT = "alma.protect"
ON_DELETE = "alma.on_delete"
FIELDS = "alma.fields"
SECRETS = "alma.secrets"
IMAGE = "alma.image"
REFS = "alma.refs"
NOTE_OF = "alma.note.of"
NOTE_NUMBER = "alma.note.number"
NOTE_FORGOTTEN = "alma.note.forgotten"
NOTE_PREFIX = "alma-note-"
PREFIX = "alma."

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Note:
    """What a note says of one object: a mark that overrides its own, or that it is forgotten (`mark` None)."""

    name: str
    of: str
    number: int
    mark: Mark | None


def labels(mark: Mark) -> dict[str, str]:
    """The labels that say `mark`."""
    said = {
        INSTALL: mark.install,
        SCOPE: mark.scope,
        RESOURCE: mark.resource,
        OP: mark.op,
        FIELDS: json.dumps(sorted(mark.fields)),
    }
    if mark.secrets:
        said[SECRETS] = json.dumps(sorted(mark.secrets))
    if mark.lifecycle.protect:
        said[PROTECT] = "true"
    if mark.lifecycle.on_delete is not OnDelete.DESTROY:
        said[ON_DELETE] = mark.lifecycle.on_delete
    return said


def read(found: Labels | None, install: str) -> Mark | None:
    """The mark in `found`, or None when it is not whole or of another install: then the object is foreign (I16)."""
    found = found or {}
    if found.get(INSTALL) != install or not found.get(OP):
        return None
    scope, resource = found.get(SCOPE, ""), found.get(RESOURCE, "")
    try:
        if not scope or ResourceId.parse(resource).scope != scope:
            return None
        lifecycle = MarkLifecycle(found.get(PROTECT) == "true", OnDelete(found.get(ON_DELETE, OnDelete.DESTROY)))
        fields, secrets = _paths(found.get(FIELDS, "[]")), _paths(found.get(SECRETS, "[]"))
    except ValueError:
        return None
    return Mark(install, scope, resource, found[OP], lifecycle, fields, secrets)


def note_name(uid: str, number: int) -> str:
    """Name of the `number`-th note about `uid`; ours to choose, so a crash cannot lose it (I10)."""
    digest = hashlib.sha256(uid.encode()).hexdigest()[:16]
    return f"{NOTE_PREFIX}{digest}-{number}"


def note_labels(uid: str, number: int, mark: Mark | None, install: str, op: str) -> dict[str, str]:
    """Labels of a note; `mark` None says: forgotten."""
    said = labels(mark) if mark else {INSTALL: install, OP: op, NOTE_FORGOTTEN: "true"}
    return {**said, NOTE_OF: uid, NOTE_NUMBER: str(number)}


def is_note(name: str) -> bool:
    """True for the name of a note."""
    return name.startswith(NOTE_PREFIX)


def notes(volumes: Iterable[Mapping[str, object]], install: str) -> dict[str, Note]:
    """The newest note per uid among `volumes` (as the host lists them)."""
    newest: dict[str, Note] = {}
    for volume in volumes:
        note = _note(str(volume.get("Name")), volume.get("Labels"), install)
        if note and (note.of not in newest or newest[note.of].number < note.number):
            newest[note.of] = note
    return newest


def effective(found: Labels | None, uid: str, install: str, newest: Mapping[str, Note]) -> Mark | None:
    """The mark that counts for the object `uid`."""
    note = newest.get(uid)
    return note.mark if note else read(found, install)


def _note(name: str, found: object, install: str) -> Note | None:
    if not is_note(name) or not isinstance(found, Mapping) or found.get(INSTALL) != install:
        return None
    number = str(found.get(NOTE_NUMBER, ""))
    mark = read(found, install)
    if not number.isdigit() or not found.get(NOTE_OF) or (mark is None and found.get(NOTE_FORGOTTEN) != "true"):
        return None
    return Note(name, str(found[NOTE_OF]), int(number), mark)


def _paths(text: str) -> frozenset[str]:
    listed = json.loads(text)
    if not isinstance(listed, list):
        raise ValueError("not a list")
    return frozenset(str(p) for p in listed)
