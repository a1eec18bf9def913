"""Rules about guests of Proxmox VE: disks, backups, and what comes back after a bad day."""

from __future__ import annotations

from collections.abc import Iterator

from controller.blueprint.entry import Entry, Lifecycle
from controller.review.finding import Severity
from controller.review.rules.controls import AVAILABLE, CAPACITY, RESTORE
from controller.review.rules.coverage import GUESTS, QEMU
from controller.review.rules.guest import cards, disks, is_on
from controller.review.rules.rule import Hit, Reason, Rule, Sample, hit, rule
from controller.review.rules.specs import holds_data

_GUIDE = "Proxmox VE Administration Guide"


@rule(
    "guest-unsafe-cache",
    Severity.HIGH,
    Reason.DATA,
    "Disk that forgets at a power cut",
    why="cache=unsafe answers before anything is written and ignores every flush: the file system breaks.",
    source=f"{_GUIDE}, Cache Mode",
    kinds=QEMU,
    controls=RESTORE,
    bad=Sample({"cores": 2, "scsi0": "local-lvm:32,cache=unsafe"}, type="vm"),
    good=Sample({"cores": 2, "scsi0": "local-lvm:32,cache=none"}, type="vm"),
)
def guest_unsafe_cache(entry: Entry) -> Iterator[Hit]:
    for path, given in disks(entry):
        if given.get("cache") == "unsafe":
            yield hit(entry, path, "its disk cache is unsafe", "cache=none, or writeback where flushes are honoured")


@rule(
    "guest-writeback-cache",
    Severity.LOW,
    Reason.DATA,
    "Data behind a write-back cache",
    why="What the node had only in memory is lost at a power cut; a database that does not flush loses it too.",
    source=f"{_GUIDE}, Cache Mode",
    kinds=QEMU,
    controls=RESTORE,
    bad=Sample({"cores": 2, "scsi0": "local-lvm:32,cache=writeback"}, type="vm", product="postgresql"),
    good=Sample({"cores": 2, "scsi0": "local-lvm:32,cache=none"}, type="vm", product="postgresql"),
)
def guest_writeback_cache(entry: Entry) -> Iterator[Hit]:
    for path, given in disks(entry):
        if given.get("cache") == "writeback" and holds_data(entry):
            yield hit(entry, path, "keeps data behind a write-back cache", "cache=none")


@rule(
    "guest-disk-not-in-backup",
    Severity.MEDIUM,
    Reason.DATA,
    "Disk left out of backups",
    why="A restore brings the guest back without it.",
    source=f"{_GUIDE}, Backup and Restore, backup=0",
    kinds=GUESTS,
    controls=RESTORE,
    bad=Sample({"cores": 2, "scsi1": "local-lvm:32,backup=0"}, type="vm"),
    good=Sample({"cores": 2, "scsi1": "local-lvm:32"}, type="vm"),
)
def guest_disk_not_in_backup(entry: Entry) -> Iterator[Hit]:
    for path, given in disks(entry):
        if "backup" in given and not is_on(given["backup"]) and given.get("cache") not in ("unsafe", "writeback"):
            yield hit(entry, path, "is left out of backups", "remove backup=0, or waive it with the reason")


@rule(
    "guest-no-backup",
    Severity.LOW,
    Reason.DATA,
    "Guest without backup",
    why="A guest is more than its blueprint: what was done inside is nowhere else.",
    source=f"{_GUIDE}, Backup and Restore; requirements M19",
    kinds=GUESTS,
    controls=RESTORE,
    bad=Sample({"cores": 2}, type="vm"),
    good=Sample({"cores": 2}, type="vm", backup={"enabled": True, "retention_days": 14}),
)
def guest_no_backup(entry: Entry) -> Iterator[Hit]:
    if entry.backup.get("enabled", bool(entry.backup)) is not True and not holds_data(entry):
        yield hit(entry, "backup", "has no backup", "backup: {enabled: true, retention_days: 14}")


@rule(
    "guest-unprotected",
    Severity.INFO,
    Reason.DATA,
    "Guest without protection",
    why="With protection on, neither a click nor a merge removes it or its disks.",
    source=f"{_GUIDE}, qm.conf protection",
    kinds=GUESTS,
    controls=RESTORE,
    bad=Sample({"cores": 2}, type="vm"),
    good=Sample({"cores": 2, "protection": True}, type="vm", lifecycle=Lifecycle(protect=True)),
)
def guest_unprotected(entry: Entry) -> Iterator[Hit]:
    if not holds_data(entry) and not entry.lifecycle.protect and not is_on(entry.specs.get("protection")):
        yield hit(entry, "specs.protection", "may be removed by one click", "protection: true")


@rule(
    "guest-stays-down",
    Severity.LOW,
    Reason.AVAILABILITY,
    "Guest that stays down after a reboot",
    why="After a power cut the node comes back and the guest does not.",
    source=f"{_GUIDE}, qm.conf onboot",
    kinds=GUESTS,
    controls=AVAILABLE,
    bad=Sample({"cores": 2}, type="vm"),
    good=Sample({"cores": 2, "onboot": True}, type="vm"),
)
def guest_stays_down(entry: Entry) -> Iterator[Hit]:
    if not is_on(entry.specs.get("onboot")) and not entry.specs.get("template"):
        yield hit(entry, "specs.onboot", "is not started with its node", "onboot: true")


@rule(
    "guest-without-agent",
    Severity.LOW,
    Reason.AVAILABILITY,
    "Virtual machine without agent",
    why="Without it a backup is taken in mid-write, and nobody knows whether the guest is up or only powered.",
    source=f"{_GUIDE}, QEMU Guest Agent",
    kinds=QEMU,
    controls=RESTORE,
    bad=Sample({"cores": 2, "agent": "0"}, type="vm"),
    good=Sample({"cores": 2, "agent": "1,fstrim_cloned_disks=1"}, type="vm"),
)
def guest_without_agent(entry: Entry) -> Iterator[Hit]:
    if not is_on(entry.specs.get("agent")):
        yield hit(entry, "specs.agent", "has no guest agent", "agent: 1, and the package in the guest")


@rule(
    "guest-bound-to-node",
    Severity.INFO,
    Reason.AVAILABILITY,
    "Virtual machine bound to one type of processor",
    why="With cpu: host it starts, or moves while running, only where every node has the same processor.",
    source=f"{_GUIDE}, CPU Type",
    kinds=QEMU,
    controls=AVAILABLE,
    bad=Sample({"cores": 2, "cpu": "host"}, type="vm"),
    good=Sample({"cores": 2, "cpu": "x86-64-v2-AES"}, type="vm"),
)
def guest_bound_to_node(entry: Entry) -> Iterator[Hit]:
    for name in ("cpu_type", "cpu"):
        kind = entry.specs.get(name)
        if isinstance(kind, str) and kind.partition(",")[0] in ("host", "cputype=host", "max"):
            yield hit(entry, f"specs.{name}", "asks for the processor of its node", f"{name}: x86-64-v2-AES")


@rule(
    "guest-emulated",
    Severity.MEDIUM,
    Reason.CAPACITY,
    "Virtual machine without hardware support",
    why="Every instruction is translated: ten times the processor time, and power, for the same work.",
    source=f"{_GUIDE}, qm.conf kvm",
    kinds=QEMU,
    controls=CAPACITY,
    bad=Sample({"cores": 2, "kvm": False}, type="vm"),
    good=Sample({"cores": 2}, type="vm"),
)
def guest_emulated(entry: Entry) -> Iterator[Hit]:
    if "kvm" in entry.specs and not is_on(entry.specs["kvm"]):
        yield hit(entry, "specs.kvm", "runs without hardware support", "kvm: true")


@rule(
    "guest-not-highly-available",
    Severity.LOW,
    Reason.AVAILABILITY,
    "Production guest on one node",
    why="When its node fails, it waits for a person.",
    source=f"{_GUIDE}, High Availability; SOC 2 A1.1",
    kinds=GUESTS,
    controls=AVAILABLE,
    bad=Sample({"cores": 2}, type="vm", metadata={"environment": "production"}),
    good=Sample({"cores": 2, "ha": {"state": "started"}}, type="vm", metadata={"environment": "production"}),
)
def guest_not_highly_available(entry: Entry) -> Iterator[Hit]:
    told = any(entry.specs.get(k) for k in ("ha", "hastate", "ha_group"))
    if entry.metadata.get("environment") == "production" and not told:
        yield hit(entry, "specs.ha", "is restarted nowhere else", "ha: {state: started}, or a second one beside it")


@rule(
    "guest-legacy-card",
    Severity.INFO,
    Reason.CAPACITY,
    "Emulated network card",
    why="e1000 and rtl8139 cost the node processor time for every packet.",
    source=f"{_GUIDE}, Network Device",
    kinds=QEMU,
    controls=CAPACITY,
    bad=Sample({"cores": 2, "net0": "e1000,bridge=vmbr0"}, type="vm"),
    good=Sample({"cores": 2, "net0": "virtio,bridge=vmbr0"}, type="vm"),
)
def guest_legacy_card(entry: Entry) -> Iterator[Hit]:
    for path, given in cards(entry):
        model = given.get("model") or given.get("") or next(iter(given), "")
        if model.partition("=")[0] in ("e1000", "e1000e", "rtl8139", "ne2k_pci"):
            yield hit(entry, path, f"emulates a card of type {model}", "virtio")


RULES: tuple[Rule, ...] = (
    guest_unsafe_cache,
    guest_writeback_cache,
    guest_disk_not_in_backup,
    guest_no_backup,
    guest_unprotected,
    guest_stays_down,
    guest_without_agent,
    guest_bound_to_node,
    guest_emulated,
    guest_not_highly_available,
    guest_legacy_card,
)
