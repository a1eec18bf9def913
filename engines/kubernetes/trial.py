"""A server-side dry run of one object: what the cluster would make of it, and who else has a say in its fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.blueprint.value import Value, markers
from controller.plan.diff import covers
from controller.plan.resource import NO_FIELDS, Desired, Fields, Mark, MarkLifecycle, Seen
from controller.plan.step import FieldChange
from engines.engine import Conflict, Refused, Transient
from engines.kubernetes import managed, marks, observe, policy, shape
from engines.kubernetes.calls import CREATE_ONLY, encoded, marked
from engines.kubernetes.client import APPLY, Call, Client, NotFound, apply_params
from engines.kubernetes.discovery import Discovery, Resource
from engines.kubernetes.lookup import Lookup
from engines.kubernetes.objects import Raw, group_kind, kind_of, place_of
from engines.kubernetes.settings import Settings

_NO_DRY_RUN = re.compile(r"does not support dry run")
_DEFINITION = "CustomResourceDefinition.apiextensions.k8s.io"


@dataclass(frozen=True, slots=True)
class Tried:
    """`fields` of the result, `changes` from live to it; `skipped`: the server could not be asked, so only what the
    blueprint itself says is known. `told` is one line for the plan."""

    fields: Fields = field(default_factory=lambda: NO_FIELDS)
    changes: tuple[FieldChange, ...] = ()
    skipped: bool = False
    told: str = ""


class Trial:
    """Asks one cluster."""

    def __init__(
        self,
        client: Client,
        discovery: Discovery,
        found: Lookup,
        settings: Settings,
        install: str,
        mask: observe.Mask,
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._lookup = found
        self._settings = settings
        self._install = install
        self._mask = mask
        self._coming: frozenset[str] = frozenset()  # kinds and namespaces that this plan makes itself

    async def prepare(self, wanted: Sequence[Desired]) -> None:
        """Takes in what the plan brings along: objects of a new kind or in a new namespace cannot be tried yet."""
        await self._discovery.served(kind_of(d.key) for d in wanted)
        self._coming = frozenset(name for d in wanted for name in _brings(d))

    async def tried(self, desired: Desired, seen: Seen | None) -> Tried:
        """The server's answer to `desired`. Raises Refused (with the server's words), Transient."""
        resource = await self._resource(desired)
        body = desired.private["body"]
        if refused := policy.fenced(body if isinstance(body, dict) else {}, self._settings):
            raise Refused("; ".join(why for _, why in refused))
        namespace, _ = place_of(desired.key)
        if resource is None or (seen is None and f"namespace {namespace}" in self._coming):
            return Tried(skipped=True)
        if any(True for _ in markers(body)):
            return Tried(skipped=True)
        return await self._asked(desired, resource, seen)

    async def _resource(self, desired: Desired) -> Resource | None:
        """How its kind is served; None if this plan brings the kind."""
        kind, body = kind_of(desired.key), desired.private["body"]
        assert isinstance(body, Mapping)
        version = str(body.get("apiVersion"))
        served = await self._discovery.served()
        found = served.resource(kind, version)
        if found is None:
            if f"kind {kind}" in self._coming:
                return None
            if served.is_stale(kind):
                raise Transient(f"nobody can tell whether {kind} is served: its API group does not answer")
            raise Refused(f"the cluster serves no {kind} in {version}; install its definition first")
        if found.namespaced != ("/" in desired.key.name):
            what = (
                "has no namespace: name it in the server's allow.kubernetes.kinds"
                if not found.namespaced
                else "has one"
            )
            raise Refused(f"{kind} {what}")
        return found

    async def _asked(self, desired: Desired, resource: Resource, seen: Seen | None) -> Tried:
        live = None
        if seen is not None:
            user = self._settings.user(desired.resource.scope)
            live = await self._lookup.named(desired.key, user, resource.api_version)
            if live is None:
                raise Transient("it went while the plan was made")
        body = self._body(desired, live)
        path = resource.path(*place_of(desired.key))
        user = self._settings.user(desired.resource.scope)
        try:
            found = await self._client.object(Call("PATCH", path, apply_params(dry_run=True), body, APPLY, user=user))
        except (NotFound, Conflict) as error:
            if seen is None and isinstance(error, NotFound):
                raise Refused(str(error)) from None
            raise Transient(str(error)) from None
        except Refused as error:
            if _NO_DRY_RUN.search(str(error)):
                return Tried(skipped=True, told=f"not tried on the server: {error}")
            raise
        return self._result(desired, live, found)

    def _body(self, desired: Desired, live: Raw | None) -> dict[str, Any]:
        wanted = desired.private["body"]
        assert isinstance(wanted, Mapping)
        body: dict[str, Any] = encoded({**wanted, "metadata": dict(wanted["metadata"])})
        if live is not None and desired.lifecycle.ignore:
            ignored = desired.lifecycle.ignore
            body = shape.with_kept(body, live, lambda p: any(covers(i, p) for i in ignored))
        scope, resource = desired.resource.scope, str(desired.resource)
        op = marks.op_of(live) if live else ""
        marked(body, Mark(self._install, scope, resource, op or "plan", MarkLifecycle.of(desired.lifecycle)))
        if live is None:
            body["metadata"]["resourceVersion"] = CREATE_ONLY
        return body

    def _result(self, desired: Desired, live: Raw | None, found: Raw) -> Tried:
        after = observe.fields_of(found, self._mask)
        if live is None:
            return Tried(after)
        before = observe.fields_of(live, self._mask)
        hidden = marks.secret_paths(found) | marks.secret_paths(live)
        paths = sorted({*before, *after})
        changes = tuple(
            FieldChange(p, before.get(p), after.get(p), p in hidden, managed.writer(live, p))
            for p in paths
            if _plain(before.get(p)) != _plain(after.get(p))
        )
        return Tried(after, changes, told=_conflicts(desired, changes))


def _conflicts(desired: Desired, changes: Sequence[FieldChange]) -> str:
    """Whose fields the apply would take: each with the other manager's name, and when that one wrote it last."""
    taken = [f"{c.path} from {c.by}" for c in changes if c.path in desired.fields and c.by]
    return f"takes over {', '.join(taken)}" if taken else ""


def _brings(desired: Desired) -> list[str]:
    kind, body = kind_of(desired.key), desired.private["body"]
    if kind == "Namespace":
        return [f"namespace {desired.key.name}"]
    if kind != _DEFINITION or not isinstance(body, Mapping):
        return []
    spec = body.get("spec") or {}
    names = spec.get("names") or {}
    return [f"kind {group_kind(str(spec.get('group')) + '/', str(names.get('kind')))}"]


def _plain(value: Value) -> Value:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
