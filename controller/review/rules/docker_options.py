"""Rules about options of one container that Docker leaves open by default, or that open more than they say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from controller.blueprint.entry import Entry
from controller.review.finding import Severity
from controller.review.rules.controls import (
    ACCESS,
    NETWORK,
)
from controller.review.rules.coverage import CONTAINER
from controller.review.rules.rule import Hit, Reason, Rule, Sample, hit, rule
from controller.review.rules.specs import items, text

# Namespaced, so that a container changes its own only (Docker's documentation of --sysctl).
_OWN_SYSCTLS = re.compile(r"^(?:kernel\.(?:msg\w+|sem|shm\w*)|fs\.mqueue\..+|net\..+)$")


@rule(
    "capabilities-kept",
    Severity.INFO,
    Reason.PRIVILEGE,
    "Default capabilities kept",
    why="Docker leaves fourteen capabilities to every container; most programs need none of them.",
    source="CIS Docker 1.6.0, 5.4",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "web:1"}),
    good=Sample({"image": "web:1", "cap_drop": ["ALL"], "cap_add": ["NET_BIND_SERVICE"]}),
)
def capabilities_kept(entry: Entry) -> Iterator[Hit]:
    if "ALL" not in {str(item).upper().removeprefix("CAP_") for _, item in items(entry, "cap_drop")}:
        yield hit(
            entry, "specs.cap_drop", "keeps the default capabilities", "cap_drop: [ALL], then cap_add what it uses"
        )


@rule(
    "writable-root-file-system",
    Severity.INFO,
    Reason.PRIVILEGE,
    "Writable root file system",
    why="What breaks in can leave programs behind and change those that are there.",
    source="CIS Docker 1.6.0, 5.13",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "web:1"}),
    good=Sample({"image": "web:1", "read_only": True, "tmpfs": ["/run:size=16m"]}),
)
def writable_root_file_system(entry: Entry) -> Iterator[Hit]:
    if entry.specs.get("read_only") is not True:
        fix = "read_only: true, with tmpfs or a volume where it writes"
        yield hit(entry, "specs.read_only", "may write to its root file system", fix)


@rule(
    "default-bridge",
    Severity.INFO,
    Reason.EXPOSURE,
    "Default bridge network",
    why="Every container without a network of its own is there, and all of them reach each other.",
    source="CIS Docker 1.6.0, 5.30",
    kinds=CONTAINER,
    controls=NETWORK,
    bad=Sample({"image": "web:1", "network_mode": "bridge"}),
    good=Sample({"image": "web:1", "networks": ["front"]}),
)
def default_bridge(entry: Entry) -> Iterator[Hit]:
    mode = text(entry, "network_mode")
    if mode in ("bridge", "default") or (not mode and not entry.specs.get("networks")):
        fix = "networks: [NAME], with a resource of type network"
        yield hit(entry, "specs.networks", "is on the default bridge of the host", fix)


@rule(
    "shared-mount-propagation",
    Severity.HIGH,
    Reason.PRIVILEGE,
    "Mounts shared with the host",
    why="What is mounted inside appears on the host, and the other way round.",
    source="CIS Docker 1.6.0, 5.20",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "agent:1", "volumes": ["/srv/data:/data:ro,rshared"]}),
    good=Sample({"image": "agent:1", "volumes": ["/srv/data:/data:ro,rprivate"]}),
)
def shared_mount_propagation(entry: Entry) -> Iterator[Hit]:
    for path, item in items(entry, "volumes"):
        bind = item.get("bind") if isinstance(item, Mapping) else None
        long = bind.get("propagation") if isinstance(bind, Mapping) else None
        short = item.split(":")[2].split(",") if isinstance(item, str) and item.count(":") >= 2 else []
        if {str(long), *short} & {"shared", "rshared"}:
            yield hit(entry, path, "shares its mounts with the host", "remove shared, or use rslave for reading")


@rule(
    "foreign-sysctl",
    Severity.HIGH,
    Reason.PRIVILEGE,
    "Kernel setting of the host",
    why="It is not namespaced: what it sets holds for the host and every neighbour.",
    source="Docker documentation, docker run --sysctl",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "web:1", "sysctls": {"vm.overcommit_memory": "1"}}),
    good=Sample({"image": "web:1", "sysctls": {"net.core.somaxconn": "1024"}}),
)
def foreign_sysctl(entry: Entry) -> Iterator[Hit]:
    given = entry.specs.get("sysctls")
    pairs = given if isinstance(given, Mapping) else {str(i).partition("=")[0]: i for _, i in items(entry, "sysctls")}
    for name in pairs:
        if not _OWN_SYSCTLS.match(str(name)):
            yield hit(entry, "specs.sysctls", f"sets {name} for the whole host", "set it on the host, on purpose")


@rule(
    "device-rule",
    Severity.MEDIUM,
    Reason.HOST,
    "Rule about host devices",
    why="It opens devices by number, also those that appear later.",
    source="CIS Docker 1.6.0, 5.18",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "web:1", "device_cgroup_rules": ["c *:* rwm"]}),
    good=Sample({"image": "web:1"}),
)
def device_rule(entry: Entry) -> Iterator[Hit]:
    for path, item in items(entry, "device_cgroup_rules"):
        yield hit(entry, path, f"opens devices of the host by {item}", "name the one device under devices")


@rule(
    "shared-with-container",
    Severity.LOW,
    Reason.HOST,
    "Shares namespaces or mounts of another container",
    why="A breach in one of the two is a breach in both, and their files and processes lie open to each other.",
    source="CIS Docker 1.6.0, 5.16, 5.17; threats I38",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "web:1", "pid": "container:other"}),
    good=Sample({"image": "web:1", "networks": ["back"]}),
)
def shared_with_container(entry: Entry) -> Iterator[Hit]:
    for name in ("pid", "ipc", "network_mode"):
        if text(entry, name).startswith(("container:", "service:")):
            yield hit(entry, f"specs.{name}", f"shares its {name} with another container", "use a network between them")
    for path, item in items(entry, "volumes_from"):
        yield hit(entry, path, f"takes every mount of {item}", "mount the one named volume it needs")


RULES: tuple[Rule, ...] = (
    capabilities_kept,
    writable_root_file_system,
    default_bridge,
    shared_mount_propagation,
    foreign_sysctl,
    device_rule,
    shared_with_container,
)
