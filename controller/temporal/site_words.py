"""PURE: what a controller asks of a worker beside a target, between runs, and what it hears: JSON, before it is sealed.

Only readings cross here. What changes a target is a leg of a run, and its worker reads that from the journal.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from controller.errors import AlmaError
from controller.plan.codec import from_json, to_json
from controller.plan.resource import Desired, Snapshot
from controller.plan.step import Effect
from engines.engine import Ask, Conflict, EngineError, Refused, TargetInfo, Transient, Unclear

SPOKEN = 1  # grows when an older worker would misunderstand
_ERRORS = {cls.__name__: cls for cls in (Transient, Conflict, Refused, Unclear)}
Json = Any


@dataclass(frozen=True, slots=True)
class About:
    """`Engine.about`."""


@dataclass(frozen=True, slots=True)
class Observe:
    """`Engine.observe`."""

    ask: Ask


@dataclass(frozen=True, slots=True)
class Preview:
    """`Engine.preview`. Hashes of secret values are the worker's to fill in: the values are there."""

    wanted: tuple[Desired, ...]
    seen: Snapshot
    scope: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """`Engine.sweep`."""

    seen: Snapshot
    scope: str


Question = About | Observe | Preview | Sweep
_QUESTIONS: dict[str, type[Question]] = {"about": About, "observe": Observe, "preview": Preview, "sweep": Sweep}
_NAME_OF = {cls: name for name, cls in _QUESTIONS.items()}


@dataclass(frozen=True, slots=True)
class Asked:
    """One question about one target, by a controller of `version`."""

    install: str
    target: str
    engine: str
    version: str
    question: Question


class NotUnderstood(AlmaError):
    """The other side is of a version whose words these are not."""


def question_said(asked: Asked) -> bytes:
    body = {
        "spoken": SPOKEN,
        "version": asked.version,
        "install": asked.install,
        "target": asked.target,
        "engine": asked.engine,
        "ask": _NAME_OF[type(asked.question)],
        "body": to_json(asked.question),
    }
    return zlib.compress(orjson.dumps(body))


def question_heard(said: bytes, version: str) -> Asked:
    """Raises NotUnderstood naming both versions (`version` is ours)."""
    body = orjson.loads(zlib.decompress(said))
    if body["spoken"] != SPOKEN or body["ask"] not in _QUESTIONS:
        raise NotUnderstood(
            f"the worker is alma {version}, which does not understand alma {body['version']};"
            " run the same version on both sides"
        )
    question = from_json(_QUESTIONS[body["ask"]], body["body"])
    return Asked(body["install"], body["target"], body["engine"], body["version"], question)


def answer_said(answer: TargetInfo | Snapshot | Sequence[Effect] | EngineError) -> bytes:
    if isinstance(answer, EngineError):
        wait_s = answer.retry_after_s if isinstance(answer, Transient) else None
        body: Json = {"error": type(answer).__name__, "text": str(answer), "retry_after_s": wait_s}
    else:
        body = {"body": to_json(answer)}
    return zlib.compress(orjson.dumps(body))


def info_heard(said: bytes) -> TargetInfo:
    """Raises the engine's error, where that was the answer; so do the other two."""
    return from_json(TargetInfo, _body(said))


def snapshot_heard(said: bytes) -> Snapshot:
    return from_json(Snapshot, _body(said))


def effects_heard(said: bytes) -> tuple[Effect, ...]:
    return tuple(from_json(Effect, effect) for effect in _body(said))


def _body(said: bytes) -> Json:
    answer = orjson.loads(zlib.decompress(said))
    if "error" not in answer:
        return answer["body"]
    if answer["error"] == Transient.__name__:
        raise Transient(answer["text"], answer["retry_after_s"])
    raise _ERRORS[answer["error"]](answer["text"])
