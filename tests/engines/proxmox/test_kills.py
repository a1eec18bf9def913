"""A5 with the whole program: `alma deploy` is killed around one long task of an emulated cluster; the task goes on,
ends, fails or is forgotten; the next `alma deploy` finds out. Nothing is made twice, and the end is as asked for."""

from __future__ import annotations

import copy
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.commands import Zygote
from tests.engines.proxmox.cluster import TEMPLATE, Cluster, emulated

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]

Report = Callable[..., None]
ROW = "A5 proxmox killed deploys"
LONG_S = 0.3  # of a task that still runs when the next process starts
OUTCOMES = ("running", "ended", "failed", "vanished")
_CT = "  - {name: ct, type: lxc, specs: {image: TEMPLATE, memory: 256MB, disk: SIZE, running: false}}\n"
# What listens there is the cluster itself: no need to wait until a guest has run for a while.
_PROBED = """\
  - name: ct
    type: lxc
    specs: {image: TEMPLATE, memory: 256MB, disk: 4GB, running: RUNS, nets: {net0: {bridge: vmbr0, ip: 127.0.0.1/8}}}
    health: {tcp: {port: PORT}}
"""
_BASE = "  - {name: base, type: vm, specs: {cpu: 1, memory: 256MB, disk: 8GB, template: true}}\n"
_COPY = "  - {name: copy, type: vm, specs: {clone: base, running: false}}\n"


def ct(size: str = "4GB") -> str:
    return _CT.replace("TEMPLATE", TEMPLATE).replace("SIZE", size)


def probed(runs: str) -> str:
    return _PROBED.replace("TEMPLATE", TEMPLATE).replace("RUNS", runs)


@dataclass(frozen=True)
class Case:
    """From one content to another, with a request that becomes a long task."""

    before: str
    after: str
    task: str  # its type
    path: str  # the request's, in the ledger
    number: int = 0  # of this request among all of them
    phases: tuple[int, ...] = (4, 5)  # where it is killed: see `moments`


CASES: Mapping[str, Case] = {
    "create": Case("", ct(), "vzcreate", "/nodes/{node}/lxc", phases=(1, 2, 3, 4, 5, 6)),
    "clone": Case(_BASE, _BASE + _COPY, "qmclone", "/nodes/{node}/qemu/{vmid}/clone"),
    "resize": Case(ct(), ct("8GB"), "resize", "/nodes/{node}/lxc/{vmid}/resize", number=-1),
    "start": Case(probed("false"), probed("true"), "vzstart", "/nodes/{node}/lxc/{vmid}/status/start"),
}


class Place:
    """A configuration, one blueprint, and a state and a cluster that go back to where they were."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self._folder, self._cluster = folder, cluster
        (folder / "prod").mkdir()
        (folder / "prod" / "alma.yaml").write_text("version: 1\nscopes: [{name: prod, path: .}]\n")
        target = {k: v for k, v in cluster.binding().config.items() if k != "token"} | {"token": "env:PVE_TOKEN"}
        server = {"id": "home", "targets": {"pve": target}, "reconcile": {"health_timeout": "20s"}}
        (folder / "server.yaml").write_text(json.dumps(server))

    def deploy(self, content: str) -> list[str]:
        """`alma deploy` of this content, agreed to."""
        content = content.replace("PORT", str(self._cluster.serving.port))
        resources = f"\n{content}" if content else " []\n"
        (self._folder / "prod" / "shop.yaml").write_text(f"name: shop\nprovider: proxmox\nresources:{resources}")
        where = ["--config", str(self._folder / "server.yaml"), "--state", str(self._folder / "state")]
        return [*where, "deploy", str(self._folder / "prod"), "--yes"]

    def keep(self) -> None:
        shutil.copytree(self._folder / "state", self._folder / "kept", dirs_exist_ok=True)
        self._world = copy.deepcopy(self._cluster.serving.emulator.world)

    def put_back(self) -> None:
        shutil.rmtree(self._folder / "state")
        shutil.copytree(self._folder / "kept", self._folder / "state")
        self._cluster.serving.emulator.world = copy.deepcopy(self._world)

    def guests(self) -> object:
        """What a person would call the same."""
        found = []
        for guest in self._cluster.guests().values():
            config = guest["config"]
            kept = {k: config.get(k) for k in ("hostname", "name", "memory", "template", "lock")}
            size = (config.get("rootfs") or config.get("scsi0") or "").rpartition("size=")[2]
            found.append((sorted(kept.items(), key=str), size, guest["running"]))
        return sorted(found, key=str)

    def sent(self, case: Case) -> int:
        """How often its request was taken."""
        return sum(1 for c in self._cluster.changes() if c["path"] == case.path)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with emulated(tmp_path, clock=time.time) as running:
        running.root.control("settings", task_length_s={"*": 0.0})
        yield running


@pytest.fixture
def zygote(cluster: Cluster) -> Iterator[Zygote]:
    running = Zygote("proxmox", {"PVE_TOKEN": cluster.token})
    yield running
    running.close()


def moments(order: list[str], number: int) -> list[int]:
    """Boundaries (from 1) around one request: before its intent and after it, before the call and after it, after its
    receipt was written, after it was first asked about."""
    sent = [n for n, name in enumerate(order) if name == "before ProxmoxEngine.do"][number]
    appends = [n for n, name in enumerate(order) if name == "before Journal.append"]
    intent = max(n for n in appends if n < sent)
    receipt = min(n for n in appends if n > sent)
    polled = next((n for n, name in enumerate(order) if n > sent and name == "after ProxmoxEngine.poll"), receipt + 2)
    return [n + 1 for n in (intent, intent + 1, sent, sent + 1, receipt + 1, polled)]


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_deploy_killed_around_a_task_ends_as_without_it(
    name: str, cluster: Cluster, tmp_path: Path, zygote: Zygote, report_n: Report
) -> None:
    case, place = CASES[name], Place(tmp_path, cluster)
    assert zygote.ask(place.deploy(case.before))["code"] == 0
    place.keep()
    cluster.root.control("settings", task_length_s={"*": 0.0, case.task: LONG_S})
    undisturbed = zygote.ask(place.deploy(case.after))
    assert undisturbed["code"] == 0
    target, once = place.guests(), place.sent(case)
    assert once == 1
    wrong, points = [], 0
    for outcome in OUTCOMES:
        for phase in case.phases:
            k = moments(undisturbed["boundaries"], case.number)[phase - 1]
            place.put_back()
            length_s = LONG_S if outcome == "running" else 0.0
            cluster.root.control("settings", task_length_s={"*": 0.0, case.task: length_s})
            if outcome == "failed":
                cluster.root.control("faults", on="task", type=case.task, kind="fail", text="no space left on device")
            assert zygote.ask(place.deploy(case.after), kill=k)["killed"], (outcome, phase)
            if outcome == "vanished":
                cluster.serving.emulator.world.tasks.clear()
            if zygote.ask(place.deploy(case.after))["code"]:
                zygote.ask(place.deploy(case.after))  # one that was undone is tried again
            points += 1
            # What failed has left nothing, so it may go out once more; everything else goes out once.
            if place.guests() != target or place.sent(case) > (2 if outcome == "failed" else 1):
                wrong.append(f"{outcome}, p{phase}: sent {place.sent(case)} times, {place.guests()}")
    report_n(ROW, points, len(wrong))
    assert not wrong, "\n".join(wrong)
