"""Rules about workloads of a cluster that must go on: probes, limits, copies, ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.blueprint.entry import Entry
from controller.errors import Place
from controller.review.finding import Severity
from controller.review.manifest import SCALED, SERVING, Manifest, at, listed, mapping, maps_at
from controller.review.rules.controls import AVAILABLE, RESTORE
from controller.review.rules.coverage import MANIFEST
from controller.review.rules.manifest_samples import deployment, made, pod
from controller.review.rules.rule import Hit, Reason, Rule, Sample, ScopeView, manifest_rule, scope_rule, told
from controller.review.rules.selecting import plainly, selects

_SCORE = "kube-score"
_SPREAD = frozenset({"kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region"})


_SERVICE = Entry(
    "prod",
    "shop",
    "svc",
    "manifest",
    Place("shop.yaml", 9, 5),
    specs=made("v1", "Service", "svc", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]}),
)


def _copies(m: Manifest) -> int:
    """How many are asked for; not written counts as one, as Kubernetes does."""
    given = m.get("spec.replicas")
    return given if isinstance(given, int) and not isinstance(given, bool) else 1


def _serves(m: Manifest) -> bool:
    return m.kind in SERVING or m.kind == "Pod"


@scope_rule(
    "pod-without-readiness",
    Severity.LOW,
    Reason.AVAILABILITY,
    "No readiness probe behind a service",
    why="Traffic reaches it before it can answer, and an update counts as done before it is.",
    source=f"{_SCORE}, pod-probes; Kubernetes documentation, readiness probes",
    kinds=MANIFEST,
    controls=AVAILABLE,
    bad=Sample(deployment({"ports": [{"containerPort": 80}]}), type="manifest", others=(_SERVICE,)),
    good=Sample(deployment({"readinessProbe": {"httpGet": {"port": 80}}}), type="manifest", others=(_SERVICE,)),
)
def pod_without_readiness(view: ScopeView) -> Iterator[Hit]:
    services = [m for m in view.manifests if m.kind == "Service" and m.get("spec.selector")]
    for m in view.manifests:
        near = [mapping(s.get("spec.selector")) for s in services if s.namespace == m.namespace]
        served = _serves(m) and any(plainly(wanted, m.pod_labels) for wanted in near)
        if served and m.lasting and not any(c.get("readinessProbe") for c in m.lasting):
            c = m.lasting[0]
            yield told(
                m, f"{c.path}.readinessProbe", f"{c.name} has no readiness probe", "readinessProbe: {httpGet: …}"
            )


@manifest_rule(
    "pod-probes-alike",
    Severity.LOW,
    Reason.CORRECTNESS,
    "Liveness probe equal to the readiness probe",
    why="What is only busy is then killed instead of spared: under load every copy restarts at once.",
    source=f"{_SCORE}, pod-probes-identical",
    controls=AVAILABLE,
    bad=deployment({"livenessProbe": {"tcpSocket": {"port": 80}}, "readinessProbe": {"tcpSocket": {"port": 80}}}),
    good=deployment({"readinessProbe": {"tcpSocket": {"port": 80}}}),
)
def pod_probes_alike(m: Manifest) -> Iterator[Hit]:
    for c in m.lasting:
        live, ready = mapping(c.get("livenessProbe")), mapping(c.get("readinessProbe"))
        asked = [k for k in ("httpGet", "tcpSocket", "exec", "grpc") if live.get(k) and live.get(k) == ready.get(k)]
        if asked and _serves(m):
            fix = "remove it, or ask something that fails only when a restart helps"
            yield told(m, f"{c.path}.livenessProbe", f"both probes of {c.name} ask the same", fix)


@manifest_rule(
    "bare-pod",
    Severity.MEDIUM,
    Reason.AVAILABILITY,
    "Pod without a controller",
    why="When its node goes, it is gone; nothing makes it anew.",
    source="Kubernetes documentation, Configuration best practices, naked pods",
    controls=AVAILABLE,
    bad=pod(),
    good=deployment(),
)
def bare_pod(m: Manifest) -> Iterator[Hit]:
    if m.kind == "Pod":
        yield told(m, "kind", f"{m.name} is a pod alone", "a Deployment, a StatefulSet or a Job")


@manifest_rule(
    "one-copy",
    Severity.LOW,
    Reason.AVAILABILITY,
    "One copy only",
    why="It is down whenever its node is drained.",
    source=f"{_SCORE}, deployment-replicas; SOC 2 A1.1",
    controls=AVAILABLE,
    bad=deployment(replicas=1),
    good=deployment(replicas=3),
)
def one_copy(m: Manifest) -> Iterator[Hit]:
    if m.kind == "Deployment" and m.get("spec.replicas") == 1:
        yield told(m, "spec.replicas", f"{m.name} has one copy", "replicas: 2 where it can run twice")


@manifest_rule(
    "copies-side-by-side",
    Severity.LOW,
    Reason.CAPACITY,
    "Copies that may share a node",
    why="Several copies on one node go down together.",
    source=f"{_SCORE}, deployment-has-host-podantiaffinity",
    controls=AVAILABLE,
    bad=deployment(replicas=3),
    good=deployment(
        replicas=3,
        pod_spec={
            "topologySpreadConstraints": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "maxSkew": 1,
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {"matchLabels": {"app": "web"}},
                }
            ]
        },
    ),
)
def copies_side_by_side(m: Manifest) -> Iterator[Hit]:
    written = m.get("spec.replicas")
    several = _copies(m) > 1 or (written is None and m.kind == "StatefulSet")
    if m.kind in SCALED and several and not _spread(m):
        fix = "topologySpreadConstraints or podAntiAffinity over kubernetes.io/hostname"
        yield told(m, f"{m.pod_path}.affinity", f"copies of {m.name} may share a node", fix)


def _spread(m: Manifest) -> bool:
    """True if anti-affinity or spread constraints over nodes match the pod's own labels."""
    rule = mapping(at(m.pod, "affinity.podAntiAffinity"))
    required = listed(rule.get("requiredDuringSchedulingIgnoredDuringExecution"))
    preferred = listed(rule.get("preferredDuringSchedulingIgnoredDuringExecution"))
    terms = [*required, *(mapping(p).get("podAffinityTerm") for p in preferred)]
    terms += listed(m.pod.get("topologySpreadConstraints"))
    keyed = [t for t in terms if isinstance(t, Mapping) and t.get("topologyKey") in _SPREAD]
    return any(selects(t.get("labelSelector"), m.pod_labels) for t in keyed)


@manifest_rule(
    "all-down-at-once",
    Severity.LOW,
    Reason.CHANGE,
    "All copies replaced at once",
    why="Recreate stops every copy before it starts a new one.",
    source=f"{_SCORE}, deployment-strategy",
    controls=AVAILABLE,
    bad=deployment(replicas=3, strategy={"type": "Recreate"}),
    good=deployment(replicas=3, strategy={"type": "RollingUpdate"}),
)
def all_down_at_once(m: Manifest) -> Iterator[Hit]:
    if m.kind == "Deployment" and m.get("spec.strategy.type") == "Recreate" and m.get("spec.replicas") != 1:
        yield told(m, "spec.strategy", f"updates stop every copy of {m.name}", "type: RollingUpdate")


_BUDGET = made(
    "policy/v1", "PodDisruptionBudget", spec={"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
)


@scope_rule(
    "no-disruption-budget",
    Severity.LOW,
    Reason.AVAILABILITY,
    "Copies without a disruption budget",
    why="Draining nodes may take every copy at once.",
    source=f"{_SCORE}, deployment-has-poddisruptionbudget",
    kinds=MANIFEST,
    controls=AVAILABLE,
    bad=Sample(deployment(replicas=3), type="manifest"),
    good=Sample(
        deployment(replicas=3),
        type="manifest",
        others=(Entry("prod", "shop", "budget", "manifest", Place("shop.yaml", 9, 5), specs=_BUDGET),),
    ),
)
def no_disruption_budget(view: ScopeView) -> Iterator[Hit]:
    budgets = [m for m in view.manifests if m.kind == "PodDisruptionBudget"]
    for m in view.manifests:
        if m.kind in ("Deployment", "StatefulSet") and m.get("spec.replicas") not in (0, 1):
            mine = [b for b in budgets if b.namespace == m.namespace and selects(b.get("spec.selector"), m.pod_labels)]
            if not mine:
                fix = "a PodDisruptionBudget with maxUnavailable: 1 that selects its pods"
                yield told(m, "spec.replicas", f"no disruption budget selects {m.name}", fix)


@manifest_rule(
    "killed-without-grace",
    Severity.MEDIUM,
    Reason.DATA,
    "Killed without time to stop",
    why="Requests under way fail and what was not written yet is lost.",
    source="Kubernetes documentation, Pod termination",
    controls=RESTORE,
    bad=pod(terminationGracePeriodSeconds=0),
    good=pod(terminationGracePeriodSeconds=30),
)
def killed_without_grace(m: Manifest) -> Iterator[Hit]:
    given = m.pod.get("terminationGracePeriodSeconds")
    if isinstance(given, int) and not isinstance(given, bool) and given < 5:
        path = f"{m.pod_path}.terminationGracePeriodSeconds"
        yield told(m, path, f"{m.name} has {given} s to stop", "remove it: 30 s is the default")


@manifest_rule(
    "stateful-without-storage",
    Severity.MEDIUM,
    Reason.DATA,
    "StatefulSet without storage",
    why="Its identity lasts and its data do not.",
    source="Kubernetes documentation, StatefulSets, volumeClaimTemplates",
    controls=RESTORE,
    bad=made("apps/v1", "StatefulSet", spec={"template": {"spec": {"containers": [{"name": "db"}]}}}),
    good=made("apps/v1", "StatefulSet", spec={"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}),
)
def stateful_without_storage(m: Manifest) -> Iterator[Hit]:
    volumes = [v for _, v in maps_at(m.pod, "volumes") if "persistentVolumeClaim" in v]
    if m.kind == "StatefulSet" and not listed(m.get("spec.volumeClaimTemplates")) and not volumes:
        yield told(m, "spec.volumeClaimTemplates", f"{m.name} keeps nothing", "volumeClaimTemplates, or a Deployment")


RULES: tuple[Rule, ...] = (
    pod_without_readiness,
    pod_probes_alike,
    bare_pod,
    one_copy,
    copies_side_by_side,
    all_down_at_once,
    no_disruption_budget,
    killed_without_grace,
    stateful_without_storage,
)
