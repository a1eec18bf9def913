"""Changes behind ALMA's back, for demonstrations and tests: what a person with access to the platform might do.

Nothing here is reachable from a blueprint, a comment or the engine; the caller names the state file (I49).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from controller.blueprint.value import Value
from controller.plan.codec import to_json
from controller.plan.resource import ObjectKey, Part
from engines.simulation.model import is_active
from engines.simulation.world import World


async def tamper(world: World, key: ObjectKey, field: str, value: Value) -> None:
    """Give a field another value; None takes it away, and `running` switches the object. Raises KeyError if there is no
    such object, Transient if the platform cannot be written."""
    async with world.writing() as data:
        record = data["objects"][str(key)]
        if field == "running":
            record["running"] = value
        elif value is None:
            record["fields"].pop(field, None)
        else:
            record["fields"][field] = to_json(value)
        record["version"] += 1
        world.save(data)


async def remove(world: World, key: ObjectKey) -> None:
    """Take an object away. Raises KeyError if it is not there, Transient if the platform cannot be written."""
    async with world.writing() as data:
        del data["objects"][str(key)]
        world.save(data)


async def place(world: World, key: ObjectKey, fields: Mapping[str, Value]) -> str:
    """Put an object of nobody under `key`, in the place of whatever was there; its uid. Raises Transient."""
    async with world.writing() as data:
        serial = f"{data['serial']}:{key}"
        uid = f"hand-{hashlib.sha256(serial.encode()).hexdigest()[:12]}"
        data["objects"][str(key)] = {
            "kind": key.kind,
            "name": key.name,
            "uid": uid,
            "version": 1,
            "part": Part.CURRENT.value,
            "running": True if is_active(key.kind) else None,
            "fields": {path: to_json(value) for path, value in fields.items()},
            "pending": {},
            "mark": None,
            "task": None,
            "checks": 0,
            "broken": False,
        }
        world.save(data)
    return uid
