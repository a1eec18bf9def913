"""Rules about accounts of a cluster: whom rights are given to, and tokens. CIS Kubernetes 1.9, 5.1."""

from __future__ import annotations

from collections.abc import Iterator

from controller.review.finding import Severity
from controller.review.manifest import Manifest, at, maps_at
from controller.review.rules.controls import IDENTITY
from controller.review.rules.manifest_samples import binding, made, pod
from controller.review.rules.rule import Hit, Reason, Rule, manifest_rule, told

_CIS = "CIS Kubernetes 1.9"
_BINDINGS = ("RoleBinding", "ClusterRoleBinding")
_EVERYONE = frozenset({"system:unauthenticated", "system:anonymous", "system:authenticated"})


def _subjects(m: Manifest) -> Iterator[tuple[str, str, str]]:
    """(path, kind, name) of everyone a binding is for."""
    if m.kind in _BINDINGS:
        for path, subject in maps_at(m.body, "subjects"):
            yield path, str(subject.get("kind")), str(subject.get("name"))


@manifest_rule(
    "cluster-admin-bound",
    Severity.HIGH,
    Reason.IDENTITY,
    "Bound to cluster-admin",
    why="It may do everything in the cluster, and so may whoever breaks into it.",
    source=f"{_CIS}, 5.1.1",
    controls=IDENTITY,
    bad=binding({"kind": "ServiceAccount", "name": "ci", "namespace": "ci"}, "cluster-admin"),
    good=binding({"kind": "ServiceAccount", "name": "ci", "namespace": "ci"}, "view"),
)
def cluster_admin_bound(m: Manifest) -> Iterator[Hit]:
    if m.kind in _BINDINGS and at(m.body, "roleRef.name") == "cluster-admin":
        yield told(m, "roleRef", f"{m.name} binds cluster-admin", "a role with what it needs, in its namespace")


@manifest_rule(
    "bound-to-everyone",
    Severity.CRITICAL,
    Reason.IDENTITY,
    "Rights for everyone",
    why="Anyone who reaches the API server has them, some without any login.",
    source="NSA/CISA Kubernetes Hardening Guide 1.2, Authentication and authorization",
    controls=IDENTITY,
    bad=binding({"kind": "Group", "name": "system:unauthenticated"}),
    good=binding({"kind": "Group", "name": "ops"}),
)
def bound_to_everyone(m: Manifest) -> Iterator[Hit]:
    for path, _, name in _subjects(m):
        if name in _EVERYONE:
            yield told(m, path, f"{m.name} is for {name}", "name the people or accounts")


@manifest_rule(
    "bound-to-masters",
    Severity.HIGH,
    Reason.IDENTITY,
    "Rights nobody can take back",
    why="system:masters passes every check in the API server; its certificates hold until they expire.",
    source=f"{_CIS}, 5.1.7",
    controls=IDENTITY,
    bad=binding({"kind": "Group", "name": "system:masters"}),
    good=binding({"kind": "Group", "name": "ops"}),
)
def bound_to_masters(m: Manifest) -> Iterator[Hit]:
    for path, _, name in _subjects(m):
        if name == "system:masters":
            yield told(m, path, f"{m.name} is for system:masters", "a group of your own")


@manifest_rule(
    "bound-to-default-account",
    Severity.MEDIUM,
    Reason.IDENTITY,
    "Rights for the default account",
    why="Every pod that names no account has them, the ones that come later too.",
    source=f"{_CIS}, 5.1.5",
    controls=IDENTITY,
    bad=binding({"kind": "ServiceAccount", "name": "default", "namespace": "shop"}),
    good=binding({"kind": "ServiceAccount", "name": "reader", "namespace": "shop"}),
)
def bound_to_default_account(m: Manifest) -> Iterator[Hit]:
    for path, kind, name in _subjects(m):
        if (kind, name) == ("ServiceAccount", "default"):
            yield told(m, path, f"{m.name} is for the default account", "an account of its own for the pod")


@manifest_rule(
    "account-of-the-system",
    Severity.HIGH,
    Reason.IDENTITY,
    "Pod among the system's own",
    why="Accounts of kube-system may do much more than any workload needs.",
    source="NSA/CISA Kubernetes Hardening Guide 1.2, Namespaces",
    controls=IDENTITY,
    bad={**pod(), "metadata": {"name": "web", "namespace": "kube-system"}},
    good={**pod(), "metadata": {"name": "web", "namespace": "shop"}},
)
def account_of_the_system(m: Manifest) -> Iterator[Hit]:
    if m.pod and m.namespace in ("kube-system", "kube-public", "kube-node-lease"):
        yield told(m, "metadata.namespace", f"{m.name} runs in {m.namespace}", "a namespace of its own")


@manifest_rule(
    "long-lived-token",
    Severity.MEDIUM,
    Reason.IDENTITY,
    "Token that never ends",
    why="Such a secret holds until someone deletes it; tokens of pods end by themselves.",
    source="Kubernetes documentation, Manually create a long-lived API token",
    controls=IDENTITY,
    bad=made("v1", "Secret", type="kubernetes.io/service-account-token"),
    good=made("v1", "Secret", type="Opaque"),
)
def long_lived_token(m: Manifest) -> Iterator[Hit]:
    if m.kind == "Secret" and m.get("type") == "kubernetes.io/service-account-token":
        yield told(m, "type", f"{m.name} is a token without end", "kubectl create token, or a projected volume")


RULES: tuple[Rule, ...] = (
    cluster_admin_bound,
    bound_to_everyone,
    bound_to_masters,
    bound_to_default_account,
    account_of_the_system,
    long_lived_token,
)
