"""One manifest of a resource → one wanted object: placed in its namespace, judged by policy (I38). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from controller.blueprint.entry import Entry
from controller.blueprint.names import shown
from controller.blueprint.value import Output, Secret, Text, Value, markers
from controller.errors import Problem
from controller.plan.resource import Allow, Desired, Expanding, ResourceId
from engines.kubernetes import marks, observe, policy
from engines.kubernetes.manifests import Manifest
from engines.kubernetes.objects import flat, group_kind, key_of


def wanted(entry: Entry, one: Manifest, about: Expanding, problems: list[Problem]) -> Desired | None:
    """One object of a resource; what is wrong with it goes to `problems`."""
    at = f"specs.{one.path}".rstrip(".")
    body = _with_rule(entry, one.body)
    kind = group_kind(str(body.get("apiVersion")), str(body.get("kind")))
    clusterwide = kind in policy.CLUSTER_KINDS or _declared_clusterwide(kind, about.allow)
    body = _placed(entry, body, about, clusterwide)
    refused = policy.judge(body, about.allow, about.scope) + _secret_problems(body) + _marker_problems(body)
    problems += [entry.problem(f"{at}.{path}", f"{_called(body)}: {why}") for path, why in refused]
    if refused:
        return None
    key = key_of(body, not clusterwide)
    return Desired(
        resource=ResourceId(about.scope, entry.blueprint, entry.name),
        key=key,
        fields=_fields(body),
        place=entry.locate(at),
        lifecycle=entry.lifecycle,
        probe=entry.health,
        claims=observe.claims(key),
        formerly=entry.formerly,
        adopt=entry.adopt,
        private={"body": body},
    )


def _declared_clusterwide(kind: str, allow: Allow) -> bool:
    """A custom kind that policy names without a wildcard and with the suffix `:cluster`."""
    return f"{kind}:cluster" in allow.option("kubernetes.kinds")


def _placed(entry: Entry, body: Mapping[str, Value], about: Expanding, clusterwide: bool) -> dict[str, Value]:
    written = body.get("metadata")
    metadata: dict[str, Value] = dict(written) if isinstance(written, Mapping) else {}
    if clusterwide:
        metadata.pop("namespace", None)
    elif not metadata.get("namespace"):
        given = entry.specs.get("namespace")
        fallback = policy.default_namespace(about.scope, about.allow)
        metadata["namespace"] = given if isinstance(given, str) else fallback
    return {**body, "metadata": metadata}


def _with_rule(entry: Entry, body: Mapping[str, Value]) -> Mapping[str, Value]:
    """A health rule of the blueprint lies on the object, so that whoever asks for its health finds it."""
    rule = entry.specs.get("health_rule") if "apiVersion" not in entry.specs else None
    if not isinstance(rule, Mapping):
        return body
    metadata = body.get("metadata")
    metadata = dict(metadata) if isinstance(metadata, Mapping) else {}
    said = metadata.get("annotations")
    text = json.dumps({k: list(v) if isinstance(v, tuple) else v for k, v in rule.items()}, sort_keys=True)
    metadata["annotations"] = {**(said if isinstance(said, Mapping) else {}), marks.HEALTH: text}
    return {**body, "metadata": metadata}


def _fields(body: Mapping[str, Value]) -> dict[str, Value]:
    """As it will read once it is there: a Secret's `stringData` is `data`."""
    fields = flat(body)
    if not marks.is_secret(body):
        return fields
    return {p.replace("stringData.", "data.", 1) if p.startswith("stringData.") else p: v for p, v in fields.items()}


def _secret_problems(body: Mapping[str, Value]) -> list[policy.Refusal]:
    """Values of a Secret are references: what stands in Git is no secret (I27)."""
    if not marks.is_secret(body):
        return []
    found = []
    for part in ("data", "stringData"):
        values = body.get(part)
        for key, value in values.items() if isinstance(values, Mapping) else ():
            if part == "data" and value:
                found.append((f"data.{key}", 'write it in stringData as {secret: "env:NAME"}'))
            elif value and not any(True for _ in markers(value)):
                found.append((f"stringData.{key}", 'a value in Git is no secret; write {secret: "env:NAME"}'))
    return found


def _marker_problems(body: Mapping[str, Value]) -> list[policy.Refusal]:
    """What decides which object it is must be known before anything runs."""
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if isinstance(name, Secret | Output | Text):
        return [("metadata.name", "a secret or output cannot stand in a name")]
    return []


def _called(body: Mapping[str, Value]) -> str:
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else ""
    return f"{shown(str(body.get('kind')), 80)} {shown(str(name), 80)}"
