"""PURE: what a workflow and its activities say to each other; plain JSON in the history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.plan.codec import from_json, to_json
from controller.runtime.run import EVENTS, KIND_OF, Event, Leg, LegKind
from controller.temporal.outline import outlined

Json = Any


@dataclass(frozen=True, slots=True)
class Order:
    """What a workflow is started with: a run that the journal knows."""

    run: str
    in_flight: int  # legs at once
    heartbeat_s: float  # an activity that is silent for so long has lost its worker
    cancel: str | None = None  # asked for before this history began
    queues: dict[str, str] = field(default_factory=dict)  # target that a worker beside it reaches → its task queue


@dataclass(frozen=True, slots=True)
class Held:
    """The lease of the run's scope, as its holder told of it: a worker writes nothing once it is another (I14)."""

    scope: str
    controller: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Request:
    """One activity. `seen` counts the events the workflow knows; `leg` and `by` are for those that need one, `held` for
    those that a worker beside a target carries out."""

    run: str
    seen: int
    leg: tuple[str, int] | None = None
    by: str = ""
    held: Held | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What the journal holds of the run after the first `start` events; `newer` is a run that takes over."""

    start: int
    events: tuple[dict[str, Json], ...]
    newer: str | None = None
    held: Held | None = None


def leg_said(leg: Leg) -> tuple[str, int]:
    return leg.kind.value, leg.work


def leg_heard(said: tuple[str, int]) -> Leg:
    return Leg(LegKind(said[0]), said[1])


def events_said(events: Iterable[Event]) -> tuple[dict[str, Json], ...]:
    """Outlined: a history holds nothing of what the events carry for engines."""
    return tuple({"kind": KIND_OF[type(e)], "body": to_json(outlined(e))} for e in events)


def event_heard(said: Mapping[str, Json]) -> Event:
    """Raises KeyError for a kind that this version does not know."""
    event: Event = from_json(EVENTS[said["kind"]], said["body"])
    return event
