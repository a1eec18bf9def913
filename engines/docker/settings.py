"""The configuration of a Docker target: where the host is and how to get in. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from controller.blueprint.names import did_you_mean
from controller.errors import InvalidInput
from engines.docker.client import Address

SCHEMES: Mapping[str, str] = {
    "url": "unix:///var/run/docker.sock or tcp://HOST:2376 (default: the local socket)",
    "ca": "path of the CA certificate, with tcp://",
    "cert": "path of the client certificate",
    "key": "path of the client key",
    "address": "host name or address under which published ports are reached (default: taken from url)",
}
_COMMON = frozenset({"engine", "read_only"})
DEFAULT_URL = "unix:///var/run/docker.sock"


def address(target: str, config: Mapping[str, object]) -> Address:
    """Raises InvalidInput naming the key that is wrong."""
    for key in config:
        if key not in SCHEMES and key not in _COMMON:
            raise InvalidInput(f"targets.{target}.{key}: unknown key{did_you_mean(key, SCHEMES)}")
    url = str(config.get("url") or DEFAULT_URL)
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path.startswith("/"):
        return Address(url, str(config.get("address") or "127.0.0.1"), local=True)
    if parts.scheme != "tcp" or not parts.hostname:
        raise InvalidInput(
            f"targets.{target}.url: {url.partition('@')[2] or url} is no Docker address;"
            " write unix:///var/run/docker.sock or tcp://HOST:2376"
        )
    return Address(url, str(config.get("address") or parts.hostname), local=False, tls=_tls(target, config))


def _tls(target: str, config: Mapping[str, object]) -> tuple[str, str, str] | None:
    given = [str(config.get(k) or "") for k in ("ca", "cert", "key")]
    if not any(given):
        return None
    if not all(given):
        raise InvalidInput(f"targets.{target}: TLS needs all of ca, cert and key")
    return given[0], given[1], given[2]
