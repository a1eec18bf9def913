"""Rules about what keeps running, and what comes back after it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.blueprint.entry import Entry, Lifecycle, Probe, ProbeKind
from controller.errors import Place
from controller.review.finding import Severity
from controller.review.rules.controls import ASSETS, AVAILABLE, RESTORE
from controller.review.rules.coverage import CONTAINER, CONTAINERS, RUNNING
from controller.review.rules.rule import Hit, Reason, Rule, Sample, ScopeView, hit, rule, scope_rule
from controller.review.rules.specs import environment, holds_data, mounts, named_host, ports, text
from controller.review.sizing import cpu_of, memory_of

_PROTECTED = Lifecycle(protect=True)


@rule(
    "no-health-check",
    Severity.LOW,
    Reason.AVAILABILITY,
    "No health check",
    why="Without one, a start that hangs counts as a success and nothing is undone.",
    source="CIS Docker 1.6.0, 5.27",
    kinds=CONTAINERS,
    controls=AVAILABLE,
    bad=Sample({"image": "web:1", "ports": ["8080:80"]}),
    good=Sample({"image": "web:1", "ports": ["8080:80"]}, health=Probe(ProbeKind.HTTP, 80)),
)
def no_health_check(entry: Entry) -> Iterator[Hit]:
    written = entry.health is not None or entry.specs.get("healthcheck") is not None
    if not written and any(True for _ in ports(entry)):
        fix = "add health: {http: {port: 80}} or tcp"
        yield hit(entry, "specs.ports", "serves a port and has no health check", fix)


@rule(
    "health-check-off",
    Severity.MEDIUM,
    Reason.AVAILABILITY,
    "Health check switched off",
    why="The image brings one, and this says not to look at it.",
    source="CIS Docker 1.6.0, 4.6",
    kinds=CONTAINER,
    controls=AVAILABLE,
    bad=Sample({"image": "web:1", "healthcheck": {"disable": True}}),
    good=Sample({"image": "web:1", "healthcheck": {"test": ["CMD", "true"]}}),
)
def health_check_off(entry: Entry) -> Iterator[Hit]:
    given = entry.specs.get("healthcheck")
    off = isinstance(given, Mapping) and (given.get("disable") is True or given.get("test") in ("NONE", ["NONE"]))
    if off and entry.health is None:
        yield hit(entry, "specs.healthcheck", "switches the health check off", "remove it, or write one of your own")


@rule(
    "no-memory-limit",
    Severity.MEDIUM,
    Reason.LIMITS,
    "No memory limit",
    why="One leak takes the whole host down, and the kernel chooses which neighbour dies first.",
    source="CIS Docker 1.6.0, 5.11",
    kinds=RUNNING,
    controls=AVAILABLE,
    bad=Sample({"image": "web:1"}),
    good=Sample({"image": "web:1", "memory": "512MB"}),
)
def no_memory_limit(entry: Entry) -> Iterator[Hit]:
    if memory_of(entry) is None:
        yield hit(entry, "specs.memory", "has no memory limit", "add memory: 512MB or what it needs at peak")


@rule(
    "no-cpu-limit",
    Severity.LOW,
    Reason.LIMITS,
    "No CPU limit",
    why="A busy loop slows every neighbour.",
    source="CIS Docker 1.6.0, 5.12",
    kinds=RUNNING,
    controls=AVAILABLE,
    bad=Sample({"image": "web:1"}),
    good=Sample({"image": "web:1", "cpus": 1}),
)
def no_cpu_limit(entry: Entry) -> Iterator[Hit]:
    if cpu_of(entry) is None:
        yield hit(entry, "specs.cpu", "has no CPU limit", "add cpu: 1 or what it needs at peak")


@rule(
    "no-restart-policy",
    Severity.LOW,
    Reason.AVAILABILITY,
    "No restart policy",
    why="After a crash or a reboot of the host it stays down until someone notices.",
    source="CIS Docker 1.6.0, 5.15",
    kinds=CONTAINER,
    controls=AVAILABLE,
    bad=Sample({"image": "web:1", "restart": "no"}),
    good=Sample({"image": "web:1", "restart": "unless-stopped"}),
)
def no_restart_policy(entry: Entry) -> Iterator[Hit]:
    given = entry.specs.get("restart")
    if entry.provider in (None, "docker") and given in (None, "no", False):
        yield hit(entry, "specs.restart", "is not restarted after a crash", "restart: unless-stopped")


@rule(
    "data-without-volume",
    Severity.HIGH,
    Reason.DATA,
    "Data store without volume",
    why="Its data lie in the container's own layer and go with the next update.",
    source="SOC 2 A1.2; requirements M19",
    kinds=CONTAINERS,
    controls=RESTORE,
    bad=Sample({"image": "postgres:16"}, type="database"),
    good=Sample({"image": "postgres:16", "volumes": ["data:/var/lib/postgresql/data"]}, type="database"),
)
def data_without_volume(entry: Entry) -> Iterator[Hit]:
    sized = any(entry.specs.get(k) is not None for k in ("storage", "disk", "disks"))
    if holds_data(entry) and not any(m.source for m in mounts(entry)) and not sized:
        fix = "add a named volume at the folder it writes to"
        yield hit(entry, "specs.volumes", "keeps data and has no volume", fix)


@rule(
    "anonymous-volume",
    Severity.MEDIUM,
    Reason.DATA,
    "Volume without name",
    why="The next container gets an empty one; the old one stays behind, and nobody knows whose it was.",
    source="design.md 2, 7",
    kinds=CONTAINER,
    controls=RESTORE,
    bad=Sample({"image": "web:1", "volumes": ["/data"]}),
    good=Sample({"image": "web:1", "volumes": ["data:/data"]}),
)
def anonymous_volume(entry: Entry) -> Iterator[Hit]:
    for mount in mounts(entry):
        if not mount.source and mount.target:
            yield hit(entry, mount.path, f"the volume at {mount.target} has no name", f"name it: data:{mount.target}")


@rule(
    "no-backup",
    Severity.MEDIUM,
    Reason.DATA,
    "Data without backup",
    why="Undo brings back what ALMA changed, not what a disk forgot.",
    source="GDPR Art. 32(1)(c); requirements M40",
    kinds=RUNNING,
    controls=RESTORE,
    bad=Sample({"image": "postgres:16"}, type="database"),
    good=Sample({"image": "postgres:16"}, type="database", backup={"enabled": True, "retention_days": 30}),
)
def no_backup(entry: Entry) -> Iterator[Hit]:
    given = entry.backup.get("enabled", bool(entry.backup))
    if holds_data(entry) and given is not True:
        yield hit(entry, "backup", "keeps data and has no backup", "backup: {enabled: true, retention_days: 30}")


@rule(
    "data-unprotected",
    Severity.LOW,
    Reason.DATA,
    "Data store without protection",
    why="lifecycle.protect makes its removal a plan error, whoever merges it.",
    source="design.md 3",
    kinds=RUNNING,
    controls=RESTORE,
    bad=Sample({"image": "postgres:16"}, type="database"),
    good=Sample({"image": "postgres:16"}, type="database", lifecycle=_PROTECTED),
)
def data_unprotected(entry: Entry) -> Iterator[Hit]:
    guarded = entry.lifecycle.protect or entry.specs.get("protection") is True
    if holds_data(entry) and not guarded:
        yield hit(entry, "lifecycle.protect", "keeps data and is not protected", "lifecycle: {protect: true}")


@scope_rule(
    "missing-dependency",
    Severity.LOW,
    Reason.CORRECTNESS,
    "Uses a resource it does not depend on",
    why="Order and undo follow dependencies: without one it may start before what it talks to.",
    source="requirements M06",
    controls=AVAILABLE,
    bad=Sample(
        {"image": "web:1", "env": {"DATABASE_HOST": "db"}},
        others=(Entry("prod", "shop", "db", "database", Place("shop.yaml", 9, 5)),),
    ),
    good=Sample(
        {"image": "web:1", "env": {"DATABASE_HOST": "db"}},
        dependencies=("prod/shop/db",),
        others=(Entry("prod", "shop", "db", "database", Place("shop.yaml", 9, 5)),),
    ),
)
def missing_dependency(view: ScopeView) -> Iterator[Hit]:
    names = {(e.blueprint, e.name): e.id for e in view.of(RUNNING)}
    for entry in view.graph.entries:
        for path, name, value in environment(entry):
            other = names.get((entry.blueprint, named_host(name, value)))
            if other and other != entry.id and other not in entry.dependencies:
                short = other.rpartition("/")[2]
                yield hit(entry, path, f"{name} names {short}, no dependency does", f"dependencies: [{short}]")


@rule(
    "product-unnamed",
    Severity.INFO,
    Reason.CORRECTNESS,
    "Database without product",
    why="Without image or engine nobody can tell what runs, how it is backed up or which port it opens.",
    source="requirements, blueprint schema 4; PCI DSS 4.0, 12.5.1",
    controls=ASSETS,
    kinds=RUNNING,
    bad=Sample({"cpu": 1}, type="database"),
    good=Sample({"cpu": 1}, type="database", product="postgresql"),
)
def product_unnamed(entry: Entry) -> Iterator[Hit]:
    if entry.type == "database" and not entry.product and not text(entry, "image"):
        yield hit(entry, "engine", "names neither engine nor image", "engine: postgresql, or an image")


RULES: tuple[Rule, ...] = (
    no_health_check,
    health_check_off,
    no_memory_limit,
    no_cpu_limit,
    no_restart_policy,
    data_without_volume,
    anonymous_volume,
    no_backup,
    data_unprotected,
    missing_dependency,
    product_unnamed,
)
