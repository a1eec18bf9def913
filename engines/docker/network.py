"""Networks: specs, fields ⇄ the body Docker takes and the inspect it gives. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from controller.blueprint.value import Value
from controller.plan.resource import Claim, ClaimKind, Fields
from engines.docker import marks, shorthand
from engines.docker.container_specs import Strict, Strings

KIND = "docker/network"


def _subnet(value: object) -> str:
    return str(ip_network(str(value)))


def _address(value: object) -> str:
    return str(ip_address(str(value)))


class Ipam(Strict):
    subnet: Annotated[str, BeforeValidator(_subnet)] | None = None
    gateway: Annotated[str, BeforeValidator(_address)] | None = None
    ip_range: Annotated[str, BeforeValidator(_subnet)] | None = None
    driver: str = "default"


class NetworkSpecs(Strict):
    """`specs` of a network on a Docker host."""

    name: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$")
    external: bool = False
    driver: str = "bridge"
    driver_opts: Strings = Field(default_factory=dict)
    internal: bool = False
    attachable: bool = False
    enable_ipv6: bool = False
    subnet: Annotated[str, BeforeValidator(_subnet)] | None = None
    gateway: Annotated[str, BeforeValidator(_address)] | None = None
    ipam: Ipam = Ipam()
    labels: Strings = Field(default_factory=dict)


def wanted(specs: NetworkSpecs) -> dict[str, Value]:
    """Fields of a network."""
    fields: dict[str, Value] = {
        "driver": specs.driver,
        "internal": specs.internal,
        "attachable": specs.attachable,
        "enable_ipv6": specs.enable_ipv6,
    }
    pool = {
        "subnet": specs.subnet or specs.ipam.subnet,
        "gateway": specs.gateway or specs.ipam.gateway,
        "ip_range": specs.ipam.ip_range,
    }
    fields |= {f"ipam.{k}": v for k, v in pool.items() if v}
    fields |= {f"driver_opts.{k}": v for k, v in specs.driver_opts.items()}
    if specs.ipam.driver != "default":
        fields["ipam.driver"] = specs.ipam.driver
    return fields | {f"labels.{k}": v for k, v in specs.labels.items()}


def body(fields: Fields, name: str) -> dict[str, Any]:
    """What `POST /networks/create` takes."""
    pool = {"Subnet": "ipam.subnet", "Gateway": "ipam.gateway", "IPRange": "ipam.ip_range"}
    config = {key: fields[path] for key, path in pool.items() if path in fields}
    return {
        "Name": name,
        "Driver": fields["driver"],
        "Internal": fields["internal"],
        "Attachable": fields["attachable"],
        "EnableIPv6": fields["enable_ipv6"],
        "IPAM": {"Driver": fields.get("ipam.driver", "default"), **({"Config": [config]} if config else {})},
        "Options": _below(fields, "driver_opts"),
        "Labels": _below(fields, "labels"),
    }


def live(found: Mapping[str, Any]) -> dict[str, Value]:
    """Fields of a listed network."""
    ipam = found.get("IPAM") or {}
    config = (ipam.get("Config") or [{}])[0]
    fields: dict[str, Value] = {
        "driver": found.get("Driver"),
        "internal": bool(found.get("Internal")),
        "attachable": bool(found.get("Attachable")),
        "enable_ipv6": bool(found.get("EnableIPv6")),
        "ipam.driver": ipam.get("Driver"),
    }
    pool = {"ipam.subnet": "Subnet", "ipam.gateway": "Gateway", "ipam.ip_range": "IPRange"}
    fields |= {path: config[key] for path, key in pool.items() if config.get(key)}
    fields |= {f"driver_opts.{k}": v for k, v in (found.get("Options") or {}).items()}
    labels = found.get("Labels") or {}
    return fields | {f"labels.{k}": v for k, v in labels.items() if not k.startswith(marks.PREFIX)}


def outputs(found: Mapping[str, Any]) -> dict[str, Value]:
    """What other resources may refer to."""
    config = ((found.get("IPAM") or {}).get("Config") or [{}])[0]
    known = {"id": found.get("Id"), "name": found.get("Name"), "subnet": config.get("Subnet")}
    return {k: v for k, v in known.items() if v} | ({"gateway": g} if (g := config.get("Gateway")) else {})


def claims(name: str, fields: Fields) -> frozenset[Claim]:
    """The name, and the subnet where one was chosen."""
    subnet = fields.get("ipam.subnet")
    chosen = {Claim(ClaimKind.ADDRESS, str(subnet))} if subnet else set()
    return frozenset({Claim(ClaimKind.NAME, f"network/{name}"), *chosen})


def _below(fields: Fields, prefix: str) -> dict[str, Value]:
    return {k.removeprefix(f"{prefix}."): shorthand.text(v) for k, v in fields.items() if k.startswith(f"{prefix}.")}
