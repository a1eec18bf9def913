"""Small Kubernetes objects for the examples of rules."""

from __future__ import annotations

from collections.abc import Mapping

from controller.blueprint.value import Value

Object = Mapping[str, Value]


def pod(container: Object | None = None, **spec: Value) -> Object:
    """A pod of one container; `spec` is laid over the pod's."""
    return made("v1", "Pod", spec={"containers": [{"name": "web", "image": "web:1", **(container or {})}], **spec})


def deployment(container: Object | None = None, pod_spec: Object | None = None, **spec: Value) -> Object:
    """A deployment of such pods."""
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:1", **(container or {})}], **(pod_spec or {})},
    }
    return made(
        "apps/v1", "Deployment", spec={"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}
    )


def made(api: str, kind: str, name: str = "web", **parts: Value) -> Object:
    """An object of any kind."""
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **parts}


def role(resources: list[str], verbs: list[str], group: str = "") -> Object:
    """A role with one rule."""
    rules = [{"apiGroups": [group], "resources": resources, "verbs": verbs}]
    return made("rbac.authorization.k8s.io/v1", "Role", rules=rules)


def binding(subject: Object, to: str = "view") -> Object:
    """A binding of one subject to a cluster role."""
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": to}
    return made("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", subjects=[subject], roleRef=ref)


def secured(**context: Value) -> Object:
    """A container with these words of a security context."""
    return {"securityContext": context}


def limits(**quantities: Value) -> Object:
    """A container with requests and limits of these quantities."""
    return {"resources": {"requests": quantities, "limits": quantities}}
