"""Rules about what runs in a cluster and ends: jobs, and what starts them; and about rank among pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value
from controller.errors import Place
from controller.review.finding import Severity
from controller.review.manifest import Manifest, maps_at
from controller.review.rules.controls import AVAILABLE, CAPACITY, RESTORE
from controller.review.rules.coverage import MANIFEST
from controller.review.rules.manifest_samples import made, pod
from controller.review.rules.rule import Hit, Reason, Rule, Sample, ScopeView, manifest_rule, scope_rule, told
from controller.review.rules.selecting import plainly


def _cron(job: Mapping[str, Value] | None = None, **spec: Value) -> Mapping[str, Value]:
    inner = {"spec": {"template": {"spec": {"containers": [], "restartPolicy": "Never", **(job or {})}}}}
    return made("batch/v1", "CronJob", spec={"schedule": "0 2 * * *", "jobTemplate": inner, **spec})


@manifest_rule(
    "cron-without-deadline",
    Severity.LOW,
    Reason.AVAILABILITY,
    "Timer without a deadline",
    why="After a hundred missed starts it never starts again.",
    source="kube-score, cronjob-has-deadline; Kubernetes documentation, CronJob limitations",
    controls=AVAILABLE,
    bad=_cron(),
    good=_cron(startingDeadlineSeconds=600),
)
def cron_without_deadline(m: Manifest) -> Iterator[Hit]:
    if m.kind == "CronJob" and m.get("spec.startingDeadlineSeconds") is None:
        yield told(m, "spec.startingDeadlineSeconds", f"{m.name} has no deadline", "startingDeadlineSeconds: 600")


@manifest_rule(
    "cron-overlaps",
    Severity.LOW,
    Reason.CAPACITY,
    "Timer that overlaps itself",
    why="A slow run meets the next one, until the cluster is full of them.",
    source="Kubernetes documentation, CronJob, concurrencyPolicy",
    controls=CAPACITY,
    bad=_cron(concurrencyPolicy="Allow"),
    good=_cron(concurrencyPolicy="Forbid"),
)
def cron_overlaps(m: Manifest) -> Iterator[Hit]:
    if m.kind == "CronJob" and m.get("spec.concurrencyPolicy") in (None, "Allow"):
        yield told(m, "spec.concurrencyPolicy", f"{m.name} may run twice at once", "concurrencyPolicy: Forbid")


@manifest_rule(
    "job-restart-policy",
    Severity.MEDIUM,
    Reason.CORRECTNESS,
    "Job that restarts for ever",
    why="The API server refuses a job whose pods always restart.",
    source="kube-score, cronjob-restartpolicy; Kubernetes documentation, Job",
    controls=AVAILABLE,
    bad=_cron({"restartPolicy": "Always"}),
    good=_cron({"restartPolicy": "OnFailure"}),
)
def job_restart_policy(m: Manifest) -> Iterator[Hit]:
    if m.kind in ("Job", "CronJob") and m.pod and m.pod.get("restartPolicy") not in ("OnFailure", "Never"):
        given = m.pod.get("restartPolicy") or "the default, Always"
        yield told(m, f"{m.pod_path}.restartPolicy", f"restart policy is {given}", "restartPolicy: Never or OnFailure")


@manifest_rule(
    "job-without-end",
    Severity.LOW,
    Reason.LIMITS,
    "Job without an end",
    why="One that hangs holds its share of the cluster until someone notices.",
    source="Kubernetes documentation, Job, activeDeadlineSeconds",
    controls=CAPACITY,
    bad=made("batch/v1", "Job", spec={"template": {"spec": {"restartPolicy": "Never"}}}),
    good=made(
        "batch/v1", "Job", spec={"activeDeadlineSeconds": 3600, "template": {"spec": {"restartPolicy": "Never"}}}
    ),
)
def job_without_end(m: Manifest) -> Iterator[Hit]:
    above = {"Job": "spec", "CronJob": "spec.jobTemplate.spec"}.get(m.kind)
    if above and m.pod and m.get(f"{above}.activeDeadlineSeconds") is None:
        yield told(m, f"{above}.activeDeadlineSeconds", f"{m.name} may run for ever", "activeDeadlineSeconds: 3600")


@manifest_rule(
    "rank-of-the-system",
    Severity.MEDIUM,
    Reason.CAPACITY,
    "Rank of the cluster's own pods",
    why="It evicts anything else, the parts the cluster needs to run included.",
    source="Kubernetes documentation, Guaranteed scheduling for critical add-on pods",
    controls=CAPACITY,
    bad=pod(priorityClassName="system-node-critical"),
    good=pod(priorityClassName="shop-high"),
)
def rank_of_the_system(m: Manifest) -> Iterator[Hit]:
    if str(m.pod.get("priorityClassName") or "").startswith("system-") and not m.namespace.startswith("kube-"):
        path = f"{m.pod_path}.priorityClassName"
        yield told(m, path, f"{m.name} ranks with the cluster's own pods", "a priority class of your own")


_SET = made(
    "apps/v1", "StatefulSet", "db", spec={"serviceName": "db", "template": {"metadata": {"labels": {"app": "db"}}}}
)


def _service(**spec: Value) -> Entry:
    body = made("v1", "Service", "db", spec={"selector": {"app": "db"}, **spec})
    return Entry("prod", "shop", "svc", "manifest", Place("shop.yaml", 9, 5), specs=body)


@scope_rule(
    "stateful-without-service",
    Severity.MEDIUM,
    Reason.CORRECTNESS,
    "StatefulSet without its headless service",
    why="Its pods then have no names of their own, and they cannot find each other.",
    source="kube-score, statefulset-has-servicename",
    kinds=MANIFEST,
    controls=AVAILABLE,
    bad=Sample(_SET, type="manifest", others=(_service(ports=[{"port": 80}]),)),
    good=Sample(_SET, type="manifest", others=(_service(clusterIP="None"),)),
)
def stateful_without_service(view: ScopeView) -> Iterator[Hit]:
    services = [m for m in view.manifests if m.kind == "Service" and m.get("spec.clusterIP") == "None"]
    for m in view.manifests:
        if m.kind == "StatefulSet":
            mine = [s for s in services if (s.name, s.namespace) == (m.get("spec.serviceName"), m.namespace)]
            if not any(plainly(_wanted(s), m.pod_labels) for s in mine):
                text = f"no headless service {m.get('spec.serviceName')} of this scope selects its pods"
                yield told(m, "spec.serviceName", text, "a Service with clusterIP: None of that name")


def _wanted(service: Manifest) -> Mapping[str, Value]:
    selector = service.get("spec.selector")
    return selector if isinstance(selector, Mapping) and selector else {"": "nothing"}


@manifest_rule(
    "port-name-wrong",
    Severity.LOW,
    Reason.CORRECTNESS,
    "Port whose name is refused or taken",
    why="The API server refuses names beyond fifteen characters, and two of one name mean one of them.",
    source="kube-score, container-ports-check; RFC 6335",
    controls=AVAILABLE,
    bad=pod({"ports": [{"name": "a-name-that-is-too-long", "containerPort": 80}]}),
    good=pod({"ports": [{"name": "http", "containerPort": 80}]}),
)
def port_name_wrong(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        seen: set[Value] = set()
        for path, port in maps_at(c.spec, "ports"):
            name = port.get("name")
            if (isinstance(name, str) and len(name) > 15) or (name and name in seen):
                yield told(m, f"{c.path}.{path}", f"port name {name} is too long or taken", "a short one of its own")
            if port.get("containerPort") is None:
                yield told(m, f"{c.path}.{path}", "a port without containerPort", "containerPort: 80")
            seen.add(name)


@manifest_rule(
    "volume-lost-with-claim",
    Severity.LOW,
    Reason.DATA,
    "Volume that goes with its claim",
    why="Whoever deletes the claim deletes the data.",
    source="Kubernetes documentation, Persistent volumes, reclaiming",
    controls=RESTORE,
    bad=made("v1", "PersistentVolume", spec={"persistentVolumeReclaimPolicy": "Delete"}),
    good=made("v1", "PersistentVolume", spec={"persistentVolumeReclaimPolicy": "Retain"}),
)
def volume_lost_with_claim(m: Manifest) -> Iterator[Hit]:
    if m.kind == "PersistentVolume" and m.get("spec.persistentVolumeReclaimPolicy") == "Delete":
        yield told(m, "spec.persistentVolumeReclaimPolicy", f"{m.name} goes with its claim", "Retain")
    if m.kind == "StorageClass" and m.get("reclaimPolicy") == "Delete":
        yield told(m, "reclaimPolicy", f"volumes of {m.name} go with their claims", "reclaimPolicy: Retain")


RULES: tuple[Rule, ...] = (
    cron_without_deadline,
    cron_overlaps,
    job_restart_policy,
    job_without_end,
    rank_of_the_system,
    stateful_without_service,
    port_name_wrong,
    volume_lost_with_claim,
)
