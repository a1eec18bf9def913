"""What a container's entry wants, as flat fields: names resolved, synonyms and short forms gone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value
from controller.plan.resource import Expanding
from engines.docker import container, image, network, volume
from engines.docker.container_specs import DANGER, REFUSED, RESTARTS, ContainerSpecs
from engines.docker.shorthand import MountSpec


class FieldError(ValueError):
    """A wish that the model cannot judge alone, at `path` below `specs`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


@dataclass(slots=True)
class _Wish:
    specs: ContainerSpecs
    entry: Entry
    about: Expanding
    needs: set[str] = field(default_factory=set)

    def natural(self, path: str, name: str, kind: str) -> str:
        """The natural name of the resource `name`, which must be of `kind`."""
        key = self.about.names.get(name)
        what = kind.partition("/")[2]
        if key is None or key.kind != kind:
            known = sorted(n for n, k in self.about.names.items() if k.kind == kind and "/" not in n)
            listed = f"; there are {', '.join(known)}" if known else ""
            raise FieldError(
                path,
                f"{name} is no {what} of this blueprint{listed}; add a resource of type {what} with that name"
                f" (`external: true` uses one that is there already)",
            )
        scope, blueprint = self.about.scope, self.entry.blueprint
        self.needs.add(f"{scope}/{name}" if "/" in name else f"{scope}/{blueprint}/{name}")
        return key.name


def wanted_fields(specs: ContainerSpecs, entry: Entry, about: Expanding) -> tuple[dict[str, Value], tuple[str, ...]]:
    """(fields, ids of resources the container cannot be made without). Raises FieldError."""
    for key, why in REFUSED.items():
        if getattr(specs, key) not in (None, ()):
            raise FieldError(key, why)
    wish = _Wish(specs, entry, about)
    fields: dict[str, Value] = {**container.IN_PLACE, "running": True, "image": _image(wish)}
    for part in (_process, _limits, _restart, _maps, _ports, _mounts, _networks, _health, _files, _danger):
        fields |= part(wish)
    return {k: v for k, v in fields.items() if v is not None}, tuple(sorted(wish.needs))


def _image(wish: _Wish) -> str:
    specs, entry = wish.specs, wish.entry
    if specs.image is None and entry.product is None:
        raise FieldError("image", "say which image to run, as image: nginx:1.27")
    if specs.image is None:
        known = image.PRODUCTS.get(str(entry.product))
        if known is None:
            raise FieldError("image", f"{entry.product} has no image ALMA knows; write `image`")
        return f"{known}:{entry.version or 'latest'}"
    try:
        name, tag, digest = image.parts(specs.image)
    except ValueError as error:
        raise FieldError("image", str(error)) from None
    return specs.image if digest else f"{name}:{tag}"


def _process(wish: _Wish) -> dict[str, Value]:
    specs = wish.specs
    same = ("command", "entrypoint", "user", "working_dir", "hostname", "domainname", "stop_signal", "init", "tty")
    more = ("stdin_open", "read_only", "shm_size", "network_mode")
    fields: dict[str, Value] = {name: getattr(specs, name) for name in (*same, *more)}
    fields["stop_grace_s"] = specs.either("stop_grace", "stop_grace_period")
    listed = ("extra_hosts", "dns", "dns_search", "dns_opt", "group_add")
    fields |= {name: _list(name, getattr(specs, name)) for name in listed}
    fields |= {name: _capabilities(getattr(specs, name)) for name in ("cap_add", "cap_drop")}
    return fields


def _list(name: str, values: tuple[str, ...]) -> Value:
    if not values:
        return None
    if name == "extra_hosts":  # Compose also writes NAME=IP
        return tuple(sorted(v.replace("=", ":", 1) for v in values))
    return tuple(sorted(values)) if name == "group_add" else values


def _capabilities(values: tuple[str, ...]) -> Value:
    return tuple(sorted({v.upper().removeprefix("CAP_") for v in values})) or None


def _limits(wish: _Wish) -> dict[str, Value]:
    specs = wish.specs
    found: dict[str, Value] = {
        "limits.cpu": specs.either("cpu", "cpus"),
        "limits.memory": specs.either("memory", "mem_limit"),
        "limits.reservation": specs.memory_reservation,
        "limits.swap": specs.memswap_limit,
        "limits.pids": specs.either("pids", "pids_limit"),
        "limits.shares": specs.cpu_shares,
        "limits.cpuset": specs.cpuset,
    }
    memory, swap = found["limits.memory"], found["limits.swap"]
    if isinstance(swap, int) and (not isinstance(memory, int) or swap < memory):
        raise FieldError("memswap_limit", "it is memory and swap together: set memory too, and not above it")
    return {k: v for k, v in found.items() if v is not None}


def _restart(wish: _Wish) -> dict[str, Value]:
    written = wish.specs.restart
    if written is None:
        return {}
    name, colon, count = written.partition(":")
    if name not in RESTARTS or (colon and (name != "on-failure" or not count.isdigit())):
        raise FieldError("restart", f"{written} is no restart policy; write {', '.join(RESTARTS)} or on-failure:3")
    return {"restart": f"{name}:{int(count)}" if colon and int(count) else name}


def _maps(wish: _Wish) -> dict[str, Value]:
    specs = wish.specs
    environment = specs.either("env", "environment")
    assert isinstance(environment, Mapping)
    fields: dict[str, Value] = {f"env.{k}": v for k, v in environment.items()}
    fields |= {f"labels.{k}": v for k, v in specs.labels.items()}
    fields |= {f"ulimits.{k}": v for k, v in specs.ulimits.items()}
    fields |= {f"sysctls.{k}": v for k, v in specs.sysctls.items()}
    if specs.logging:
        fields["logging.driver"] = specs.logging.driver
        fields |= {f"logging.options.{k}": v for k, v in specs.logging.options.items()}
    return fields


def _ports(wish: _Wish) -> dict[str, Value]:
    fields: dict[str, set[str]] = {}
    for port in wish.specs.ports:
        fields.setdefault(f"ports.{port.key}", set()).add(port.binding)
    return {path: tuple(sorted(bindings)) for path, bindings in fields.items()}


def _mounts(wish: _Wish) -> dict[str, Value]:
    fields: dict[str, Value] = {}
    for number, one in enumerate((*wish.specs.volumes, *wish.specs.tmpfs)):
        path = f"mounts.{one.target}"
        if path in fields:
            raise FieldError(f"volumes.{number}", f"{one.target} is mounted twice")
        fields[path] = _mount(wish, number, one)
    return fields


def _mount(wish: _Wish, number: int, one: MountSpec) -> str:
    if one.kind == "tmpfs":
        return f"tmpfs:{one.options}" if one.options else "tmpfs"
    source = one.source
    if one.kind == "volume":
        source = wish.natural(f"volumes.{number}", source, volume.KIND)
    elif ":" in source or not source.startswith("/"):
        raise FieldError(f"volumes.{number}", f"{source} must be an absolute path of the host")
    return f"{one.kind}:{source}" + (":ro" if one.read_only else "")


def _networks(wish: _Wish) -> dict[str, Value]:
    """Each network with the resource's own name as alias, so that others find it by that name."""
    specs, entry = wish.specs, wish.entry
    if specs.network_mode and specs.networks:
        raise FieldError("network_mode", "write network_mode or networks, not both")
    private_ip = entry.network.get("private_ip")
    if private_ip and len(specs.networks) != 1:
        raise FieldError("networks", "network.private_ip needs exactly one network to be an address of")
    fields: dict[str, Value] = {}
    for name, options in specs.networks.items():
        address = options.get("ipv4_address") or private_ip
        # Docker makes the host name an alias by itself.
        aliases = tuple(sorted({entry.name, *(str(a) for a in options.get("aliases") or ())} - {specs.hostname}))
        value = {"aliases": aliases, **({"address": str(address)} if address else {})}
        fields[f"networks.{wish.natural('networks', name, network.KIND)}"] = value
    return fields


def _health(wish: _Wish) -> dict[str, Value]:
    given = wish.specs.healthcheck
    if given is None:
        return {}
    if given.disable:
        return {"healthcheck.test": ("NONE",)}
    return {
        "healthcheck.test": given.test,
        "healthcheck.interval_s": given.interval,
        "healthcheck.timeout_s": given.timeout,
        "healthcheck.start_period_s": given.start_period,
        "healthcheck.retries": given.retries,
    }


def _files(wish: _Wish) -> dict[str, Value]:
    specs = wish.specs
    if specs.files and specs.read_only:
        raise FieldError("files", "Docker puts no file into a container with read_only; mount a volume instead")
    fields: dict[str, Value] = {}
    for path, one in specs.files.items():
        if not path.startswith("/") or path.endswith("/") or "/../" in f"{path}/" or "//" in path or "/./" in path:
            raise FieldError(f"files.{path}", "write an absolute path in the container, without . and ..")
        fields[f"files.{path}"] = one.content
        fields[f"modes.{path}"] = one.mode
    return fields


def _danger(wish: _Wish) -> dict[str, Value]:
    """Keys that reach the host, as they will be judged by the policy."""
    specs = wish.specs
    fields: dict[str, Value] = {key: getattr(specs, key) or None for key in DANGER}
    fields |= {key: tuple(getattr(specs, key)) or None for key in ("devices", "security_opt")}
    fields["runtime"] = specs.runtime
    fields["devices"] = _devices(specs.devices)
    return fields


def _devices(written: tuple[str, ...]) -> Value:
    whole = []
    for device in written:
        host, _, rest = device.partition(":")
        inside, _, rights = rest.partition(":")
        whole.append(f"{host}:{inside or host}:{rights or 'rwm'}")
    return tuple(whole) or None
