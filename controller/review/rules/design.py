"""Rules about how resources stand beside each other, on any engine: one copy, one ring, one secret for many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

import networkx

from controller.blueprint.entry import Entry, Lifecycle, OnDelete, Tolerated
from controller.blueprint.value import Secret, markers
from controller.errors import Place
from controller.review.finding import Severity
from controller.review.rules.controls import ACCEPTED, ASSETS, AT_REST, AVAILABLE, CHANGE, RESTORE, SECRETS, TRANSFER
from controller.review.rules.controls import NETWORK as NETWORK_CONTROLS
from controller.review.rules.coverage import ANYTHING, RUNNING, VOLUMES
from controller.review.rules.rule import Hit, Reason, Rule, Sample, ScopeView, hit, rule, scope_rule
from controller.review.rules.specs import environment, holds_data, named_host, ports
from controller.review.sizing import copies_of

_DEPENDENTS_MIN = 3
_SHARED_MIN = 3
_IGNORED_MAX = 5
_RETENTION_MIN_DAYS = 7
_SENSITIVE = frozenset({"personal", "cardholder", "confidential", "health"})
_UNION = ("eu", "europe", "de", "fr", "nl", "ie", "se", "fi", "es", "it", "pl", "at", "be", "dk", "pt", "cz")
_PLACE = Place("shop.yaml", 9, 5)


def _other(name: str, **more: object) -> Entry:
    specs = more.get("specs")
    dependencies = more.get("dependencies")
    return Entry(
        "prod",
        "shop",
        name,
        "container",
        _PLACE,
        specs=specs if isinstance(specs, Mapping) else {"image": "app:1"},
        dependencies=dependencies if isinstance(dependencies, tuple) else (),
    )


_THREE = tuple(_other(n, dependencies=("prod/shop/web",)) for n in ("a", "b", "c"))
_RING = {"env": {"PEER_URL": "http://web:8080"}, "ports": ["8081:80"], "image": "app:1"}
_SECRET = {"image": "app:1", "env": {"TOKEN": Secret("env:APP_TOKEN")}}


@scope_rule(
    "single-point-of-failure",
    Severity.LOW,
    Reason.AVAILABILITY,
    "Single point of failure",
    why="Everything that depends on it stops with it, at every update too.",
    source="SOC 2 A1.1; requirements M19",
    kinds=RUNNING,
    controls=AVAILABLE,
    bad=Sample({"image": "web:1"}, others=_THREE),
    good=Sample({"image": "web:1", "replicas": 2}, others=_THREE),
)
def single_point_of_failure(view: ScopeView) -> Iterator[Hit]:
    needed: dict[str, int] = {}
    for entry in view.graph.entries:
        for one in set(entry.dependencies):
            needed[one] = needed.get(one, 0) + 1
    for entry in view.of(RUNNING):
        count = needed.get(entry.id, 0)
        if count >= _DEPENDENTS_MIN and copies_of(entry) < 2:
            text = f"{count} resources depend on this one copy"
            yield hit(entry, "specs.replicas", text, "replicas: 2 where it can, or a second one beside it")


@scope_rule(
    "circular-exposure",
    Severity.MEDIUM,
    Reason.EXPOSURE,
    "Published services that call each other",
    why="Whoever gets into one has the way into the other, and neither can start or be restored first.",
    source="PCI DSS 4.0, 1.3.1; requirements M19",
    kinds=RUNNING,
    controls=NETWORK_CONTROLS,
    bad=Sample(
        {"image": "web:1", "ports": ["8080:80"], "env": {"API_URL": "http://api:8081"}},
        others=(_other("api", specs=_RING),),
    ),
    good=Sample(
        {"image": "web:1", "ports": ["8080:80"], "env": {"API_URL": "http://api:8081"}},
        others=(_other("api", specs={**_RING, "env": {}}),),
    ),
)
def circular_exposure(view: ScopeView) -> Iterator[Hit]:
    open_ = {(e.blueprint, e.name): e for e in view.of(RUNNING) if any(p.everywhere for p in ports(e))}
    calls: networkx.DiGraph[tuple[str, str]] = networkx.DiGraph()
    for key, entry in open_.items():
        calls.add_edges_from((key, other, {"path": path}) for other, path in _called(entry, open_))
    for ring in networkx.strongly_connected_components(calls):
        for key in sorted(ring) if len(ring) > 1 else ():
            other = min(set(calls.successors(key)) & ring)
            names = ", ".join(sorted(name for _, name in ring - {key}))
            text = f"it and {names} are published and call each other"
            fix = "publish one of them, or let one direction go through a queue"
            yield hit(open_[key], calls.edges[key, other]["path"], text, fix)


def _called(entry: Entry, known: Mapping[tuple[str, str], Entry]) -> Iterator[tuple[tuple[str, str], str]]:
    for path, name, value in environment(entry):
        key = (entry.blueprint, named_host(name, value))
        if key in known and known[key] is not entry:
            yield key, path


@scope_rule(
    "secret-for-many",
    Severity.INFO,
    Reason.SECRET,
    "One secret for many",
    why="A leak at one is a leak at all, and it cannot be changed at one alone.",
    source="PCI DSS 4.0, 8.6.3; NSA/CISA Kubernetes Hardening Guide 1.2, Protecting sensitive cluster data",
    controls=SECRETS,
    bad=Sample(_SECRET, others=(_other("a", specs=_SECRET), _other("b", specs=_SECRET))),
    good=Sample(_SECRET, others=(_other("a", specs=_SECRET),)),
)
def secret_for_many(view: ScopeView) -> Iterator[Hit]:
    used: dict[str, list[Entry]] = {}
    for entry in view.graph.entries:
        for ref in dict.fromkeys(m.ref for m in markers(entry.specs) if isinstance(m, Secret)):
            used.setdefault(ref, []).append(entry)
    for ref, entries in used.items():
        if len(entries) >= _SHARED_MIN:
            for entry in entries:
                text = f"{ref} is used by {len(entries)} resources"
                yield hit(entry, "specs", text, "give each a secret of its own")


@rule(
    "short-retention",
    Severity.LOW,
    Reason.DATA,
    "Backup kept for days only",
    why="Damage is often noticed after a weekend; then every copy holds it.",
    source="SOC 2 A1.2; GDPR Art. 32(1)(c)",
    kinds=RUNNING,
    controls=RESTORE,
    bad=Sample({"image": "postgres:17"}, type="database", backup={"enabled": True, "retention_days": 2}),
    good=Sample({"image": "postgres:17"}, type="database", backup={"enabled": True, "retention_days": 30}),
)
def short_retention(entry: Entry) -> Iterator[Hit]:
    days = entry.backup.get("retention_days")
    if entry.backup.get("enabled") is True and isinstance(days, int) and days < _RETENTION_MIN_DAYS:
        fix = f"retention_days: {_RETENTION_MIN_DAYS} or more"
        yield hit(entry, "backup.retention_days", f"keeps backups for {days} days", fix)


@rule(
    "not-encrypted-at-rest",
    Severity.MEDIUM,
    Reason.SECRET,
    "Sensitive data not encrypted at rest",
    why="Whoever carries the disk away, or the backup, reads them.",
    source="GDPR Art. 32(1)(a); PCI DSS 4.0, 3.5.1; requirements M19",
    kinds=RUNNING,
    controls=AT_REST,
    bad=Sample({"image": "postgres:17"}, type="database", metadata={"data": "personal"}),
    good=Sample({"image": "postgres:17"}, type="database", metadata={"data": "personal", "encrypted": True}),
)
def not_encrypted_at_rest(entry: Entry) -> Iterator[Hit]:
    if entry.metadata.get("data") in _SENSITIVE and not _encrypted(entry):
        fix = "put it on an encrypted disk, then write metadata: {encrypted: true}"
        yield hit(entry, "metadata.encrypted", f"holds {entry.metadata['data']} data, not encrypted at rest", fix)


@rule(
    "encryption-not-told",
    Severity.INFO,
    Reason.SECRET,
    "Data store that does not say whether it is encrypted",
    why="Nobody can tell from the blueprint whether a stolen disk is a breach.",
    source="SOC 2 CC6.1; requirements M19",
    kinds=RUNNING,
    controls=AT_REST,
    bad=Sample({"image": "postgres:17"}, type="database"),
    good=Sample({"image": "postgres:17"}, type="database", metadata={"encrypted": True}),
)
def encryption_not_told(entry: Entry) -> Iterator[Hit]:
    told = _encrypted(entry) or entry.metadata.get("encrypted") is False
    if holds_data(entry) and not told and entry.metadata.get("data") not in _SENSITIVE:
        fix = "metadata: {encrypted: true} once its disk is, and data: public or personal"
        yield hit(entry, "metadata.encrypted", "does not say whether its disk is encrypted", fix)


def _encrypted(entry: Entry) -> bool:
    return entry.metadata.get("encrypted") is True or entry.specs.get("encrypted") is True


@rule(
    "data-leave-the-union",
    Severity.HIGH,
    Reason.CHANGE,
    "Personal data outside of the Union",
    why="It is allowed on conditions only, which someone must have looked at.",
    source="GDPR Art. 44",
    kinds=(ANYTHING,),
    controls=TRANSFER,
    bad=Sample({"cpu": 1}, type="database", metadata={"data": "personal", "region": "us-east-1"}),
    good=Sample({"cpu": 1}, type="database", metadata={"data": "personal", "region": "eu-central-1"}),
)
def data_leave_the_union(entry: Entry) -> Iterator[Hit]:
    region = str(entry.metadata.get("region") or "eu").lower()
    if entry.metadata.get("data") in ("personal", "health") and region.replace("_", "-").split("-")[0] not in _UNION:
        text = f"holds personal data in {region}"
        yield hit(entry, "metadata.region", text, "choose a region of the Union, or waive it with the ground")


@rule(
    "no-owner",
    Severity.INFO,
    Reason.IDENTITY,
    "Nobody owns it",
    why="When it fails or is found open, nobody is asked first.",
    source="PCI DSS 4.0, 12.5.1; SOC 2 CC6.1",
    kinds=RUNNING,
    controls=ASSETS,
    bad=Sample({"image": "web:1"}),
    good=Sample({"image": "web:1"}, metadata={"owner": "ops"}),
)
def no_owner(entry: Entry) -> Iterator[Hit]:
    if not entry.metadata.get("owner"):
        yield hit(entry, "metadata.owner", "names no owner", "metadata: {owner: TEAM}, once for the whole blueprint")


@rule(
    "volume-goes-with-entry",
    Severity.LOW,
    Reason.DATA,
    "Volume that goes when its entry goes",
    why="A removed line in a blueprint then removes data.",
    source="design.md 3 (on_delete)",
    kinds=VOLUMES,
    controls=RESTORE,
    bad=Sample({"size": "10GB"}, type="volume"),
    good=Sample({"size": "10GB"}, type="volume", lifecycle=Lifecycle(on_delete=OnDelete.RETAIN)),
)
def volume_goes_with_entry(entry: Entry) -> Iterator[Hit]:
    kept = entry.lifecycle.protect or entry.lifecycle.on_delete is OnDelete.RETAIN
    if not kept and entry.specs.get("external") is not True:
        yield hit(entry, "lifecycle.on_delete", "is destroyed with its entry", "lifecycle: {on_delete: retain}")


@rule(
    "drift-ignored",
    Severity.LOW,
    Reason.CHANGE,
    "Drift ignored at large",
    why="What differs there is neither healed nor told; the blueprint says what is not so.",
    source="design.md 3 (lifecycle.ignore); SOC 2 CC8.1",
    kinds=(ANYTHING,),
    controls=CHANGE,
    bad=Sample({"image": "web:1"}, lifecycle=Lifecycle(ignore=("env", "image", "ports", "labels", "user", "command"))),
    good=Sample({"image": "web:1"}, lifecycle=Lifecycle(ignore=("env.TZ",))),
)
def drift_ignored(entry: Entry) -> Iterator[Hit]:
    if len(entry.lifecycle.ignore) > _IGNORED_MAX:
        text = f"ignores {len(entry.lifecycle.ignore)} fields"
        yield hit(entry, "lifecycle.ignore", text, "name single fields, or tolerate them until a date")


@scope_rule(
    "tolerance-expired",
    Severity.LOW,
    Reason.CHANGE,
    "Tolerated drift that is over",
    why="It is healed again from now on; someone thought that it would be gone by then.",
    source="design.md 1 (tolerate)",
    controls=ACCEPTED,
    bad=Sample({"image": "web:1"}, tolerate=(Tolerated("image", "tried by hand", date(2026, 11, 1), _PLACE),)),
    good=Sample({"image": "web:1"}),
)
def tolerance_expired(view: ScopeView) -> Iterator[Hit]:
    for entry in view.graph.entries:
        for i, one in enumerate(entry.tolerate):
            if view.today > one.until:
                text = f"drift of {one.field} was tolerated until {one.until.isoformat()}"
                yield hit(entry, f"tolerate.{i}", text, "bring the value into the blueprint, or remove the line")


RULES: tuple[Rule, ...] = (
    single_point_of_failure,
    circular_exposure,
    secret_for_many,
    short_retention,
    not_encrypted_at_rest,
    encryption_not_told,
    data_leave_the_union,
    no_owner,
    volume_goes_with_entry,
    drift_ignored,
    tolerance_expired,
)
