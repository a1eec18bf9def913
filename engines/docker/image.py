"""Images: references, digests, and which one a container is made from. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from controller.blueprint.value import Value
from controller.plan.resource import Claim, ClaimKind
from engines.docker.container_specs import Strict

KIND = "docker/image"
DOCKER_HUB = "docker.io"
_REFERENCE = re.compile(
    r"(?P<name>[a-z0-9][a-zA-Z0-9._/:-]*?)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
# Products a blueprint may name instead of an image (`engine: postgresql`), as their publishers call them.
PRODUCTS: Mapping[str, str] = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "mysql": "mysql",
    "mariadb": "mariadb",
    "mongodb": "mongo",
    "redis": "redis",
    "memcached": "memcached",
    "rabbitmq": "rabbitmq",
    "nginx": "nginx",
    "httpd": "httpd",
    "apache": "httpd",
    "caddy": "caddy",
    "traefik": "traefik",
    "haproxy": "haproxy",
    "grafana": "grafana/grafana",
    "prometheus": "prom/prometheus",
    "influxdb": "influxdb",
    "elasticsearch": "elasticsearch",
    "vault": "hashicorp/vault",
    "minio": "minio/minio",
}


class ImageSpecs(Strict):
    """`specs` of an image that shall lie on the host before anything needs it."""

    image: str = Field(pattern=r"^[a-z0-9][\x21-\x7e]{0,511}$")


def parts(reference: str) -> tuple[str, str, str | None]:
    """(name, tag, digest) of `NAME[:TAG][@DIGEST]`; the tag is `latest` where neither is written. Raises ValueError."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise ValueError(f"{reference!r} is no image; write NAME:TAG or NAME:TAG@sha256:…")
    name, tag = found["name"], found["tag"]
    # `localhost:5000` alone: what looks like a tag is a port.
    if tag and "/" not in reference and name in ("localhost",):
        raise ValueError(f"{reference!r} names a registry but no image")
    return name, tag or "latest", found["digest"]


def registry(reference: str) -> str:
    """Host of the registry that `reference` is pulled from."""
    first, slash, _ = reference.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else DOCKER_HUB


def pinned(reference: str, digest: str) -> str:
    """`NAME@sha256:…`: what is pulled and created from."""
    return f"{parts(reference)[0]}@{digest}"


def tagged(reference: str) -> str:
    """`NAME:TAG`, the tag written out."""
    name, tag, _ = parts(reference)
    return f"{name}:{tag}"


def digest_in(repo_digests: object, reference: str) -> str | None:
    """The registry digest an inspected local image has under the name of `reference`."""
    name = _familiar(parts(reference)[0])
    for one in repo_digests if isinstance(repo_digests, list) else ():
        where, _, digest = str(one).partition("@")
        if _familiar(where) == name:
            return digest
    return None


def _familiar(name: str) -> str:
    return name.removeprefix("docker.io/").removeprefix("library/")


def login_header(reference: str, registries: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """The header that carries the login of the reference's registry, where there is one."""
    host = registry(reference)
    if host not in registries:
        return {}
    user, password = registries[host]
    login = json.dumps({"username": user, "password": password, "serveraddress": host})
    return {"X-Registry-Auth": base64.urlsafe_b64encode(login.encode()).decode()}


def live(found: Mapping[str, Any], reference: str) -> dict[str, Value]:
    """Fields of an inspected image."""
    return {"image": reference, "digest": digest_in(found.get("RepoDigests"), reference) or found.get("Id")}


def claims(reference: str) -> frozenset[Claim]:
    """An image is shared by all that use it."""
    return frozenset({Claim(ClaimKind.NAME, f"image/{reference}", shared=True)})
