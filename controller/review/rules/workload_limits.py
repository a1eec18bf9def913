"""Rules about what a pod asks of its node, and at most takes."""

from __future__ import annotations

from collections.abc import Iterator

from controller.review.finding import Severity
from controller.review.manifest import Manifest, at, maps_at
from controller.review.rules.controls import AVAILABLE, CAPACITY
from controller.review.rules.manifest_samples import deployment, limits, pod
from controller.review.rules.rule import Hit, Reason, Rule, manifest_rule, told

_SCORE = "kube-score"


def _missing(m: Manifest, part: str, name: str) -> Iterator[tuple[str, str]]:
    for c in m.containers:
        if c.get(f"resources.{part}.{name}") is None:
            yield f"{c.path}.resources.{part}.{name}", c.name


@manifest_rule(
    "pod-no-memory-limit",
    Severity.MEDIUM,
    Reason.LIMITS,
    "No memory limit in a pod",
    why="One leak takes the memory of a node, and the kernel chooses which pod dies first.",
    source=f"{_SCORE}, container-resources; NSA/CISA Kubernetes Hardening Guide 1.2, Resource policies",
    controls=AVAILABLE,
    bad=deployment(),
    good=deployment(limits(cpu="100m", memory="64Mi")),
)
def pod_no_memory_limit(m: Manifest) -> Iterator[Hit]:
    for path, name in _missing(m, "limits", "memory"):
        yield told(m, path, f"{name} has no memory limit", "resources: {limits: {memory: 256Mi}}")


@manifest_rule(
    "pod-no-memory-request",
    Severity.LOW,
    Reason.CAPACITY,
    "No memory request",
    why="The scheduler then counts nothing and fills a node until something is evicted.",
    source=f"{_SCORE}, container-resources",
    controls=CAPACITY,
    bad=deployment(),
    good=deployment(limits(cpu="100m", memory="64Mi")),
)
def pod_no_memory_request(m: Manifest) -> Iterator[Hit]:
    for path, name in _missing(m, "requests", "memory"):
        yield told(m, path, f"{name} requests no memory", "resources: {requests: {memory: 128Mi}}")


@manifest_rule(
    "pod-no-cpu-request",
    Severity.LOW,
    Reason.CAPACITY,
    "No CPU request",
    why="On a busy node it gets what others leave, which may be nothing.",
    source=f"{_SCORE}, container-resources",
    controls=CAPACITY,
    bad=deployment(),
    good=deployment(limits(cpu="100m", memory="64Mi")),
)
def pod_no_cpu_request(m: Manifest) -> Iterator[Hit]:
    for path, name in _missing(m, "requests", "cpu"):
        yield told(m, path, f"{name} requests no CPU", "resources: {requests: {cpu: 100m}}")


@manifest_rule(
    "pod-no-cpu-limit",
    Severity.INFO,
    Reason.LIMITS,
    "No CPU limit in a pod",
    why="A busy loop takes what others did not request; some clusters want that, some do not.",
    source=f"{_SCORE}, container-resources",
    controls=CAPACITY,
    bad=deployment(),
    good=deployment(limits(cpu="100m", memory="64Mi")),
)
def pod_no_cpu_limit(m: Manifest) -> Iterator[Hit]:
    for path, name in _missing(m, "limits", "cpu"):
        yield told(m, path, f"{name} has no CPU limit", "resources: {limits: {cpu: '1'}}")


@manifest_rule(
    "pod-no-disk-limit",
    Severity.INFO,
    Reason.LIMITS,
    "No limit of temporary disk",
    why="Logs and temporary files of one pod can fill the disk of its node, which evicts the others.",
    source=f"{_SCORE}, container-ephemeral-storage-request-and-limit",
    controls=CAPACITY,
    bad=pod(),
    good=pod(limits(**{"ephemeral-storage": "1Gi"})),
)
def pod_no_disk_limit(m: Manifest) -> Iterator[Hit]:
    for part, word in (("limits", "limit"), ("requests", "request")):
        for path, name in _missing(m, part, "ephemeral-storage"):
            fix = f"resources: {{{part}: {{ephemeral-storage: 1Gi}}}}"
            yield told(m, path, f"{name} has no {word} of temporary disk", fix)


@manifest_rule(
    "memory-volume-unbounded",
    Severity.LOW,
    Reason.LIMITS,
    "Volume in memory without size",
    why="What is written there counts as memory, without a bound of its own.",
    source="Kubernetes documentation, emptyDir, medium and sizeLimit",
    controls=CAPACITY,
    bad=pod(volumes=[{"name": "tmp", "emptyDir": {"medium": "Memory"}}]),
    good=pod(volumes=[{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}]),
)
def memory_volume_unbounded(m: Manifest) -> Iterator[Hit]:
    for path, volume in maps_at(m.pod, "volumes"):
        if at(volume, "emptyDir.medium") == "Memory" and not at(volume, "emptyDir.sizeLimit"):
            yield told(m, f"{m.pod_path}.{path}", "keeps files in memory without bound", "sizeLimit: 64Mi")


RULES: tuple[Rule, ...] = (
    pod_no_memory_limit,
    pod_no_memory_request,
    pod_no_cpu_request,
    pod_no_cpu_limit,
    pod_no_disk_limit,
    memory_volume_unbounded,
)
