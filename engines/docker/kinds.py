"""What blueprint types become on a Docker host: one object each, judged by the policy before any plan (I38). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from controller.blueprint.entry import Entry, ProbeKind, UpdateOrder
from controller.blueprint.names import did_you_mean, natural_name
from controller.blueprint.value import Value, markers
from controller.errors import Problem
from controller.plan.resource import Desired, Expanding, Kind, ObjectKey, ResourceId
from engines.docker import container, image, network, policy, volume
from engines.docker.container_fields import FieldError, wanted_fields
from engines.docker.container_specs import ContainerSpecs, Strict
from engines.docker.policy import Refusal

Expanded = tuple[tuple[Desired, ...], tuple[Problem, ...]]
Model = TypeVar("Model", bound=Strict)
RESERVED_ENDINGS = (".new", ".old")


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


def _name(entry: Entry, scope: str) -> str:
    written = entry.specs.get("name") or entry.specs.get("container_name")
    return written if isinstance(written, str) else natural_name(scope, entry.blueprint, entry.name, limit=63)


def _name_problems(entry: Entry, name: str) -> list[Problem]:
    if name.endswith(RESERVED_ENDINGS):
        return [entry.problem("specs.name", "names ending in .new and .old belong to replacements under way")]
    return []


def _refused(entry: Entry, found: Iterable[Refusal]) -> list[Problem]:
    return [entry.problem(f"specs.{path}", why) for path, why in found]


def _markers_problem(entry: Entry, fields: Mapping[str, Value], allowed: tuple[str, ...]) -> list[Problem]:
    """Secrets and outputs stand only where a value is a text to the platform and no name of something."""
    return [
        entry.problem(f"specs.{path.partition('.')[0]}", "a secret or output cannot stand here")
        for path, value in fields.items()
        if not path.startswith(allowed) and any(True for _ in markers(value))
    ]


class ContainerKind:
    """container, compute, service and database."""

    name: str = container.KIND
    outputs: frozenset[str] = frozenset({"name", "id", "address", "port", "ports", "url", "image"})

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """`specs.name`, else SCOPE-BLUEPRINT-RESOURCE."""
        return ObjectKey(self.name, _name(resource, scope))

    def expand(self, resource: Entry, about: Expanding) -> Expanded:
        """One container, or the problems."""
        specs, problems = parsed(ContainerSpecs, resource)
        if specs is None:
            return (), tuple(problems)
        key = self.key(resource, about.scope)
        problems += _name_problems(resource, key.name)
        try:
            fields, needs = wanted_fields(specs, resource, about)
            body = container.body(fields, str(fields["image"]))
        except FieldError as error:
            return (), (*problems, resource.problem(f"specs.{error.path}" if error.path else "", error.reason))
        problems += _refused(resource, policy.container(body, about.allow))
        problems += _markers_problem(resource, fields, ("env.", "labels.", "files.", "command", "entrypoint"))
        problems += _probe_problems(resource, fields) + _order_problems(resource, fields)
        if problems:
            return (), tuple(problems)
        claims = container.claims(fields, key.name)
        desired = _desired(resource, key, fields, about)
        private = {"reason": container.stop_first(fields, resource.type == "database"), "job": _is_job(specs)}
        return (replace(desired, claims=claims, private=private, needs=needs),), ()

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return _schema("container", ContainerSpecs)


class NetworkKind:
    """network."""

    name: str = network.KIND
    outputs: frozenset[str] = frozenset({"name", "id", "subnet", "gateway"})

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """`specs.name`, else SCOPE-BLUEPRINT-RESOURCE."""
        return ObjectKey(self.name, _name(resource, scope))

    def expand(self, resource: Entry, about: Expanding) -> Expanded:
        """One network, or the problems."""
        specs, problems = parsed(network.NetworkSpecs, resource)
        if specs is None:
            return (), tuple(problems)
        key = self.key(resource, about.scope)
        fields = {} if specs.external else network.wanted(specs)
        if not specs.external:
            problems += _refused(resource, policy.network(network.body(fields, key.name), about.allow))
        elif key.name == "host":
            problems += _refused(resource, [("name", "the host's own network is not allowed")])
        problems += _external_problems(resource, specs.external, specs.name)
        problems += _markers_problem(resource, fields, ())
        if problems:
            return (), tuple(problems)
        claims = frozenset() if specs.external else network.claims(key.name, fields)
        desired = _desired(resource, key, fields, about)
        return (replace(desired, external=specs.external, claims=claims),), ()

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return _schema("network", network.NetworkSpecs)


class VolumeKind:
    """volume and storage."""

    name: str = volume.KIND
    outputs: frozenset[str] = frozenset({"name"})

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """`specs.name`, else SCOPE-BLUEPRINT-RESOURCE."""
        return ObjectKey(self.name, _name(resource, scope))

    def expand(self, resource: Entry, about: Expanding) -> Expanded:
        """One volume, or the problems."""
        specs, problems = parsed(volume.VolumeSpecs, resource)
        if specs is None:
            return (), tuple(problems)
        key = self.key(resource, about.scope)
        fields = {} if specs.external else volume.wanted(specs)
        if not specs.external:
            problems += _refused(resource, policy.volume(volume.body(fields, key.name), about.allow))
        problems += _external_problems(resource, specs.external, specs.name)
        problems += _markers_problem(resource, fields, ())
        if problems:
            return (), tuple(problems)
        claims = frozenset() if specs.external else volume.claims(key.name, specs.size_bytes)
        desired = _desired(resource, key, fields, about)
        return (replace(desired, external=specs.external, claims=claims),), ()

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return _schema("volume", volume.VolumeSpecs)


class ImageKind:
    """image: pulled before it is needed, never removed."""

    name: str = image.KIND
    outputs: frozenset[str] = frozenset({"image", "digest"})

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """NAME:TAG: images belong to the host, so their own name is the key."""
        try:
            return ObjectKey(self.name, image.tagged(str(resource.specs.get("image", ""))))
        except ValueError:
            return ObjectKey(self.name, _name(resource, scope))

    def expand(self, resource: Entry, about: Expanding) -> Expanded:
        """One image, or the problems."""
        specs, problems = parsed(image.ImageSpecs, resource)
        if specs is None:
            return (), tuple(problems)
        try:
            image.parts(specs.image)
        except ValueError as error:
            return (), (resource.problem("specs.image", str(error)),)
        key = self.key(resource, about.scope)
        desired = _desired(resource, key, {"image": specs.image}, about)
        return (replace(desired, claims=image.claims(key.name)),), ()

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return _schema("image", image.ImageSpecs)


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
        pins=about.pins,
    )


def _external_problems(entry: Entry, external: bool, name: str | None) -> list[Problem]:
    if not external:
        return _name_problems(entry, name or "")
    others = sorted(set(entry.specs) - {"external", "name"})
    if others:
        return [entry.problem(f"specs.{others[0]}", "an external object is used as it is; only `name` can be written")]
    return [] if name else [entry.problem("specs.external", "say which object: write its `name` too")]


def _probe_problems(entry: Entry, fields: Mapping[str, Value]) -> list[Problem]:
    """A probe that cannot reach the container by construction is a mistake of the blueprint."""
    probe = entry.health
    if probe is None or probe.kind not in (ProbeKind.HTTP, ProbeKind.TCP):
        return []
    if probe.port is None:
        return [entry.problem("health", f"{probe.kind} needs the port inside the container")]
    published = f"ports.{probe.port}/tcp" in fields
    if not published and fields.get("network_mode") == "none":
        text = f"nothing outside the container reaches port {probe.port}; publish it, or use exec"
        return [entry.problem("health", text)]
    return []


def _order_problems(entry: Entry, fields: Mapping[str, Value]) -> list[Problem]:
    why = container.stop_first(fields, entry.type == "database")
    if entry.lifecycle.update is UpdateOrder.START_FIRST and why:
        return [entry.problem("lifecycle.update", f"start-first is not possible: {why}, so two cannot run at once")]
    return []


def _is_job(specs: ContainerSpecs) -> bool:
    """`restart` written as `no` or `on-failure` says that ending well is fine."""
    return bool(specs.restart) and str(specs.restart).startswith(("no", "on-failure"))


def _schema(title: str, model: type[Strict]) -> Mapping[str, object]:
    """Markers and short forms are wider than pydantic's types, so only the known keys are said exactly."""
    known = sorted(model.model_fields)
    return {"title": title, "type": "object", "additionalProperties": False, "properties": {k: {} for k in known}}


_CONTAINER, _NETWORK, _VOLUME, _IMAGE = ContainerKind(), NetworkKind(), VolumeKind(), ImageKind()
KINDS: Mapping[str, Kind] = {
    "container": _CONTAINER,
    "compute": _CONTAINER,
    "service": _CONTAINER,
    "database": _CONTAINER,
    "network": _NETWORK,
    "volume": _VOLUME,
    "storage": _VOLUME,
    "image": _IMAGE,
}
