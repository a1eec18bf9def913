"""Rules about objects of a cluster that point at each other, and at nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value
from controller.errors import Place
from controller.review.finding import Severity
from controller.review.manifest import Manifest, at, mapping, maps_at
from controller.review.rules.controls import AVAILABLE, CAPACITY, CHANGE, PATCHES, SEGMENTS
from controller.review.rules.coverage import MANIFEST
from controller.review.rules.manifest_samples import deployment, made, pod
from controller.review.rules.rule import Hit, Reason, Rule, Sample, ScopeView, manifest_rule, scope_rule, told
from controller.review.rules.selecting import plainly, selects

_SCORE = "kube-score"
_GONE: Mapping[tuple[str, str], str] = {
    ("extensions/v1beta1", "Deployment"): "apps/v1",
    ("extensions/v1beta1", "DaemonSet"): "apps/v1",
    ("extensions/v1beta1", "ReplicaSet"): "apps/v1",
    ("extensions/v1beta1", "Ingress"): "networking.k8s.io/v1",
    ("extensions/v1beta1", "NetworkPolicy"): "networking.k8s.io/v1",
    ("apps/v1beta1", "Deployment"): "apps/v1",
    ("apps/v1beta1", "StatefulSet"): "apps/v1",
    ("apps/v1beta2", "Deployment"): "apps/v1",
    ("apps/v1beta2", "StatefulSet"): "apps/v1",
    ("apps/v1beta2", "DaemonSet"): "apps/v1",
    ("batch/v1beta1", "CronJob"): "batch/v1",
    ("policy/v1beta1", "PodDisruptionBudget"): "policy/v1",
    ("policy/v1beta1", "PodSecurityPolicy"): "Pod Security Admission",
    ("networking.k8s.io/v1beta1", "Ingress"): "networking.k8s.io/v1",
    ("autoscaling/v2beta1", "HorizontalPodAutoscaler"): "autoscaling/v2",
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler"): "autoscaling/v2",
    ("rbac.authorization.k8s.io/v1beta1", "ClusterRole"): "rbac.authorization.k8s.io/v1",
    ("rbac.authorization.k8s.io/v1beta1", "Role"): "rbac.authorization.k8s.io/v1",
}


def _beside(name: str, body: Mapping[str, Value]) -> Entry:
    return Entry("prod", "shop", name, "manifest", Place("shop.yaml", 9, 5), specs=body)


def _of(view: ScopeView, *kinds: str) -> list[Manifest]:
    return [m for m in view.manifests if m.kind in kinds]


def _pods(view: ScopeView, namespace: str) -> list[Manifest]:
    return [m for m in view.manifests if m.pod and m.namespace == namespace]


@manifest_rule(
    "api-gone",
    Severity.MEDIUM,
    Reason.SUPPORT,
    "Version of an API that is gone",
    why="The API server no longer knows it: the change will be refused.",
    source="Kubernetes documentation, Deprecated API Migration Guide",
    controls=PATCHES,
    bad=made("extensions/v1beta1", "Deployment"),
    good=deployment(),
)
def api_gone(m: Manifest) -> Iterator[Hit]:
    now = _GONE.get((m.api, m.kind))
    if now:
        yield told(m, "apiVersion", f"{m.api} has no {m.kind} any more", f"apiVersion: {now}")


@manifest_rule(
    "selector-misses-template",
    Severity.HIGH,
    Reason.CORRECTNESS,
    "Selector that misses its own pods",
    why="The API server refuses it, or the controller makes pods without end.",
    source=f"{_SCORE}, deployment-pod-selector-labels-match-template-metadata-labels",
    controls=CHANGE,
    bad=deployment(selector={"matchLabels": {"app": "other"}}),
    good=deployment(),
)
def selector_misses_template(m: Manifest) -> Iterator[Hit]:
    selector = m.get("spec.selector")
    kinds = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
    if m.kind in kinds and isinstance(selector, Mapping) and not selects(selector, m.pod_labels):
        yield told(m, "spec.selector", f"{m.name} does not select its own pods", "the labels of its template")


_WEB = made("v1", "Service", "svc", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})


@scope_rule(
    "service-selects-nothing",
    Severity.MEDIUM,
    Reason.CORRECTNESS,
    "Service without pods",
    why="Nothing answers there.",
    source=f"{_SCORE}, service-targets-pod",
    kinds=MANIFEST,
    controls=AVAILABLE,
    bad=Sample(_WEB, type="manifest"),
    good=Sample(_WEB, type="manifest", others=(_beside("web", deployment()),)),
)
def service_selects_nothing(view: ScopeView) -> Iterator[Hit]:
    for m in _of(view, "Service"):
        wanted = mapping(m.get("spec.selector"))
        if wanted and not any(plainly(wanted, p.pod_labels) for p in _pods(view, m.namespace)):
            yield told(m, "spec.selector", f"no pod of this scope is selected by {m.name}", "the labels of its pods")


@scope_rule(
    "ingress-leads-nowhere",
    Severity.MEDIUM,
    Reason.CORRECTNESS,
    "Ingress to a service that is not there",
    why="It answers 503.",
    source=f"{_SCORE}, ingress-targets-service",
    kinds=MANIFEST,
    controls=AVAILABLE,
    bad=Sample(
        made("networking.k8s.io/v1", "Ingress", spec={"defaultBackend": {"service": {"name": "svc"}}}), type="manifest"
    ),
    good=Sample(
        made("networking.k8s.io/v1", "Ingress", spec={"defaultBackend": {"service": {"name": "svc"}}}),
        type="manifest",
        others=(_beside("svc", _WEB),),
    ),
)
def ingress_leads_nowhere(view: ScopeView) -> Iterator[Hit]:
    services = _of(view, "Service")
    for m in _of(view, "Ingress"):
        for path, backend in _backends(m):
            name, port = _target(backend)
            found = [s for s in services if s.namespace == m.namespace and s.name == name]
            if not any(_has_port(s, port) for s in found):
                yield told(
                    m, path, f"{m.name} leads to {name or 'nothing'}, which is not in this scope", "name a Service"
                )


def _backends(m: Manifest) -> Iterator[tuple[str, Value]]:
    for key in ("defaultBackend", "backend"):
        if m.get(f"spec.{key}") is not None:
            yield f"spec.{key}", m.get(f"spec.{key}")
    for above, rule in maps_at(m.body, "spec.rules"):
        for path, one in maps_at(rule, "http.paths"):
            yield f"{above}.{path}.backend", one.get("backend")


def _target(backend: Value) -> tuple[str, Value]:
    """Name and port of the service, in the forms of v1 and of v1beta1."""
    service = at(backend, "service")
    if isinstance(service, Mapping):
        port = mapping(service.get("port"))
        return str(service.get("name") or ""), port.get("number") or port.get("name")
    return str(at(backend, "serviceName") or ""), at(backend, "servicePort")


def _has_port(service: Manifest, port: Value) -> bool:
    ports = [p for _, p in maps_at(service.body, "spec.ports")]
    return port is None or any(port in (p.get("port"), p.get("name")) for p in ports)


def _scaler(name: str) -> Mapping[str, Value]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return made("autoscaling/v2", "HorizontalPodAutoscaler", "hpa", spec={"scaleTargetRef": target, "minReplicas": 2})


@scope_rule(
    "autoscaler-without-target",
    Severity.MEDIUM,
    Reason.CORRECTNESS,
    "Autoscaler of nothing",
    why="What it should scale keeps its size under load.",
    source=f"{_SCORE}, horizontalpodautoscaler-has-target",
    kinds=MANIFEST,
    controls=CAPACITY,
    bad=Sample(_scaler("other"), type="manifest", others=(_beside("web", deployment()),)),
    good=Sample(_scaler("web"), type="manifest", others=(_beside("web", deployment()),)),
)
def autoscaler_without_target(view: ScopeView) -> Iterator[Hit]:
    for m in _of(view, "HorizontalPodAutoscaler"):
        if not _scaled(m, view.manifests):
            text = f"{m.name} scales {m.get('spec.scaleTargetRef.name')}, which is not in this scope"
            yield told(m, "spec.scaleTargetRef", text, "name a workload of this scope")


def _scaled(scaler: Manifest, others: Sequence[Manifest]) -> list[Manifest]:
    wanted = (scaler.get("spec.scaleTargetRef.kind"), scaler.get("spec.scaleTargetRef.name"), scaler.namespace)
    return [m for m in others if (m.kind, m.name, m.namespace) == wanted]


@scope_rule(
    "autoscaler-and-replicas",
    Severity.MEDIUM,
    Reason.CHANGE,
    "Copies written beside an autoscaler",
    why="Every deploy sets the number back, in the middle of a load.",
    source=f"{_SCORE}, deployment-targeted-by-hpa-does-not-have-replicas-configured",
    kinds=MANIFEST,
    controls=CAPACITY,
    bad=Sample(deployment(replicas=3), type="manifest", others=(_beside("hpa", _scaler("web")),)),
    good=Sample(deployment(), type="manifest", others=(_beside("hpa", _scaler("web")),)),
)
def autoscaler_and_replicas(view: ScopeView) -> Iterator[Hit]:
    for scaler in _of(view, "HorizontalPodAutoscaler"):
        for m in _scaled(scaler, view.manifests):
            if m.get("spec.replicas") is not None:
                yield told(m, "spec.replicas", f"{m.name} is scaled by {scaler.name} too", "remove replicas")


@manifest_rule(
    "autoscaler-from-one",
    Severity.LOW,
    Reason.AVAILABILITY,
    "Autoscaler down to one copy",
    why="In a quiet hour one node takes it down.",
    source=f"{_SCORE}, horizontalpodautoscaler-replicas",
    controls=AVAILABLE,
    bad=made("autoscaling/v2", "HorizontalPodAutoscaler", spec={"minReplicas": 1}),
    good=made("autoscaling/v2", "HorizontalPodAutoscaler", spec={"minReplicas": 2}),
)
def autoscaler_from_one(m: Manifest) -> Iterator[Hit]:
    if m.kind == "HorizontalPodAutoscaler" and (m.get("spec.minReplicas") or 1) == 1:
        yield told(m, "spec.minReplicas", f"{m.name} may go down to one copy", "minReplicas: 2")


def _policy(app: str) -> Mapping[str, Value]:
    spec = {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Ingress", "Egress"]}
    return made("networking.k8s.io/v1", "NetworkPolicy", "policy", spec=spec)


@scope_rule(
    "policy-selects-nothing",
    Severity.MEDIUM,
    Reason.CORRECTNESS,
    "Network policy for no pod",
    why="The wall stands where nobody is; a label was changed on one side only.",
    source=f"{_SCORE}, networkpolicy-targets-pod",
    kinds=MANIFEST,
    controls=SEGMENTS,
    bad=Sample(_policy("other"), type="manifest", others=(_beside("web", deployment()),)),
    good=Sample(_policy("web"), type="manifest", others=(_beside("web", deployment()),)),
)
def policy_selects_nothing(view: ScopeView) -> Iterator[Hit]:
    for m in _of(view, "NetworkPolicy"):
        selector = m.get("spec.podSelector")
        written = mapping(selector).get("matchLabels") or mapping(selector).get("matchExpressions")
        if written and not any(selects(selector, p.pod_labels) for p in _pods(view, m.namespace)):
            yield told(m, "spec.podSelector", f"no pod of this scope is selected by {m.name}", "the labels of its pods")


@manifest_rule(
    "variable-twice",
    Severity.LOW,
    Reason.CORRECTNESS,
    "Variable written twice",
    why="The last one counts; whoever changes the first changes nothing.",
    source=f"{_SCORE}, environment-variable-key-duplication",
    controls=CHANGE,
    bad=pod({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
    good=pod({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}),
)
def variable_twice(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        seen: set[str] = set()
        for path, item in maps_at(c.spec, "env"):
            name = str(item.get("name"))
            if name in seen:
                yield told(m, f"{c.path}.{path}", f"{name} is written twice", "remove one of the two")
            seen.add(name)


RULES: tuple[Rule, ...] = (
    api_gone,
    selector_misses_template,
    service_selects_nothing,
    ingress_leads_nowhere,
    autoscaler_without_target,
    autoscaler_and_replicas,
    autoscaler_from_one,
    policy_selects_nothing,
    variable_twice,
)
