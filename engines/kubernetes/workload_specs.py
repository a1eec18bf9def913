"""What `specs` of the mapped types may hold on a cluster, in the words the other engines use too. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from controller.blueprint import units
from controller.blueprint.value import Output, Secret, Text, Value

_PORT = re.compile(r"(?:(\d{1,5}):)?(\d{1,5})(?:/(tcp|udp|sctp))?")
_MOUNT = re.compile(r"([a-z0-9][-a-z0-9]*(?:/[a-z0-9][-a-z0-9]*)?):(/[^:]*)(?::(ro|rw))?")
_NAME = r"^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$"
_QUANTITY = re.compile(r"[0-9]+[KMGT]i")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


@dataclass(frozen=True, slots=True)
class Port:
    """`port` of the Service, `inner` of the container."""

    port: int
    inner: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class Mount:
    """A claim, by its resource's name or its own, and where it is mounted."""

    claim: str
    path: str
    read_only: bool = False


class Strict(BaseModel):
    """Unknown keys are errors; what was read never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def _ports(value: object) -> tuple[Port, ...]:
    listed = value if isinstance(value, list | tuple) else (value,)
    return tuple(_port(str(one)) for one in listed)


def _port(text: str) -> Port:
    found = _PORT.fullmatch(text)
    if not found or not all(0 < int(n) < 65536 for n in found.groups()[:2] if n):
        raise ValueError(f"{text[:40]!r} is no port; write 80, 8080:80 or 53:53/udp (Service:container)")
    inner = int(found[2])
    return Port(int(found[1] or inner), inner, (found[3] or "tcp").upper())


def _mounts(value: object) -> tuple[Mount, ...]:
    return tuple(_mount(str(one)) for one in value) if isinstance(value, list | tuple) else (_mount(str(value)),)


def _mount(text: str) -> Mount:
    found = _MOUNT.fullmatch(text)
    if not found:
        raise ValueError(f"{text[:80]!r} is no mount; write NAME:/path or NAME:/path:ro, NAME being a storage resource")
    return Mount(found[1], found[2], found[3] == "ro")


def _words(value: object) -> tuple[Value, ...]:
    """A list of words, or a line split as a shell would (no shell runs it, I39)."""
    if isinstance(value, str):
        return tuple(shlex.split(value))
    if isinstance(value, list | tuple):
        return tuple(_text(v) for v in value)
    raise ValueError("write a list of words or one line")


def _environment(value: object) -> dict[str, Value]:
    if isinstance(value, list | tuple):
        value = dict(str(one).split("=", 1) for one in value if "=" in str(one))
    if not isinstance(value, Mapping):
        raise ValueError("write NAME: value, or a list of NAME=value")
    for name in value:
        if not _ENV_NAME.fullmatch(str(name)):
            raise ValueError(f"{str(name)[:40]!r} is no name of a variable")
    return {str(k): _text(v) for k, v in value.items()}


def _text(value: object) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, str | Secret | Output | Text):
        return value
    raise ValueError("write text, a number or true/false here")


def _files(value: object) -> dict[str, Value]:
    """Path in the container → content."""
    if not isinstance(value, Mapping) or not all(str(path).startswith("/") for path in value):
        raise ValueError("write /path: content")
    return {str(k): _text(v) for k, v in value.items()}


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("write key: value")
    return {str(k): str(_text(v)) for k, v in value.items()}


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, Mapping | list | tuple):
        return tuple(str(v) for v in value)
    return (str(value),)


def _size_bytes(value: object) -> int:
    """`64MiB`, and `64Mi` as Kubernetes writes it."""
    quantity = isinstance(value, str) and _QUANTITY.fullmatch(value)
    return units.size_bytes(f"{value}B" if quantity else value)


Size = Annotated[int, BeforeValidator(_size_bytes)]
Cores = Annotated[int, BeforeValidator(units.cpu_millicores)]


class IngressSpec(Strict):
    """What is reached from outside the cluster, under which name."""

    host: str = Field(pattern=r"^[a-z0-9*][-a-z0-9.]*$")
    path: str = "/"
    ingress_class: str | None = Field(default=None, alias="class")
    tls_secret: str | None = None


class WorkloadSpecs(Strict):
    """`specs` of compute, service, container and database."""

    name: str | None = Field(default=None, pattern=_NAME)
    namespace: str | None = None
    image: str = Field(pattern=r"^[a-z0-9][\x21-\x7e]{0,511}$")
    entrypoint: Annotated[tuple[Any, ...], BeforeValidator(_words)] = ()
    command: Annotated[tuple[Any, ...], BeforeValidator(_words)] = ()
    env: Annotated[dict[str, Any], BeforeValidator(_environment)] = Field(default_factory=dict)
    ports: Annotated[tuple[Port, ...], BeforeValidator(_ports)] = ()
    replicas: int = Field(default=1, ge=0, le=1000)
    cpu: Cores | None = None
    memory: Size | None = None
    storage: Size | None = None
    path: str | None = Field(default=None, pattern=r"^/[^:]*$")
    storage_class: str | None = None
    volumes: Annotated[tuple[Mount, ...], BeforeValidator(_mounts)] = ()
    files: Annotated[dict[str, Any], BeforeValidator(_files)] = Field(default_factory=dict)
    networks: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    labels: Annotated[dict[str, str], BeforeValidator(_texts)] = Field(default_factory=dict)
    user: int | None = Field(default=None, ge=1)
    read_only: bool = False
    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    ingress: IngressSpec | None = None
    service_account: str | None = None


class StorageSpecs(Strict):
    """`specs` of storage and volume: a claim."""

    name: str | None = Field(default=None, pattern=_NAME)
    namespace: str | None = None
    size: Size | None = None
    storage: Size | None = None
    storage_class: str | None = None
    access: Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"] = "ReadWriteOnce"


class NetworkSpecs(Strict):
    """`specs` of network: Pods that name it reach each other; from elsewhere only `allow_from` (namespaces)."""

    name: str | None = Field(default=None, pattern=_NAME)
    namespace: str | None = None
    allow_from: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    internal: bool = False
