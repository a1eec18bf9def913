"""Volumes: specs, fields ⇄ the body Docker takes and the inspect it gives. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from controller.blueprint.value import Value
from controller.plan.resource import Claim, ClaimKind, Fields
from engines.docker import marks
from engines.docker.container_specs import Size, Strict, Strings

KIND = "docker/volume"


class VolumeSpecs(Strict):
    """`specs` of a volume or storage on a Docker host. A size is counted against the host's disk; Docker's own local
    volumes have no quota."""

    name: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$")
    external: bool = False
    driver: str = "local"
    driver_opts: Strings = Field(default_factory=dict)
    labels: Strings = Field(default_factory=dict)
    size: Size | None = None
    storage: Size | None = None
    disk: Size | None = None

    @property
    def size_bytes(self) -> int:
        """What is expected to lie here, 0 where nothing is said."""
        return self.size or self.storage or self.disk or 0


def wanted(specs: VolumeSpecs) -> dict[str, Value]:
    """Fields of a volume."""
    fields: dict[str, Value] = {"driver": specs.driver}
    fields |= {f"driver_opts.{k}": v for k, v in specs.driver_opts.items()}
    return fields | {f"labels.{k}": v for k, v in specs.labels.items()}


def body(fields: Fields, name: str) -> dict[str, Any]:
    """What `POST /volumes/create` takes."""
    return {
        "Name": name,
        "Driver": fields["driver"],
        "DriverOpts": _below(fields, "driver_opts"),
        "Labels": _below(fields, "labels"),
    }


def live(found: Mapping[str, Any]) -> dict[str, Value]:
    """Fields of a listed volume."""
    fields: dict[str, Value] = {"driver": found.get("Driver")}
    fields |= {f"driver_opts.{k}": v for k, v in (found.get("Options") or {}).items()}
    labels = found.get("Labels") or {}
    return fields | {f"labels.{k}": v for k, v in labels.items() if not k.startswith(marks.PREFIX)}


def uid(found: Mapping[str, Any]) -> str:
    """Name and the op that made it: one made again under the same name is another one. The host's own time of
    creation is none: it moves when something is written into the volume."""
    return f"{found.get('Name')}@{(found.get('Labels') or {}).get(marks.OP, '')}"


def claims(name: str, size_bytes: int) -> frozenset[Claim]:
    """The name, and the space it is meant to take."""
    space = {Claim(ClaimKind.DISK, "disk", amount=size_bytes)} if size_bytes else set()
    return frozenset({Claim(ClaimKind.NAME, f"volume/{name}"), *space})


def _below(fields: Fields, prefix: str) -> dict[str, Value]:
    return {k.removeprefix(f"{prefix}."): v for k, v in fields.items() if k.startswith(f"{prefix}.")}
