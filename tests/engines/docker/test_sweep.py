"""What a Docker host's leftovers become, from what was seen alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from controller.blueprint.value import Value
from controller.plan.resource import Mark, Seen, Snapshot
from controller.plan.step import Action, Effect
from engines.docker import container, observe
from engines.docker.sweep import sweep
from tests.engines.docker.driving import INSTALL, SCOPE, key

NONE: Mapping[str, Value] = {}
WRITES: Mapping[str, Value] = {"mounts./data": "volume:data"}
READS: Mapping[str, Value] = {"mounts./data": "volume:data:ro"}
PUBLISHES: Mapping[str, Value] = {"ports.80/tcp": ("0.0.0.0:8080",)}


def seen(name: str, resource: str = "web", running: Value = False, fields: Mapping[str, Value] = NONE) -> Seen:
    mark = Mark(INSTALL, SCOPE, f"{SCOPE}/shop/{resource}", "op")
    held: dict[str, Value] = {"running": running, "restart": "always", "stop_grace_s": 5, **fields}
    claims = container.claims(held, name, holds=running is True)
    return Seen(key(name), f"id-{name}", None, mark, observe.part_of(name, mark), claims, held)


def swept(*objects: Seen) -> tuple[Effect, ...]:
    return sweep(Snapshot(objects), SCOPE, INSTALL)


def calls(effect: Effect) -> list[Value]:
    return [s.request["call"] for s in effect.steps]


def test_a_staged_container_that_runs_is_stopped_before_it_is_removed() -> None:
    (effect,) = swept(seen("web.run1.new", running=True))
    assert calls(effect) == ["container.update", "container.stop", "container.remove"]
    (effect,) = swept(seen("web.run1.new"))
    assert calls(effect) == ["container.remove"]


def test_a_kept_container_gets_its_name_back_and_starts_even_where_it_had_ended_well() -> None:
    """The run took its restart policy away and stopped it, so it looks like a job that is over."""
    (effect,) = swept(seen("web.run1.old", running="finished"))
    assert (effect.action, effect.key, effect.uid) == (Action.CREATE, key("web"), "id-web.run1.old")
    assert calls(effect) == ["container.rename", "container.start"]


@pytest.mark.parametrize(("kept", "other"), [(WRITES, WRITES), (PUBLISHES, PUBLISHES)], ids=["volume", "port"])
def test_a_kept_container_stays_where_what_it_needs_is_in_use(
    kept: Mapping[str, Value], other: Mapping[str, Value]
) -> None:
    """After a rename the other may be what this one became; two writers would spoil the data."""
    (effect,) = swept(seen("web.run1.old", fields=kept), seen("shop", "shop", True, other))
    assert not effect.steps
    assert "in use by shop" in effect.reason


def test_a_kept_container_comes_back_beside_one_that_only_reads_its_data() -> None:
    (effect,) = swept(seen("web.run1.old", fields=WRITES), seen("shop", "shop", True, READS))
    assert effect.steps


def test_a_host_without_parts_has_nothing_to_sweep() -> None:
    assert swept(seen("web", running=True), seen("shop", "shop", running=True)) == ()
