"""Containers: flat fields ⇄ the body Docker takes and the inspect it gives. Pure.

One table holds the plain fields both ways. Paths that are ours to change without a replacement (limits, restart
policy) are always wanted, with the platform's default where nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from controller.blueprint.value import Output, Secret, Text, Value, markers, replace
from controller.plan.diff import covers
from controller.plan.resource import Claim, ClaimKind, Fields, Masked
from engines.docker import image, marks
from engines.docker.container_specs import DANGER
from engines.docker.shorthand import split_binding

Body = dict[str, Any]
KIND = "docker/container"
STOP_GRACE_S = 10
IN_PLACE = {
    "limits.cpu": 0,
    "limits.memory": 0,
    "limits.reservation": 0,
    "limits.pids": 0,
    "limits.shares": 0,
    "limits.cpuset": "",
    "restart": "no",
}
NANO = 1_000_000_000
_NANO_PER_MILLICORE = 1_000_000
# Field → key of the body, of its HostConfig, or of its healthcheck; the value is the same on both sides.
_TOP = {
    "command": "Cmd",
    "entrypoint": "Entrypoint",
    "user": "User",
    "working_dir": "WorkingDir",
    "hostname": "Hostname",
    "domainname": "Domainname",
    "stop_signal": "StopSignal",
    "stop_grace_s": "StopTimeout",
    "tty": "Tty",
    "stdin_open": "OpenStdin",
}
_HOST = {
    "read_only": "ReadonlyRootfs",
    "init": "Init",
    "cap_add": "CapAdd",
    "cap_drop": "CapDrop",
    "group_add": "GroupAdd",
    "shm_size": "ShmSize",
    "extra_hosts": "ExtraHosts",
    "dns": "Dns",
    "dns_search": "DnsSearch",
    "dns_opt": "DnsOptions",
    "security_opt": "SecurityOpt",
    "runtime": "Runtime",
    "network_mode": "NetworkMode",
    "limits.memory": "Memory",
    "limits.swap": "MemorySwap",
    "limits.reservation": "MemoryReservation",
    "limits.pids": "PidsLimit",
    "limits.shares": "CpuShares",
    "limits.cpuset": "CpusetCpus",
    **DANGER,
}
_HEALTH_NS = {"interval_s": "Interval", "timeout_s": "Timeout", "start_period_s": "StartPeriod"}
_LISTS = frozenset(
    [
        "command",
        "entrypoint",
        "cap_add",
        "cap_drop",
        "group_add",
        "extra_hosts",
        "dns",
        "dns_search",
        "dns_opt",
        "security_opt",
        "devices",
    ]
)
_UNORDERED = frozenset({"cap_add", "cap_drop", "group_add", "extra_hosts", "security_opt"})
_OWN_NETWORKS = frozenset({"bridge", "host", "none"})


def below(fields: Fields, prefix: str) -> dict[str, Value]:
    """The fields under `prefix.`, without it."""
    start = prefix + "."
    return {path[len(start) :]: value for path, value in fields.items() if path.startswith(start)}


def body(fields: Fields, source: str) -> Body:
    """What `POST /containers/create` takes for `fields`, markers still in it. `source` is what to create from: a digest
    reference or an id."""
    top: Body = {key: _plain(fields[path]) for path, key in _TOP.items() if path in fields}
    top["Image"] = source
    top["Env"] = [_joined(name, value) for name, value in sorted(below(fields, "env").items())]
    top["Labels"] = below(fields, "labels")
    if health := below(fields, "healthcheck"):
        top["Healthcheck"] = _health_body(health)
    host = _host_body(fields)
    if published := below(fields, "ports"):
        top["ExposedPorts"] = {port: {} for port in published}
        host["PortBindings"] = {port: _bindings(value) for port, value in published.items()}
    if joined := below(fields, "networks"):
        first = next(iter(sorted(joined)))
        host["NetworkMode"] = first
        top["NetworkingConfig"] = {"EndpointsConfig": {first: endpoint(joined[first])}}
    return {**top, "HostConfig": host}


def limits_body(fields: Fields, paths: Iterable[str]) -> Body:
    """What `POST /containers/ID/update` takes for those of `paths` that can change in place. A new memory limit needs
    its swap limit with it: Docker refuses one above the other."""
    wanted = {p: fields[p] for p in paths if p in fields}
    if "limits.memory" in wanted:
        memory = wanted["limits.memory"]
        wanted["limits.swap"] = fields.get("limits.swap", memory * 2 if isinstance(memory, int) else 0)
    return _host_body(wanted)


def updatable(path: str, before: Value, after: Value) -> bool:
    """True if Docker changes `path` on a living container, and back again in an undo. It cannot take a limit away: 0
    means "as it is" there."""
    return path in ("restart", "limits.pids") or (path in (*IN_PLACE, "limits.swap") and bool(before and after))


def endpoint(options: Value) -> Body:
    """Settings of one network a container joins."""
    given = options if isinstance(options, Mapping) else {}
    found: Body = {"Aliases": list(given.get("aliases", ()))}
    if address := given.get("address"):
        found["IPAMConfig"] = {"IPv4Address": address}
    return found


def _host_body(fields: Fields) -> Body:
    host: Body = {key: _plain(fields[path]) for path, key in _HOST.items() if path in fields}
    if "limits.cpu" in fields:
        host["NanoCpus"] = int(str(fields["limits.cpu"])) * _NANO_PER_MILLICORE
    if "restart" in fields:
        name, _, count = str(fields["restart"]).partition(":")
        host["RestartPolicy"] = {"Name": name, "MaximumRetryCount": int(count or 0)}
    if mounts := below(fields, "mounts"):
        host["Mounts"] = [mount(target, str(what)) for target, what in sorted(mounts.items())]
    if limits := below(fields, "ulimits"):
        host["Ulimits"] = [_ulimit(name, str(value)) for name, value in sorted(limits.items())]
    if "logging.driver" in fields:
        host["LogConfig"] = {"Type": fields["logging.driver"], "Config": below(fields, "logging.options")}
    if sysctls := below(fields, "sysctls"):
        host["Sysctls"] = sysctls
    if devices := fields.get("devices"):
        assert isinstance(devices, tuple)
        host["Devices"] = [_device(str(d)) for d in devices]
    return host


def mount(target: str, what: str) -> Body:
    """A mount of the body for the field `mounts.TARGET`: `volume:NAME[:ro]`, `bind:/path[:ro]`, `tmpfs[:options]`."""
    kind, _, rest = what.partition(":")
    if kind == "tmpfs":
        options = dict(o.split("=", 1) for o in rest.split(",") if o)
        wanted: Body = {"Type": "tmpfs", "Target": target}
        if options:
            wanted["TmpfsOptions"] = _tmpfs_options(options)
        return wanted
    source, _, mode = rest.partition(":")
    return {"Type": kind, "Source": source, "Target": target, "ReadOnly": mode == "ro"}


def _tmpfs_options(options: Mapping[str, str]) -> Body:
    found: Body = {}
    if "size" in options:
        found["SizeBytes"] = int(options["size"])
    if "mode" in options:
        found["Mode"] = int(options["mode"], 8)
    return found


def _health_body(health: Mapping[str, Value]) -> Body:
    found: Body = {key: int(str(health[f])) * NANO for f, key in _HEALTH_NS.items() if f in health}
    if "test" in health:
        found["Test"] = _plain(health["test"])
    if "retries" in health:
        found["Retries"] = health["retries"]
    return found


def _bindings(value: Value) -> list[Body]:
    assert isinstance(value, tuple)
    pairs = [split_binding(str(v)) for v in value]
    return [{"HostIp": ip, "HostPort": port} for ip, port in pairs]


def _joined(name: str, value: Value) -> Value:
    if isinstance(value, Text):
        return Text((f"{name}=", *value.parts))
    if isinstance(value, Secret | Output):
        return Text((f"{name}=", value))
    return f"{name}={value}"


def _ulimit(name: str, value: str) -> Body:
    soft, _, hard = value.partition(":")
    return {"Name": name, "Soft": int(soft), "Hard": int(hard)}


def _device(written: str) -> Body:
    host, _, rest = written.partition(":")
    inside, _, rights = rest.partition(":")
    return {"PathOnHost": host, "PathInContainer": inside or host, "CgroupPermissions": rights or "rwm"}


def _plain(value: Value) -> Value:
    return list(value) if isinstance(value, tuple) else value


# --- what is there -------------------------------------------------------------------------------------------------


def live(found: Mapping[str, Any]) -> dict[str, Value]:
    """Fields of an inspected container, secret values still in them; `conceal` takes those away."""
    config, host = found.get("Config") or {}, found.get("HostConfig") or {}
    labels = config.get("Labels") or {}
    fields: dict[str, Value] = {"image": labels.get(marks.IMAGE) or _written_out(str(config.get("Image", "")))}
    fields |= {path: _seen(path, config.get(key)) for path, key in _TOP.items()}
    fields |= {path: _seen(path, host.get(key)) for path, key in _HOST.items()}
    fields |= _live_limits(host)
    fields |= {f"env.{name}": value for name, _, value in (e.partition("=") for e in config.get("Env") or ())}
    fields |= {f"labels.{k}": v for k, v in labels.items() if not k.startswith(marks.PREFIX)}
    fields |= {f"ports.{p}": _live_bindings(b) for p, b in (host.get("PortBindings") or {}).items()}
    fields |= _live_mounts(found)
    fields |= _live_networks(found)
    fields |= _live_health(config.get("Healthcheck") or {})
    fields["devices"] = tuple(_live_device(d) for d in host.get("Devices") or ())
    if fields["stop_grace_s"] is None:
        fields["stop_grace_s"] = STOP_GRACE_S
    fields["running"] = running(found, str(fields["restart"]))
    return fields


def _written_out(reference: str) -> str:
    try:
        return reference if "@" in reference else image.tagged(reference)
    except ValueError:
        return reference


def conceal(fields: Mapping[str, Value], secret: Iterable[str], mask: Any) -> dict[str, Value]:
    """`fields` with the values at `secret` replaced by their keyed hash (I26)."""
    hidden = set(secret)
    return {p: mask(_one_text(v)) if p in hidden and v is not None else v for p, v in fields.items()}


def _one_text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def running(found: Mapping[str, Any], restart: str) -> Value:
    """True while it runs or is being restarted; `finished` for one that ended well and is not restarted; else False."""
    state = found.get("State") or {}
    if state.get("Paused"):
        return "paused"
    if state.get("Running") or state.get("Restarting"):
        return True
    over = state.get("Status") == "exited" and state.get("ExitCode") == 0
    return "finished" if over and restart.startswith(("no", "on-failure")) else False


def _seen(path: str, value: Value) -> Value:
    if path in _LISTS:
        listed = tuple(value) if isinstance(value, list) else ()
        return tuple(sorted(listed)) if path in _UNORDERED else listed
    if path == "limits.pids":
        return value if isinstance(value, int) and value > 0 else 0
    if path in IN_PLACE:
        return value or IN_PLACE[path]
    return value if value not in ("", [], {}) else None


def _live_limits(host: Mapping[str, Any]) -> dict[str, Value]:
    cpu = (host.get("NanoCpus") or 0) // _NANO_PER_MILLICORE
    if not cpu and host.get("CpuQuota", 0) > 0 and host.get("CpuPeriod", 0) > 0:
        cpu = host["CpuQuota"] * 1000 // host["CpuPeriod"]
    policy = host.get("RestartPolicy") or {}
    name, count = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    log = host.get("LogConfig") or {}
    fields: dict[str, Value] = {"limits.cpu": cpu, "restart": f"{name}:{count}" if count else name}
    fields |= {f"ulimits.{u['Name']}": f"{u['Soft']}:{u['Hard']}" for u in host.get("Ulimits") or ()}
    fields |= {f"sysctls.{k}": v for k, v in (host.get("Sysctls") or {}).items()}
    fields |= {f"logging.options.{k}": v for k, v in (log.get("Config") or {}).items()}
    return {**fields, "logging.driver": log.get("Type")}


def _live_bindings(found: Any) -> Value:
    return tuple(sorted(_binding(b.get("HostIp", ""), b.get("HostPort", "")) for b in found or ()))


def _binding(ip: str, port: str) -> str:
    bracketed = f"[{ip}]" if ":" in ip else ip
    return f"{bracketed}:{port}" if ip else port


def _live_mounts(found: Mapping[str, Any]) -> dict[str, Value]:
    """Mounts in effect, anonymous volumes too (they carry data over a replacement), and the tmpfs that were asked."""
    host = found.get("HostConfig") or {}
    fields: dict[str, Value] = {}
    for one in found.get("Mounts") or ():
        source = one.get("Name") if one.get("Type") == "volume" else one.get("Source")
        fields[f"mounts.{one.get('Destination')}"] = f"{one.get('Type')}:{source}" + ("" if one.get("RW") else ":ro")
    for one in host.get("Mounts") or ():
        if one.get("Type") == "tmpfs":
            fields[f"mounts.{one['Target']}"] = _live_tmpfs(one.get("TmpfsOptions") or {})
    for target, options in (host.get("Tmpfs") or {}).items():
        fields[f"mounts.{target}"] = f"tmpfs:{options}" if options else "tmpfs"
    return fields


def _live_tmpfs(options: Mapping[str, int]) -> str:
    written = [f"mode={options['Mode']:o}"] if options.get("Mode") else []
    written += [f"size={options['SizeBytes']}"] if options.get("SizeBytes") else []
    return "tmpfs:" + ",".join(written) if written else "tmpfs"


def _live_networks(found: Mapping[str, Any]) -> dict[str, Value]:
    """Joined networks. Docker adds the short id and the host name as aliases by itself: those are nobody's wish."""
    own = {str(found.get("Id", ""))[:12], (found.get("Config") or {}).get("Hostname")}
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    fields: dict[str, Value] = {}
    for name, one in networks.items():
        if name not in _OWN_NETWORKS:
            aliases = tuple(sorted({a for a in one.get("Aliases") or () if a not in own}))
            address = (one.get("IPAMConfig") or {}).get("IPv4Address")
            fields[f"networks.{name}"] = {"aliases": aliases, **({"address": address} if address else {})}
    return fields


def _live_health(found: Mapping[str, Any]) -> dict[str, Value]:
    fields: dict[str, Value] = {f"healthcheck.{f}": found[k] // NANO for f, k in _HEALTH_NS.items() if found.get(k)}
    if found.get("Test"):
        fields["healthcheck.test"] = tuple(found["Test"])
    if found.get("Retries"):
        fields["healthcheck.retries"] = found["Retries"]
    return fields


def _live_device(found: Mapping[str, str]) -> str:
    return f"{found.get('PathOnHost')}:{found.get('PathInContainer')}:{found.get('CgroupPermissions')}"


# --- references and claims -----------------------------------------------------------------------------------------


def refs(fields: Fields) -> dict[str, Value]:
    """Path → its value with every secret as its reference, so that `${a}` changed to `${b}` is seen although no value
    is known. References stand in Git anyway; this is no hash of a spec (I27)."""
    return {p: replace(v, _as_reference) for p, v in sorted(fields.items()) if p in secret_paths(fields)}


def _as_reference(leaf: object) -> object:
    return f"${{secret:{leaf.ref}}}" if isinstance(leaf, Secret) else leaf


def secret_paths(fields: Fields) -> frozenset[str]:
    """Paths whose value is or holds a secret."""
    return frozenset(p for p, v in fields.items() if any(isinstance(m, Secret) for m in markers(v)))


def claims(fields: Fields, name: str, *, holds: bool = True) -> frozenset[Claim]:
    """What a container with these fields holds on its host. One that does not run (`holds` False) keeps its name only:
    Docker gives ports, addresses and memory at start."""
    found = {Claim(ClaimKind.NAME, f"container/{name}")}
    if not holds:
        return frozenset(found)
    for port, bindings in below(fields, "ports").items():
        protocol = port.partition("/")[2]
        pairs = [split_binding(str(b)) for b in bindings] if isinstance(bindings, tuple) else []
        found |= {Claim(ClaimKind.PORT, f"{p}/{protocol}", _within(ip)) for ip, p in pairs if p}
    for network, options in below(fields, "networks").items():
        if isinstance(options, Mapping) and options.get("address"):
            found.add(Claim(ClaimKind.ADDRESS, str(options["address"]), network))
    for what in below(fields, "mounts").values():
        kind, _, rest = str(what).partition(":")
        if kind == "volume":
            found.add(Claim(ClaimKind.VOLUME, rest.partition(":")[0], shared=True))
    for kind_, path in ((ClaimKind.MEMORY, "limits.memory"), (ClaimKind.CPU, "limits.cpu")):
        if isinstance(amount := fields.get(path), int) and amount:
            found.add(Claim(kind_, str(kind_), amount=amount))
    return frozenset(found)


def _within(ip: str) -> str:
    return "*" if ip in ("", "0.0.0.0", "::") else ip  # noqa: S104 - compared, not bound


def stop_first(fields: Fields, product: bool) -> str | None:
    """Why the old container must stop before the new one starts; None if both may run for a moment."""
    published = [b for bs in below(fields, "ports").values() if isinstance(bs, tuple) for b in bs]
    if any(split_binding(str(b))[1] for b in published):
        return "it publishes a fixed port"
    if any(isinstance(o, Mapping) and o.get("address") for o in below(fields, "networks").values()):
        return "it has a fixed address"
    if any(writable(str(w)) for w in below(fields, "mounts").values()):
        return "it writes to a mount"
    return "it is a database" if product else None


def writable(what: str) -> bool:
    """True for a mount that outlives the container and can be written."""
    return what.startswith(("volume:", "bind:")) and not what.endswith(":ro")


def kept(fields: Fields, ignored: Iterable[str]) -> dict[str, Value]:
    """What a replacement takes over from the old one: ignored fields, and anonymous volumes with their data."""
    patterns = tuple(ignored)
    return {
        path: value
        for path, value in fields.items()
        if any(covers(p, path) for p in patterns) and value is not None and not isinstance(value, Masked)
    }


def anonymous_volumes(fields: Fields) -> dict[str, Value]:
    """Mounts whose volume has the 64-digit name Docker makes up: data that are nowhere else."""
    return {f"mounts.{target}": what for target, what in below(fields, "mounts").items() if _made_up(str(what))}


def _made_up(what: str) -> bool:
    kind, _, rest = what.partition(":")
    name = rest.partition(":")[0]
    return kind == "volume" and len(name) == 64 and all(c in "0123456789abcdef" for c in name)
