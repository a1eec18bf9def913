"""The short forms Compose users write: ports, mounts, words, maps, healthchecks. Pure; raises ValueError with the
mend in it."""

from __future__ import annotations

import ipaddress
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from controller.blueprint import units
from controller.blueprint.value import Output, Secret, Text, Value

_PORT = re.compile(
    r"(?:(?P<ip>\[[0-9a-fA-F:]+\]|[0-9]+\.[0-9.]+):)?(?:(?P<host>\d{1,5}(?:-\d{1,5})?)?:)?"
    r"(?P<inner>\d{1,5}(?:-\d{1,5})?)(?:/(?P<protocol>tcp|udp|sctp))?"
)
_MODE = re.compile(r"[0-7]{3,4}")
_SIZE = re.compile(r"([0-9]{1,15})([kmgKMG]?)")
_SIZES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_ENV_NAME = re.compile(r"[^=\x00-\x20\x7f]+")


@dataclass(frozen=True, slots=True)
class Port:
    """One published port. `published` None: the host chooses; `host_ip` empty: every address."""

    inner: int
    protocol: str = "tcp"
    host_ip: str = ""
    published: int | None = None

    @property
    def key(self) -> str:
        """`80/tcp`, as the platform keys ports."""
        return f"{self.inner}/{self.protocol}"

    @property
    def binding(self) -> str:
        """`8080`, `127.0.0.1:8080`, or empty for one the host chooses."""
        port = "" if self.published is None else str(self.published)
        return f"{_bracketed(self.host_ip)}:{port}" if self.host_ip else port


@dataclass(frozen=True, slots=True)
class MountSpec:
    """One mount as written. `source` is a resource's or volume's name, a host path, or empty for tmpfs."""

    kind: str  # volume, bind, tmpfs
    source: str
    target: str
    read_only: bool = False
    options: str = ""  # tmpfs: `size=64m,mode=1777`


def millicores(value: object) -> int:
    """`2`, `0.5`, `500m` → thousandths of a CPU; Docker's smallest share is 10."""
    return max(10, units.cpu_millicores(value))


def is_marker(value: object) -> bool:
    """True for a secret, an output or a text with them."""
    return isinstance(value, Secret | Output | Text)


def text(value: object) -> Value:
    """A scalar as the text a process gets: `true` for True, digits for numbers; markers stay."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, str) or is_marker(value):
        return value
    raise ValueError("write text, a number or true/false here")


def words(value: object) -> tuple[Value, ...]:
    """A command: a list as it is, a line split as a shell would (no shell runs it, I39)."""
    if isinstance(value, str):
        return tuple(shlex.split(value))
    if is_marker(value):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(text(v) for v in value)
    raise ValueError("write a list of words or one line")


def environment(value: object) -> dict[str, Value]:
    """`{NAME: value}` or `["NAME=value"]`. A bare NAME would read the controller's own environment: refused."""
    if isinstance(value, Mapping):
        pairs = [(str(k), v) for k, v in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [_pair(v) for v in value]
    else:
        raise ValueError("write NAME: value, or a list of NAME=value")
    for name, content in pairs:
        if not _ENV_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a variable")
        if content is None:
            raise ValueError(f"{name} has no value; values are never taken from the host's environment")
    return {name: text(content) for name, content in pairs}


def _pair(item: object) -> tuple[str, object]:
    if isinstance(item, Text) and isinstance(item.parts[0], str) and "=" in item.parts[0]:
        name, _, rest = item.parts[0].partition("=")
        return name, Text((rest, *item.parts[1:]))
    name, equals, content = str(item).partition("=") if isinstance(item, str) else ("", "", "")
    return name, (content if equals else None)


def string_map(value: object) -> dict[str, Value]:
    """`{key: value}` or `["key=value"]`, values as text."""
    if isinstance(value, Mapping):
        return {str(k): text("" if v is None else v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return {k: v for k, _, v in (str(item).partition("=") for item in value)}
    raise ValueError("write key: value")


def names(value: object) -> tuple[str, ...]:
    """A list of text, or one."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise ValueError("write a list of text")


def addresses(value: object) -> tuple[str, ...]:
    """IP addresses, or one."""
    return tuple(str(ipaddress.ip_address(v)) for v in names(value))


def ports(value: object) -> tuple[Port, ...]:
    """Every published port of a `ports:` list."""
    if not isinstance(value, list | tuple):
        raise ValueError('write a list, as ["8080:80"]')
    return tuple(port for item in value for port in _port(item))


def _port(item: object) -> Iterator[Port]:
    if isinstance(item, Mapping):
        yield _long_port(item)
        return
    found = _PORT.fullmatch(str(item)) if isinstance(item, str | int) else None
    if found is None:
        raise ValueError(f"{item!r} is no port; write 80, 8080:80 or 127.0.0.1:8080:80/udp")
    inner = _range(found["inner"])
    outer: list[int | None] = [*_range(found["host"])] if found["host"] else [None] * len(inner)
    if len(inner) != len(outer):
        raise ValueError(f"{item!r}: both ranges must be of one length")
    for one, published in zip(inner, outer, strict=True):
        yield Port(one, found["protocol"] or "tcp", _ip(found["ip"] or ""), published)


def _long_port(item: Mapping[str, object]) -> Port:
    if unknown := set(item) - {"target", "published", "protocol", "host_ip", "mode", "name", "app_protocol"}:
        raise ValueError(f"a port has no {sorted(unknown)[0]!r}; it has target, published, protocol, host_ip")
    protocol = str(item.get("protocol", "tcp"))
    if protocol not in ("tcp", "udp", "sctp"):
        raise ValueError(f"{protocol!r} is no protocol; write tcp, udp or sctp")
    published = item.get("published")
    return Port(
        _number(item.get("target")),
        protocol,
        _ip(str(item.get("host_ip", ""))),
        None if published is None else _number(published),
    )


def _range(written: str) -> list[int]:
    first, _, last = written.partition("-")
    low, high = _number(first), _number(last or first)
    if high < low or high - low > 1000:
        raise ValueError(f"{written} is no range of at most 1000 ports")
    return list(range(low, high + 1))


def _number(value: object) -> int:
    number = (
        int(value) if isinstance(value, int) or (isinstance(value, str) and value.isascii() and value.isdigit()) else 0
    )
    if not 1 <= number <= 65535:
        raise ValueError(f"{value!r} is no port number (1 to 65535)")
    return number


def _ip(written: str) -> str:
    return str(ipaddress.ip_address(written.strip("[]"))) if written else ""


def _bracketed(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


def split_binding(binding: str) -> tuple[str, str]:
    """(host address, port) of `Port.binding`."""
    ip, _, port = binding.rpartition(":")
    return ip.strip("[]"), port


def mounts(value: object) -> tuple[MountSpec, ...]:
    """Every mount of a `volumes:` list."""
    if not isinstance(value, list | tuple):
        raise ValueError('write a list, as ["data:/var/lib/data"]')
    return tuple(_mount(item) for item in value)


def _mount(item: object) -> MountSpec:
    if isinstance(item, Mapping):
        return _long_mount(item)
    parts = str(item).split(":") if isinstance(item, str) else []
    if len(parts) == 1:
        raise ValueError(f"{item!r} would be an anonymous volume; name a volume resource, as data:{item}")
    if len(parts) not in (2, 3):
        raise ValueError(f"{item!r} is no mount; write NAME:/path, NAME:/path:ro or /host/path:/path")
    modes = set(parts[2].split(",")) if len(parts) == 3 else set()
    if extra := modes - {"ro", "rw"}:
        raise ValueError(f"mount mode {sorted(extra)[0]!r} is not known; write ro or rw")
    return MountSpec(_kind(parts[0]), parts[0], _inside(parts[1]), "ro" in modes)


def _long_mount(item: Mapping[str, object]) -> MountSpec:
    if unknown := set(item) - {"type", "source", "target", "read_only", "tmpfs"}:
        raise ValueError(f"a mount has no {sorted(unknown)[0]!r}; it has type, source, target, read_only, tmpfs")
    source, kind = str(item.get("source", "")), str(item.get("type", ""))
    kind = kind or _kind(source)
    if kind not in ("volume", "bind", "tmpfs") or (kind != "tmpfs" and not source):
        raise ValueError("a mount needs type volume or bind with a source, or type tmpfs")
    options = item.get("tmpfs") or {}
    if not isinstance(options, Mapping):
        raise ValueError("tmpfs has size and mode")
    written = _tmpfs_options({str(k): str(v) for k, v in options.items()})
    return MountSpec(kind, source, _inside(str(item.get("target", ""))), item.get("read_only") is True, written)


def tmpfs(value: object) -> tuple[MountSpec, ...]:
    """`tmpfs: /run` or a list, each `PATH` or `PATH:size=64m,mode=1777`."""
    found = []
    for item in names(value):
        path, _, written = item.partition(":")
        options = {k: v for k, _, v in (o.partition("=") for o in written.split(",") if o)}
        found.append(MountSpec("tmpfs", "", _inside(path), options=_tmpfs_options(options)))
    return tuple(found)


def _tmpfs_options(options: Mapping[str, str]) -> str:
    """`mode=1777,size=67108864`: options in one spelling, as the host will tell them."""
    if set(options) - {"size", "mode"}:
        raise ValueError("tmpfs knows size= and mode=")
    written = []
    if "mode" in options:
        written.append(f"mode={int(file_mode(options['mode']), 8):o}")
    if "size" in options:
        written.append(f"size={_tmpfs_size(options['size'])}")
    return ",".join(written)


def _tmpfs_size(written: str) -> int:
    found = _SIZE.fullmatch(written)
    return int(found[1]) * _SIZES[found[2].lower()] if found else units.size_bytes(written)


def _kind(source: str) -> str:
    return "bind" if source.startswith(("/", ".", "~")) else "volume"


def _inside(path: str) -> str:
    if not path.startswith("/") or posixpath.normpath(path) != path.rstrip("/"):
        raise ValueError(f"{path!r} must be an absolute path in the container, without . and ..")
    return path.rstrip("/")


def file_mode(value: object) -> str:
    """`0644` as written or as a number in octal digits."""
    written = str(value)
    if not _MODE.fullmatch(written):
        raise ValueError(f"{written} is no file mode; write it in quotes, as '0644'")
    return written.rjust(4, "0")


def test_of(value: object) -> tuple[Value, ...]:
    """A healthcheck's test in the platform's form."""
    if isinstance(value, str):
        return ("CMD-SHELL", value)
    listed = words(value)
    if not listed or listed[0] not in ("CMD", "CMD-SHELL", "NONE"):
        raise ValueError('a test begins with CMD, CMD-SHELL or NONE, as ["CMD", "curl", "-f", "http://localhost"]')
    return listed


def ulimits(value: object) -> dict[str, str]:
    """`{nofile: 1024}` or `{nofile: {soft: 1024, hard: 2048}}` → `soft:hard`."""
    if not isinstance(value, Mapping):
        raise ValueError("write NAME: NUMBER, or NAME: {soft: NUMBER, hard: NUMBER}")
    found = {}
    for name, limit in value.items():
        both = [limit, limit] if not isinstance(limit, Mapping) else [limit.get("soft"), limit.get("hard")]
        if not all(isinstance(b, int) for b in both):
            raise ValueError(f"{name} needs a number, or soft and hard")
        found[str(name)] = f"{both[0]}:{both[1]}"
    return found


def attached(value: object) -> dict[str, Mapping[str, object]]:
    """Networks by name, each with its options."""
    if isinstance(value, Mapping):
        found = {str(k): v or {} for k, v in value.items()}
    else:
        found = {name: {} for name in names(value)}
    for name, options in found.items():
        if not isinstance(options, Mapping) or set(options) - {"aliases", "ipv4_address"}:
            raise ValueError(f"{name}: a network has aliases and ipv4_address here")
        if "ipv4_address" in options:
            ipaddress.IPv4Address(str(options["ipv4_address"]))
    return found
