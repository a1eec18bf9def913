"""The configuration of a Proxmox VE target: where it is, how to get in, and what of it blueprints may use. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from controller.blueprint import units
from controller.blueprint.names import did_you_mean
from controller.errors import InvalidInput

SCHEMES: Mapping[str, str] = {
    "url": "https://HOST:8006, any node of the cluster",
    "token": "USER@REALM!TOKENID=SECRET, best as a reference such as env:PVE_TOKEN",
    "ca": "path of the CA certificate that signed the node's (/etc/pve/pve-root-ca.pem)",
    "fingerprint": "SHA-256 of the node's certificate, instead of ca",
    "vmids": "range from which new guests get their id (default 5000-5999)",
    "node": "node for new guests (default: the first that is online)",
    "storage": "storage for new disks that name none",
    "bridge": "bridge for network cards that name none (default vmbr0)",
    "nodes": "nodes that blueprints may name (default: all this token sees)",
    "storages": "storages that blueprints may name (default: all this token sees)",
    "bridges": "bridges that blueprints may name (default: all this token may use)",
    "pools": "pools that blueprints may name (default: all this token sees)",
    "templates": "vmids outside the range above that may be cloned (default: none)",
    "full_pass": "how old a guest's configuration may be before it is read again (default 10m, 0s: always)",
}
_COMMON = frozenset({"engine", "read_only"})
_TOKEN = re.compile(r"(?P<user>[^\s!=]+@[^\s!=]+)!(?P<name>[A-Za-z][\w.-]+)=(?P<secret>\S+)")
_RANGE = re.compile(r"(\d{3,9})-(\d{3,9})")
_FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{2}:?){32}")
PORT = 8006


@dataclass(frozen=True, slots=True)
class Settings:
    """One target. An empty list of names means: everything the token sees."""

    host: str
    port: int
    user: str
    token_name: str
    secret: str = field(repr=False)
    ca: str | None = None
    fingerprint: str | None = None
    vmids: tuple[int, int] = (5000, 5999)
    node: str | None = None
    storage: str | None = None
    bridge: str = "vmbr0"
    nodes: tuple[str, ...] = ()
    storages: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    templates: tuple[int, ...] = ()
    full_pass_s: int = 600

    def tasks_url(self, node: str) -> str:
        """The task view of a node in the web interface: the state that its address holds after `#` (`StateProvider.js`
        of pve-manager) is version, view, resource, log panel and tab; 4 stands for `tasks`."""
        return f"https://{self.host}:{self.port}/#v1:0:=node%2F{quote(node, safe='')}:4:4::::::"

    @property
    def login(self) -> str:
        """As task lists name us."""
        return f"{self.user}!{self.token_name}"

    def owns_vmid(self, vmid: int) -> bool:
        """True for ids that new guests may get."""
        return self.vmids[0] <= vmid <= self.vmids[1]


def settings(target: str, config: Mapping[str, object]) -> Settings:
    """Raises InvalidInput naming the key that is wrong."""
    for key in config:
        if key not in SCHEMES and key not in _COMMON:
            raise _wrong(target, key, f"unknown key{did_you_mean(key, SCHEMES)}")
    url = urlsplit(str(config.get("url") or ""))
    if url.scheme != "https" or not url.hostname or url.path not in ("", "/") or url.username:
        raise _wrong(target, "url", "write https://HOST:8006")
    token = _TOKEN.fullmatch(str(config.get("token") or ""))
    if token is None:
        raise _wrong(target, "token", "write USER@REALM!TOKENID=SECRET, or env:NAME that holds it")
    return Settings(
        host=url.hostname,
        port=_port(target, str(config.get("url"))),
        user=token["user"],
        token_name=token["name"],
        secret=token["secret"],
        ca=_text(config, "ca"),
        fingerprint=_fingerprint(target, config),
        vmids=_range(target, config),
        node=_text(config, "node"),
        storage=_text(config, "storage"),
        bridge=_text(config, "bridge") or "vmbr0",
        nodes=_names(target, config, "nodes"),
        storages=_names(target, config, "storages"),
        bridges=_names(target, config, "bridges"),
        pools=_names(target, config, "pools"),
        templates=_ids(target, config),
        full_pass_s=_full_pass_s(target, config),
    )


def _wrong(target: str, key: str, text: str) -> InvalidInput:
    return InvalidInput(f"targets.{target}.{key}: {text}")


def _text(config: Mapping[str, object], key: str) -> str | None:
    return str(config[key]) if config.get(key) else None


def _port(target: str, url: str) -> int:
    try:
        return urlsplit(url).port or PORT
    except ValueError:
        raise _wrong(target, "url", "the port is no number from 1 to 65535") from None


def _fingerprint(target: str, config: Mapping[str, object]) -> str | None:
    text = _text(config, "fingerprint")
    if text is not None and not _FINGERPRINT.fullmatch(text):
        raise _wrong(target, "fingerprint", "write the 32 bytes of SHA-256 in hexadecimal, as pveproxy shows them")
    if text and config.get("ca"):
        raise _wrong(target, "fingerprint", "write either ca or fingerprint")
    return text


def _range(target: str, config: Mapping[str, object]) -> tuple[int, int]:
    found = _RANGE.fullmatch(str(config.get("vmids") or "5000-5999"))
    low, high = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 100 <= low <= high <= 999_999_999:
        raise _wrong(target, "vmids", "write FIRST-LAST, from 100 on, such as 5000-5999")
    return low, high


def _names(target: str, config: Mapping[str, object], key: str) -> tuple[str, ...]:
    listed = config.get(key) or ()
    if not isinstance(listed, list | tuple) or not all(isinstance(n, str) for n in listed):
        raise _wrong(target, key, "write a list of names")
    return tuple(str(n) for n in listed)


def _ids(target: str, config: Mapping[str, object]) -> tuple[int, ...]:
    listed = config.get("templates") or ()
    if not isinstance(listed, list | tuple) or not all(type(n) is int for n in listed):
        raise _wrong(target, "templates", "write a list of vmids")
    return tuple(int(str(n)) for n in listed)


def _full_pass_s(target: str, config: Mapping[str, object]) -> int:
    try:
        return units.duration_s(str(config.get("full_pass") or "10m"), at_least=0)
    except ValueError as error:
        raise _wrong(target, "full_pass", str(error)) from None
