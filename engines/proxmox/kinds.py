"""What blueprint types become on a cluster: one object each, judged by the policy before any plan (I38). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from controller.blueprint.entry import Entry, ProbeKind
from controller.blueprint.names import did_you_mean, natural_name
from controller.blueprint.value import Secret, Value, markers
from controller.errors import Problem
from controller.plan.resource import Desired, Expanding, Kind, ObjectKey, ResourceId
from engines.proxmox import guest, others, policy
from engines.proxmox.guest_specs import ContainerSpecs, GuestSpecs, Strict, VmSpecs
from engines.proxmox.wanted import birth, wanted

Expanded = tuple[tuple[Desired, ...], tuple[Problem, ...]]
Model = TypeVar("Model", bound=Strict)
# Where a value is a text to the platform, and no name of something.
_MAY_HOLD_OUTPUTS = ("description", "cloudinit.nameservers", "nameservers", "cloudinit.ip", "nets.", "comment")


def parsed(model: type[Model], entry: Entry) -> tuple[Model | None, list[Problem]]:
    """`entry.specs` as the model says, or every mistake at its place."""
    try:
        return model.model_validate(dict(entry.specs)), []
    except ValidationError as error:
        return None, [_problem(entry, model, dict(e)) for e in error.errors(include_url=False, include_input=False)]


def _problem(entry: Entry, model: type[Strict], error: Mapping[str, Any]) -> Problem:
    path = ".".join(["specs", *(str(p) for p in error["loc"])])
    if error["type"] == "extra_forbidden":
        wrong = str(error["loc"][-1])
        known = model.model_fields if len(error["loc"]) == 1 else ()
        return entry.problem(path, f"unknown key {wrong}{did_you_mean(wrong, known)}")
    return entry.problem(path, str(error["msg"]).removeprefix("Value error, "))


def _name(entry: Entry, scope: str, limit: int) -> str:
    written = entry.specs.get("name")
    return written if isinstance(written, str) else natural_name(scope, entry.blueprint, entry.name, limit=limit)


def _refused(entry: Entry, found: Iterable[policy.Refusal]) -> list[Problem]:
    return [entry.problem(f"specs.{path}", why) for path, why in found]


def _markers_problems(entry: Entry, fields: Mapping[str, Value]) -> list[Problem]:
    return [
        entry.problem(f"specs.{path}", "a secret cannot stand here" if secret else "an output cannot stand here")
        for path, value in fields.items()
        for secret in [any(isinstance(m, Secret) for m in markers(value))]
        if any(True for _ in markers(value))
        and (path != "cloudinit.password" if secret else not path.startswith(_MAY_HOLD_OUTPUTS))
    ]


class GuestKind:
    """vm and compute, lxc and container."""

    outputs: frozenset[str] = frozenset({"name", "vmid", "node", "address"})

    def __init__(self, name: str, model: type[GuestSpecs]) -> None:
        self.name = name
        self._model = model

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """`specs.name`, else SCOPE-BLUEPRINT-RESOURCE."""
        return ObjectKey(self.name, _name(resource, scope, 63))

    def expand(self, resource: Entry, about: Expanding) -> Expanded:
        """One guest, or the problems."""
        problems = _refused(resource, policy.specs(resource.specs, about.allow))
        specs, wrong = parsed(self._model, resource)
        if specs is None:
            return (), tuple(problems + wrong)
        fields = wanted(specs)
        problems += _refused(resource, policy.named(_placed(specs, fields), about.allow))
        problems += _markers_problems(resource, fields) + self._probe_problems(resource)
        born, needs, more = self._references(resource, specs, about)
        problems += more
        if problems:
            return (), tuple(problems)
        stop = {"timeout_s": specs.stop.timeout, "force": specs.stop.force}
        snapshot = None if specs.snapshot is None else {"rollback": specs.snapshot.rollback}
        private: dict[str, Value] = {"birth": born, "stop": stop, "snapshot": snapshot}
        claims = guest.claims(fields, specs.vmid, running=bool(fields["running"]))
        if specs.pool is not None:
            fields["pool"], pool_needs = _pool(resource, specs.pool, about)
            needs = (*needs, *pool_needs)
        desired = _desired(resource, self.key(resource, about.scope), fields, about)
        return (replace(desired, claims=claims, private=private, needs=needs),), ()

    def _references(
        self, entry: Entry, specs: GuestSpecs, about: Expanding
    ) -> tuple[dict[str, Value], tuple[str, ...], list[Problem]]:
        """What it is made from: a guest of this blueprint is named by its resource, another one by its vmid."""
        born = birth(specs)
        source = specs.clone
        if source is None:
            return born, (), []
        if type(source) is int and source >= 100:
            return born, (), []
        key = about.names.get(str(source)) if isinstance(source, str) else None
        if key is None or key.kind != self.name:
            text = f"{source} is no {self.name.partition('/')[2]} of this blueprint; name one, or write a vmid"
            return born, (), [entry.problem("specs.clone", text)]
        return {**born, "clone": key.name}, (_id(entry, about, str(source)),), []

    def _probe_problems(self, entry: Entry) -> list[Problem]:
        probe = entry.health
        if probe is not None and probe.kind is ProbeKind.EXEC:
            return [entry.problem("health", "nothing can be run inside a guest from here; use running, http or tcp")]
        if probe is not None and probe.kind in (ProbeKind.HTTP, ProbeKind.TCP) and probe.port is None:
            return [entry.problem("health", f"{probe.kind} needs a port")]
        return []

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return _schema(self.name, self._model)


def _placed(specs: GuestSpecs, fields: Mapping[str, Value]) -> dict[str, str]:
    """Path in specs → what it names of the cluster."""
    found = {p: f"storage {v}" for p, v in fields.items() if p.endswith(".storage")}
    found |= {p: f"bridge {v}" for p, v in fields.items() if p.endswith(".bridge")}
    found |= {"node": f"node {specs.node}"} if specs.node else {}
    return found | ({"pool": f"pool {specs.pool}"} if specs.pool else {})


def _pool(entry: Entry, name: str, about: Expanding) -> tuple[str, tuple[str, ...]]:
    """A pool of this blueprint by its resource name, else one of the cluster; and what must be there first."""
    key = about.names.get(name)
    return (key.name, (_id(entry, about, name),)) if key is not None and key.kind == others.POOL else (name, ())


def _id(entry: Entry, about: Expanding, name: str) -> str:
    """Full id of a resource named as `name` or `blueprint/name`."""
    return f"{about.scope}/{name}" if "/" in name else f"{about.scope}/{entry.blueprint}/{name}"


class PoolKind:
    """pool."""

    name: str = others.POOL
    outputs: frozenset[str] = frozenset({"name"})

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """`specs.name`, else SCOPE-BLUEPRINT-RESOURCE."""
        return ObjectKey(self.name, _name(resource, scope, 63))

    def expand(self, resource: Entry, about: Expanding) -> Expanded:
        """One pool, or the problems."""
        specs, problems = parsed(others.PoolSpecs, resource)
        if specs is None:
            return (), tuple(problems)
        key = self.key(resource, about.scope)
        problems += _refused(resource, policy.named({"name": f"pool {key.name}"}, about.allow))
        fields = {"comment": specs.comment} if specs.comment is not None else {}
        return (() if problems else (_desired(resource, key, fields, about),)), tuple(problems)

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return _schema(self.name, others.PoolSpecs)


class BackupKind:
    """backup-job."""

    name: str = others.BACKUP
    outputs: frozenset[str] = frozenset({"name"})

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """`specs.name`, else SCOPE-BLUEPRINT-RESOURCE: PVE lets us choose a job's id."""
        return ObjectKey(self.name, _name(resource, scope, 40))

    def expand(self, resource: Entry, about: Expanding) -> Expanded:
        """One job, or the problems."""
        specs, problems = parsed(others.BackupSpecs, resource)
        if specs is None:
            return (), tuple(problems)
        fields = others.wanted_job(specs)
        needs: tuple[str, ...] = ()
        guests = []
        for name in specs.guests:
            key = about.names.get(name)
            if key is None or key.kind not in guest.KINDS:
                problems.append(resource.problem("specs.guests", f"{name[:60]} is no guest of this blueprint"))
            else:
                guests.append(key.name)
                needs = (*needs, _id(resource, about, name))
        if guests:
            fields["guests"] = tuple(sorted(guests))
        if specs.pool is not None:
            fields["pool"], needs = _pool(resource, specs.pool, about)
        problems += _refused(resource, policy.named({"storage": f"storage {specs.storage}"}, about.allow))
        key = self.key(resource, about.scope)
        desired = replace(_desired(resource, key, fields, about), needs=needs)
        return (() if problems else (desired,)), tuple(problems)

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return _schema(self.name, others.BackupSpecs)


class ImageKind:
    """image: a file of a storage, fetched before it is needed, never removed."""

    name: str = others.IMAGE
    outputs: frozenset[str] = frozenset({"image"})

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """STORAGE:CONTENT/FILE, with @NODE where one is written: files belong to the storage and bear its name."""
        s = resource.specs
        file = s.get("filename") or str(s.get("url", "")).rpartition("/")[2]
        node = f"@{s['node']}" if s.get("node") else ""
        return ObjectKey(self.name, f"{s.get('storage')}:{s.get('content')}/{file}{node}")

    def expand(self, resource: Entry, about: Expanding) -> Expanded:
        """One file, or the problems."""
        specs, problems = parsed(others.ImageSpecs, resource)
        if specs is None:
            return (), tuple(problems)
        placed = {"storage": f"storage {specs.storage}"} | ({"node": f"node {specs.node}"} if specs.node else {})
        problems += _refused(resource, policy.named(placed, about.allow))
        fields: dict[str, Value] = {"image": f"{specs.storage}:{specs.content}/{specs.file}"}
        private: dict[str, Value] = {"url": specs.url, "checksum": specs.checksum, "node": specs.node}
        desired = replace(_desired(resource, self.key(resource, about.scope), fields, about), private=private)
        return (() if problems else (desired,)), tuple(problems)

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return _schema(self.name, others.ImageSpecs)


def _desired(entry: Entry, key: ObjectKey, fields: Mapping[str, Value], about: Expanding) -> Desired:
    return Desired(
        resource=ResourceId(about.scope, entry.blueprint, entry.name),
        key=key,
        fields=fields,
        place=entry.place,
        lifecycle=entry.lifecycle,
        probe=entry.health,
        formerly=entry.formerly,
        adopt=entry.adopt,
    )


def _schema(title: str, model: type[Strict]) -> Mapping[str, object]:
    """Markers and short forms are wider than pydantic's types, so only the known keys are said exactly."""
    known = sorted(model.model_fields)
    return {"title": title, "type": "object", "additionalProperties": False, "properties": {k: {} for k in known}}


_VM, _CT = GuestKind("proxmox/qemu", VmSpecs), GuestKind("proxmox/lxc", ContainerSpecs)
KINDS: Mapping[str, Kind] = {
    "vm": _VM,
    "compute": _VM,
    "lxc": _CT,
    "container": _CT,
    "pool": PoolKind(),
    "backup-job": BackupKind(),
    "image": ImageKind(),
}
