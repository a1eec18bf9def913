"""What rules read out of an entry: image, ports, mounts, environment, in Compose's short and long forms alike.

Specs are checked by the engine's kind elsewhere; here whatever does not parse is simply not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value

DATA_PRODUCTS = frozenset(
    [
        "postgres",
        "postgresql",
        "postgis",
        "timescaledb",
        "mysql",
        "mariadb",
        "percona",
        "mongo",
        "mongodb",
        "redis",
        "valkey",
        "keydb",
        "elasticsearch",
        "opensearch",
        "influxdb",
        "influxdb3-core",
        "clickhouse",
        "clickhouse-server",
        "cassandra",
        "couchdb",
        "neo4j",
        "etcd",
        "minio",
        "mssql",
        "cockroachdb",
        "rabbitmq",
        "kafka",
        "nats",
        "memcached",
        "qdrant",
        "weaviate",
        "meilisearch",
        "vault",
    ]
)
_PASSING = frozenset({"memcached", "nats"})  # hold nothing that must survive
_EVERYWHERE = frozenset({"", "0.0.0.0", "::", "[::]", "*"})  # noqa: S104 - looked for, not bound to
_HOST_IN = re.compile(r"^(?:[a-z][a-z0-9+.-]*://(?:[^/@\s]*@)?)?([a-z0-9][a-z0-9-]*)(?=[:/]|$)(?!://)")
_TELLS_HOST = re.compile(r"(?i)(?:host|addr|server|url|uri|endpoint)")
_LONG_IP = re.compile(r"(\[[0-9a-fA-F:]*\]|[0-9.]*):(.+)")


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """One port reachable through the host; `path` is where it is written."""

    path: str
    host_ip: str
    published: int
    target: int

    @property
    def everywhere(self) -> bool:
        return self.host_ip in _EVERYWHERE


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount; `source` is empty for an anonymous volume."""

    path: str
    source: str
    target: str
    read_only: bool

    @property
    def of_host(self) -> bool:
        return self.source.startswith(("/", "./", "../", "~"))


def text(entry: Entry, *names: str) -> str:
    """The first of these specs that is text, else nothing."""
    return next((v for n in names if isinstance(v := entry.specs.get(n), str)), "")


def flag(entry: Entry, name: str) -> bool:
    return entry.specs.get(name) in (True, "true", "yes", "on", 1)


def items(entry: Entry, name: str) -> list[tuple[str, Value]]:
    """(path, item) of a list in specs; a single value is a list of one."""
    value = entry.specs.get(name)
    if isinstance(value, list | tuple):
        return [(f"specs.{name}.{i}", item) for i, item in enumerate(value)]
    return [] if value is None else [(f"specs.{name}", value)]


def image_name(entry: Entry) -> str:
    """`registry.example/team/postgres:16` → `postgres`; the product where no image is written."""
    image = text(entry, "image")
    if not image:
        return (entry.product or "").lower()
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()


def holds_data(entry: Entry) -> bool:
    """True for what loses something that matters when its disk goes."""
    name = image_name(entry)
    return (entry.type == "database" or name in DATA_PRODUCTS) and name not in _PASSING


def ports(entry: Entry) -> Iterator[PublishedPort]:
    """Every published port; of a range the first of each side."""
    for path, item in items(entry, "ports"):
        found = _long_port(path, item) if isinstance(item, Mapping) else _short_port(path, str(item))
        if found:
            yield found


def _long_port(path: str, item: Mapping[str, Value]) -> PublishedPort | None:
    published = _number(item.get("published"))
    target = _number(item.get("target") or item.get("container"))
    host_ip = str(item.get("host_ip") or item.get("ip") or "")
    return PublishedPort(path, host_ip, published, target or published) if published else None


def _short_port(path: str, item: str) -> PublishedPort | None:
    written = item.partition("/")[0]
    host_ip, rest = "", written
    if written.count(":") >= 2:
        match = _LONG_IP.fullmatch(written)
        host_ip, rest = (match[1], match[2]) if match else ("", written)
    published, colon, target = rest.rpartition(":")
    if not colon:
        return None  # a target alone: the host chooses a port
    one, two = _number(published), _number(target)
    return PublishedPort(path, host_ip.strip("[]"), one, two) if one and two else None


def _number(value: Value) -> int:
    first = str(value).partition("-")[0].partition("/")[0]
    return int(first) if first.isascii() and first.isdigit() and len(first) <= 5 else 0


def mounts(entry: Entry) -> Iterator[Mount]:
    """Every volume and host path that is mounted."""
    for path, item in items(entry, "volumes"):
        if isinstance(item, Mapping):
            read_only = item.get("read_only") is True or item.get("mode") == "ro"
            yield Mount(path, str(item.get("source") or ""), str(item.get("target") or ""), read_only)
        elif isinstance(item, str):
            parts = item.split(":")
            source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
            yield Mount(path, source, target, len(parts) > 2 and "ro" in parts[2].split(","))


def environment(entry: Entry) -> Iterator[tuple[str, str, Value]]:
    """(path, name, value) of every variable, of lists and maps."""
    for key in ("env", "environment"):
        value = entry.specs.get(key)
        if isinstance(value, Mapping):
            yield from ((f"specs.{key}.{name}", str(name), given) for name, given in value.items())
        elif isinstance(value, list | tuple):
            for i, item in enumerate(value):
                name, equals, given = str(item).partition("=") if isinstance(item, str) else ("", "", "")
                if equals:
                    yield f"specs.{key}.{i}", name, given


def words(value: Value) -> list[str]:
    """A command as its words, whether written as text or as a list."""
    if isinstance(value, str):
        return value.split()
    return [v for v in value if isinstance(v, str)] if isinstance(value, list | tuple) else []


def named_host(name: str, value: Value) -> str:
    """The host that a variable points at, where its name or form tells that it does; else nothing."""
    if not isinstance(value, str) or not ("://" in value or _TELLS_HOST.search(name)):
        return ""
    found = _HOST_IN.search(value)
    return found[1] if found else ""
