"""What stands at the other end, and which rights are missing, told by the cluster itself."""

from __future__ import annotations

import asyncio

from engines.engine import TargetInfo
from engines.kubernetes.client import Call, Client

# Group, resource, verbs: what the mapped kinds and the scope's record need. Any other kind of a manifest needs the same
# six verbs on its own resource. README lists them as a Role.
RIGHTS = (
    ("", "configmaps"),
    ("", "secrets"),
    ("", "services"),
    ("", "persistentvolumeclaims"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("batch", "jobs"),
    ("networking.k8s.io", "ingresses"),
    ("networking.k8s.io", "networkpolicies"),
)
_MEND = "kubectl create role alma --verb={verb} --resource={resource} -n {home}"
VERBS = ("get", "list", "watch", "create", "patch", "delete")


async def about(client: Client) -> TargetInfo:
    """Version, and for each resource the verbs that are missing in the target's own namespace."""
    home = await client.namespace()
    version, rules = await asyncio.gather(client.get(Call("GET", "/version")), _rules(client, home))
    missing = [
        f"{verb} {_called(group, resource)}: {_MEND.format(verb=verb, resource=_called(group, resource), home=home)}"
        for group, resource in RIGHTS
        for verb in VERBS
        if not any(_covers(rule, group, resource, verb) for rule in rules)
    ]
    held = tuple(_called(group, resource) for group, resource in RIGHTS)
    return TargetInfo(f"Kubernetes {version.get('gitVersion')}", held, tuple(missing))


def _called(group: str, resource: str) -> str:
    return f"{resource}.{group}" if group else resource


async def _rules(client: Client, namespace: str) -> list[dict[str, list[str]]]:
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    answer = await client.get(Call("POST", path, body=body))
    rules: list[dict[str, list[str]]] = (answer.get("status") or {}).get("resourceRules") or []
    return rules


def _covers(rule: dict[str, list[str]], group: str, resource: str, verb: str) -> bool:
    asked = (("apiGroups", group), ("resources", resource), ("verbs", verb))
    return not rule.get("resourceNames") and all({"*", value} & set(rule.get(key) or ()) for key, value in asked)
