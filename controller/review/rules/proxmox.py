"""Rules about guests of Proxmox VE: the wall to the node, and what comes back after a bad day."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from controller.blueprint.entry import Entry
from controller.review.finding import Severity
from controller.review.rules.controls import ACCESS, IDENTITY, SEGMENTS
from controller.review.rules.coverage import GUESTS, LXC, QEMU
from controller.review.rules.guest import cards, disks, features, is_on, keys_like
from controller.review.rules.rule import Hit, Reason, Rule, Sample, hit, rule

_RAW_LXC = re.compile(r"lxc(?:\..+)?")
_PASSED = re.compile(r"(?:hostpci|usb|parallel|serial)\d{0,2}|dev\d{1,3}|devices")
_GUIDE = "Proxmox VE Administration Guide"


@rule(
    "guest-raw-arguments",
    Severity.CRITICAL,
    Reason.HOST,
    "Raw arguments to the hypervisor",
    why="They can open any file or device of the node, and nothing of Proxmox checks them.",
    source=f"{_GUIDE}, qm.conf args; threats I38",
    kinds=QEMU,
    controls=ACCESS,
    bad=Sample({"cores": 2, "args": "-device vfio-pci,host=01:00.0"}, type="vm"),
    good=Sample({"cores": 2}, type="vm"),
)
def guest_raw_arguments(entry: Entry) -> Iterator[Hit]:
    if entry.specs.get("args"):
        yield hit(entry, "specs.args", "passes raw arguments to the hypervisor", "use the option made for it")


@rule(
    "lxc-raw-configuration",
    Severity.CRITICAL,
    Reason.HOST,
    "Raw configuration of a system container",
    why="One such line undoes every wall: devices, namespaces, AppArmor.",
    source=f"{_GUIDE}, pct.conf; threats I38",
    kinds=LXC,
    controls=ACCESS,
    bad=Sample({"cores": 1, "lxc.apparmor.profile": "unconfined"}, type="lxc"),
    good=Sample({"cores": 1}, type="lxc"),
)
def lxc_raw_configuration(entry: Entry) -> Iterator[Hit]:
    for key in keys_like(entry, _RAW_LXC):
        yield hit(entry, f"specs.{key}", f"writes {key} past Proxmox", "use features, or a virtual machine")


@rule(
    "guest-hook-script",
    Severity.HIGH,
    Reason.HOST,
    "Script of the node",
    why="It runs as root on the node at every start and stop of the guest.",
    source=f"{_GUIDE}, Hookscripts; threats I38",
    kinds=GUESTS,
    controls=ACCESS,
    bad=Sample({"cores": 2, "hookscript": "local:snippets/hook.pl"}, type="vm"),
    good=Sample({"cores": 2}, type="vm"),
)
def guest_hook_script(entry: Entry) -> Iterator[Hit]:
    if entry.specs.get("hookscript"):
        yield hit(entry, "specs.hookscript", "runs a script on the node", "do it inside the guest, or by hand")


@rule(
    "guest-device-passed",
    Severity.MEDIUM,
    Reason.HOST,
    "Device of the node passed through",
    why="The guest speaks to hardware directly, reaches memory by it, and cannot move to another node.",
    source=f"{_GUIDE}, PCI(e) Passthrough, Device passthrough",
    kinds=GUESTS,
    controls=ACCESS,
    bad=Sample({"cores": 2, "hostpci0": "01:00.0,pcie=1"}, type="vm"),
    good=Sample({"cores": 2, "serial0": "socket"}, type="vm"),
)
def guest_device_passed(entry: Entry) -> Iterator[Hit]:
    for key in keys_like(entry, _PASSED):
        if entry.specs[key] not in ("socket", "spice"):
            yield hit(entry, f"specs.{key}", f"uses {entry.specs[key]} of the node", "waive it with the reason")


@rule(
    "lxc-host-folder",
    Severity.HIGH,
    Reason.HOST,
    "Folder of the node mounted",
    why="It is in no backup, and what breaks in reads and writes the node's own files.",
    source=f"{_GUIDE}, Bind Mount Points",
    kinds=LXC,
    controls=ACCESS,
    bad=Sample({"cores": 1, "mp0": "/srv/media,mp=/media"}, type="lxc"),
    good=Sample({"cores": 1, "mp0": "local-lvm:8,mp=/media"}, type="lxc"),
)
def lxc_host_folder(entry: Entry) -> Iterator[Hit]:
    for path, given in disks(entry):
        volume = given.get("") or given.get("volume") or given.get("storage", "")
        if volume.startswith("/"):
            yield hit(entry, path, f"mounts {volume} of the node", "use a volume of a storage")


@rule(
    "lxc-nesting",
    Severity.LOW,
    Reason.PRIVILEGE,
    "Nesting in a system container",
    why="It shows procfs and sysfs of the node, which containers inside may write to.",
    source=f"{_GUIDE}, pct.conf features, nesting",
    kinds=LXC,
    controls=ACCESS,
    bad=Sample({"cores": 1, "unprivileged": True, "features": "nesting=1"}, type="lxc"),
    good=Sample({"cores": 1, "unprivileged": True}, type="lxc"),
)
def lxc_nesting(entry: Entry) -> Iterator[Hit]:
    if is_on(features(entry).get("nesting")) and entry.specs.get("unprivileged") is not False:
        yield hit(entry, "specs.features", "may run containers inside", "remove nesting, or use a virtual machine")


@rule(
    "lxc-nesting-privileged",
    Severity.CRITICAL,
    Reason.PRIVILEGE,
    "Nesting in a privileged container",
    why="Root inside can then mount what it wants: it is root of the node.",
    source=f"{_GUIDE}, pct.conf features, nesting",
    kinds=LXC,
    controls=ACCESS,
    bad=Sample({"cores": 1, "unprivileged": False, "features": {"nesting": True}}, type="lxc"),
    good=Sample({"cores": 1, "unprivileged": True, "features": {"nesting": True}}, type="lxc"),
)
def lxc_nesting_privileged(entry: Entry) -> Iterator[Hit]:
    if is_on(features(entry).get("nesting")) and entry.specs.get("unprivileged") is False:
        yield hit(entry, "specs.features", "is privileged and may nest", "unprivileged: true, or a virtual machine")


@rule(
    "lxc-wide-features",
    Severity.MEDIUM,
    Reason.HOST,
    "Mounts and devices in a system container",
    why="mount, mknod and fuse let it reach file systems and devices through the kernel of the node.",
    source=f"{_GUIDE}, pct.conf features, fuse, mknod, mount",
    kinds=LXC,
    controls=ACCESS,
    bad=Sample({"cores": 1, "features": "mount=nfs;cifs"}, type="lxc"),
    good=Sample({"cores": 1}, type="lxc"),
)
def lxc_wide_features(entry: Entry) -> Iterator[Hit]:
    given = features(entry)
    wide = [name for name in ("mknod", "fuse") if is_on(given.get(name))] + (["mount"] if given.get("mount") else [])
    if wide:
        yield hit(entry, "specs.features", f"may use {', '.join(wide)}", "mount it on the node, or use a VM")


@rule(
    "lxc-shell-console",
    Severity.HIGH,
    Reason.IDENTITY,
    "Console without login",
    why="Whoever may open the console is root inside, with nothing on record of who it was.",
    source=f"{_GUIDE}, pct.conf cmode",
    kinds=LXC,
    controls=IDENTITY,
    bad=Sample({"cores": 1, "cmode": "shell"}, type="lxc"),
    good=Sample({"cores": 1, "cmode": "tty"}, type="lxc"),
)
def lxc_shell_console(entry: Entry) -> Iterator[Hit]:
    if entry.specs.get("cmode") == "shell":
        yield hit(entry, "specs.cmode", "opens a root shell without login", "cmode: tty")


@rule(
    "guest-password-login",
    Severity.MEDIUM,
    Reason.IDENTITY,
    "Login by password only",
    why="Passwords are tried from everywhere; a key is not guessed.",
    source=f"{_GUIDE}, Cloud-Init; PCI DSS 4.0, 8.3.1",
    kinds=GUESTS,
    controls=IDENTITY,
    bad=Sample({"cores": 1, "ciuser": "ops", "cipassword": "${values.password}"}, type="vm"),
    good=Sample({"cores": 1, "ciuser": "ops", "sshkeys": "ssh-ed25519 AAAA ops"}, type="vm"),
)
def guest_password_login(entry: Entry) -> Iterator[Hit]:
    cloud = entry.specs.get("cloudinit")
    for above, part in (("specs", entry.specs), ("specs.cloudinit", cloud if isinstance(cloud, Mapping) else {})):
        given = next((k for k in ("cipassword", "password") if part.get(k) is not None), None)
        if given and not any(part.get(k) for k in ("sshkeys", "ssh-public-keys", "ssh_keys")):
            yield hit(entry, f"{above}.{given}", "is logged into by password", "ssh_keys, and no password")


@rule(
    "guest-card-unfiltered",
    Severity.LOW,
    Reason.EXPOSURE,
    "Network card without firewall",
    why="The guest's firewall rules do not hold on a card that does not ask for them.",
    source=f"{_GUIDE}, Firewall, firewall=1 of a network device",
    kinds=GUESTS,
    controls=SEGMENTS,
    bad=Sample({"cores": 2, "net0": "virtio,bridge=vmbr0"}, type="vm"),
    good=Sample({"cores": 2, "net0": "virtio,bridge=vmbr0,firewall=1"}, type="vm"),
)
def guest_card_unfiltered(entry: Entry) -> Iterator[Hit]:
    for path, given in cards(entry):
        if not is_on(given.get("firewall")):
            yield hit(entry, path, "has no firewall on this card", "add firewall=1")


@rule(
    "privileged-lxc",
    Severity.HIGH,
    Reason.PRIVILEGE,
    "Privileged system container",
    why="Its root is the root of the Proxmox node once it leaves the container.",
    source="Proxmox VE Administration Guide, Container Security Considerations",
    kinds=LXC,
    controls=ACCESS,
    bad=Sample({"cpu": 1, "unprivileged": False}, type="lxc"),
    good=Sample({"cpu": 1, "unprivileged": True}, type="lxc"),
)
def privileged_lxc(entry: Entry) -> Iterator[Hit]:
    if entry.specs.get("unprivileged") is False:
        yield hit(entry, "specs.unprivileged", "is a privileged container", "unprivileged: true")


@rule(
    "guest-firewall-off",
    Severity.MEDIUM,
    Reason.EXPOSURE,
    "Guest without firewall",
    why="Every port that listens inside is reachable from its whole network.",
    source="Proxmox VE Administration Guide, Firewall",
    kinds=GUESTS,
    controls=SEGMENTS,
    bad=Sample({"cpu": 1, "firewall": False}, type="vm"),
    good=Sample({"cpu": 1, "firewall": True}, type="vm"),
)
def guest_firewall_off(entry: Entry) -> Iterator[Hit]:
    for part, where in (("specs", entry.specs), ("network", entry.network)):
        given = where.get("firewall")
        off = given is False or (isinstance(given, Mapping) and given.get("enable") is False)
        if off:
            yield hit(entry, f"{part}.firewall", "has its firewall switched off", "firewall: true")


RULES: tuple[Rule, ...] = (
    guest_raw_arguments,
    lxc_raw_configuration,
    guest_hook_script,
    guest_device_passed,
    lxc_host_folder,
    lxc_nesting,
    lxc_nesting_privileged,
    lxc_wide_features,
    lxc_shell_console,
    guest_password_login,
    guest_card_unfiltered,
    privileged_lxc,
    guest_firewall_off,
)
