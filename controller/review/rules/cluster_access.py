"""Rules about who may do what in a cluster: roles, and whom they are bound to. CIS Kubernetes 5.1."""

from __future__ import annotations

from collections.abc import Iterator

from controller.review.finding import Severity
from controller.review.manifest import Manifest, listed, maps_at
from controller.review.rules.controls import IDENTITY, SECRETS
from controller.review.rules.manifest_samples import role
from controller.review.rules.rule import Hit, Reason, Rule, manifest_rule, told

_CIS = "CIS Kubernetes 1.9"
_ROLES = ("Role", "ClusterRole")
_READING = frozenset({"get", "list", "watch", "*"})
_MAKING = frozenset({"create", "*"})
_CHANGING = frozenset({"create", "update", "patch", "*"})


def _grants(m: Manifest, resources: frozenset[str], verbs: frozenset[str]) -> Iterator[tuple[str, str]]:
    """(path, what) of every place in a role that grants one of these verbs on one of these resources by name."""
    for path, rule in maps_at(m.body, "rules") if m.kind in _ROLES else ():
        done = {str(v) for v in listed(rule.get("verbs"))} & verbs
        for i, asked in enumerate(listed(rule.get("resources"))):
            if done and asked in resources and not listed(rule.get("resourceNames")):
                yield f"{path}.resources.{i}", f"{', '.join(sorted(done))} {asked}"


def _named(m: Manifest, key: str, words: frozenset[str]) -> Iterator[tuple[str, str]]:
    """(path, word) of each of these words under `resources` or `verbs` of a role's rules."""
    for path, rule in maps_at(m.body, "rules") if m.kind in _ROLES else ():
        for i, word in enumerate(listed(rule.get(key))):
            if word in words:
                yield f"{path}.{key}.{i}", str(word)


@manifest_rule(
    "role-wildcard",
    Severity.HIGH,
    Reason.IDENTITY,
    "Role with a wildcard",
    why="It grants what exists today and whatever is installed tomorrow.",
    source=f"{_CIS}, 5.1.3",
    controls=IDENTITY,
    bad=role(["*"], ["get"]),
    good=role(["configmaps"], ["get"]),
)
def role_wildcard(m: Manifest) -> Iterator[Hit]:
    for key in ("resources", "verbs"):
        for path, _ in _named(m, key, frozenset({"*"})):
            yield told(m, path, f"{m.name} grants all {key} by *", f"name the {key}")


@manifest_rule(
    "role-reads-secrets",
    Severity.MEDIUM,
    Reason.IDENTITY,
    "Role that reads every secret",
    why="Tokens of other accounts lie among them: it is every account of the namespace.",
    source=f"{_CIS}, 5.1.2",
    controls=SECRETS,
    bad=role(["secrets"], ["get", "list"]),
    good=role(["configmaps"], ["get", "list"]),
)
def role_reads_secrets(m: Manifest) -> Iterator[Hit]:
    for path, what in _grants(m, frozenset({"secrets"}), _READING):
        yield told(m, path, f"{m.name} may {what}", "name the one secret under resourceNames")


@manifest_rule(
    "role-makes-pods",
    Severity.MEDIUM,
    Reason.IDENTITY,
    "Role that makes pods",
    why="A pod may run as any account of its namespace and mount any secret there.",
    source=f"{_CIS}, 5.1.4",
    controls=IDENTITY,
    bad=role(["pods"], ["create"]),
    good=role(["pods"], ["get"]),
)
def role_makes_pods(m: Manifest) -> Iterator[Hit]:
    for path, what in _grants(m, frozenset({"pods"}), _MAKING):
        yield told(m, path, f"{m.name} may {what}", "let a controller make them, from reviewed manifests")


@manifest_rule(
    "role-enters-pods",
    Severity.MEDIUM,
    Reason.IDENTITY,
    "Role that enters pods",
    why="exec and attach are a shell in every pod of the namespace, on no record of what was done.",
    source="NSA/CISA Kubernetes Hardening Guide 1.2, Authorization",
    controls=IDENTITY,
    bad=role(["pods/exec"], ["create"]),
    good=role(["pods/log"], ["get"]),
)
def role_enters_pods(m: Manifest) -> Iterator[Hit]:
    for path, what in _grants(m, frozenset({"pods/exec", "pods/attach", "pods/ephemeralcontainers"}), _CHANGING):
        yield told(m, path, f"{m.name} may {what}", "remove it, or bind it for an hour only")


@manifest_rule(
    "role-raises-itself",
    Severity.HIGH,
    Reason.IDENTITY,
    "Role that raises itself",
    why="bind, escalate and impersonate give every right that exists to whoever has them.",
    source=f"{_CIS}, 5.1.8",
    controls=IDENTITY,
    bad=role(["clusterroles"], ["escalate"], "rbac.authorization.k8s.io"),
    good=role(["clusterroles"], ["get"], "rbac.authorization.k8s.io"),
)
def role_raises_itself(m: Manifest) -> Iterator[Hit]:
    for path, verb in _named(m, "verbs", frozenset({"bind", "escalate", "impersonate"})):
        yield told(m, path, f"{m.name} may {verb}", "remove this verb")


@manifest_rule(
    "role-makes-volumes",
    Severity.LOW,
    Reason.IDENTITY,
    "Role that makes persistent volumes",
    why="A volume may be a folder of any node.",
    source=f"{_CIS}, 5.1.9",
    controls=IDENTITY,
    bad=role(["persistentvolumes"], ["create"]),
    good=role(["persistentvolumeclaims"], ["create"]),
)
def role_makes_volumes(m: Manifest) -> Iterator[Hit]:
    for path, what in _grants(m, frozenset({"persistentvolumes"}), _MAKING):
        yield told(m, path, f"{m.name} may {what}", "let claims and a storage class make them")


@manifest_rule(
    "role-reaches-kubelets",
    Severity.HIGH,
    Reason.IDENTITY,
    "Role that reaches kubelets",
    why="nodes/proxy runs commands in any pod of a node, past admission and audit.",
    source=f"{_CIS}, 5.1.10",
    controls=IDENTITY,
    bad=role(["nodes/proxy"], ["get"]),
    good=role(["nodes/metrics"], ["get"]),
)
def role_reaches_kubelets(m: Manifest) -> Iterator[Hit]:
    for path, what in _grants(m, frozenset({"nodes/proxy"}), _READING | _CHANGING):
        yield told(m, path, f"{m.name} may {what}", "nodes/metrics and nodes/stats are enough for metrics")


@manifest_rule(
    "role-approves-certificates",
    Severity.HIGH,
    Reason.IDENTITY,
    "Role that approves certificates",
    why="It can make itself a certificate of any user.",
    source=f"{_CIS}, 5.1.11",
    controls=IDENTITY,
    bad=role(["certificatesigningrequests/approval"], ["update"], "certificates.k8s.io"),
    good=role(["certificatesigningrequests"], ["get"], "certificates.k8s.io"),
)
def role_approves_certificates(m: Manifest) -> Iterator[Hit]:
    for path, what in _grants(m, frozenset({"certificatesigningrequests/approval"}), _CHANGING):
        yield told(m, path, f"{m.name} may {what}", "leave approval to a person or the controller manager")


@manifest_rule(
    "role-changes-admission",
    Severity.HIGH,
    Reason.IDENTITY,
    "Role that changes admission",
    why="A webhook sees and rewrites every object, secrets too.",
    source=f"{_CIS}, 5.1.12",
    controls=IDENTITY,
    bad=role(["mutatingwebhookconfigurations"], ["update"], "admissionregistration.k8s.io"),
    good=role(["mutatingwebhookconfigurations"], ["get"], "admissionregistration.k8s.io"),
)
def role_changes_admission(m: Manifest) -> Iterator[Hit]:
    hooks = frozenset({"mutatingwebhookconfigurations", "validatingwebhookconfigurations"})
    for path, what in _grants(m, hooks, _CHANGING):
        yield told(m, path, f"{m.name} may {what}", "name its own configuration under resourceNames")


@manifest_rule(
    "role-mints-tokens",
    Severity.HIGH,
    Reason.IDENTITY,
    "Role that mints tokens",
    why="It can become every service account of the namespace.",
    source=f"{_CIS}, 5.1.13",
    controls=IDENTITY,
    bad=role(["serviceaccounts/token"], ["create"]),
    good=role(["serviceaccounts"], ["get"]),
)
def role_mints_tokens(m: Manifest) -> Iterator[Hit]:
    for path, what in _grants(m, frozenset({"serviceaccounts/token"}), _MAKING):
        yield told(m, path, f"{m.name} may {what}", "name the one account under resourceNames")


RULES: tuple[Rule, ...] = (
    role_wildcard,
    role_reads_secrets,
    role_makes_pods,
    role_enters_pods,
    role_raises_itself,
    role_makes_volumes,
    role_reaches_kubelets,
    role_approves_certificates,
    role_changes_admission,
    role_mints_tokens,
)
