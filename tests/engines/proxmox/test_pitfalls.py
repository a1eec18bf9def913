"""Twenty-five bugs of other clients, first half: none of them occurs here. Numbers are those of the list the engine was
written against."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from controller.blueprint.entry import Disruption, Lifecycle
from controller.plan.resource import Part
from controller.plan.step import OpId, ReceiptState
from engines.engine import Ask, Conflict, Refused, Transient
from tests.engines.proxmox.cluster import INSTALL, Cluster, emulated
from tests.engines.proxmox.driving import CT, NET, VM, Driver, lxc, vm
from tests.engines.running import Held, StepFailed

Report = Callable[..., None]
ROW = "H proxmox pitfalls"


@pytest.fixture
async def driver(cluster: Cluster) -> AsyncIterator[Driver]:
    driven = Driver(cluster)
    yield driven
    await driven.engine.close()


async def test_01_defaults_said_or_unsaid_are_no_difference(driver: Driver, report_n: Report) -> None:
    await driver.bring(vm(specs={"memory": "512MB", "disk": "8GB"}))
    defaults = {
        "cpu": 1,
        "sockets": 1,
        "bios": "seabios",
        "ostype": "other",
        "vga": "std",
        "numa": False,
        "agent": False,
        "onboot": False,
        "protection": False,
        "tablet": True,
        "description": "",
        "tags": [],
        "cpu_type": "kvm64",
    }
    assert await driver.settled(vm(specs={"memory": "512MB", "disk": "8GB", **defaults}))
    report_n(ROW, 1)


async def test_02_tags_never_restart_and_what_waits_goes_on_being_told(driver: Driver, report_n: Report) -> None:
    ceiling = Lifecycle(max_disruption=Disruption.IN_PLACE)
    await driver.bring(vm(lifecycle=ceiling))
    (effect,) = await driver.effects(vm(specs={**VM, "tags": ["a"]}, lifecycle=ceiling))
    assert effect.disruption is Disruption.IN_PLACE
    assert [s.request["call"] for s in effect.steps] == ["guest.config"]
    more = vm(specs={**VM, "cpu": 4}, lifecycle=ceiling)
    (effect,) = await driver.effects(more)
    assert (effect.disruption, effect.reason) == (Disruption.IN_PLACE, "takes effect at the next reboot")
    await driver.bring(more)
    assert driver.config()["cores"] == "2", "it runs on as it was"
    (effect,) = await driver.effects(more)
    assert (effect.steps, effect.reason) == ((), "restart pending: cores")
    (effect,) = await driver.effects(replace(more, lifecycle=Lifecycle()))
    assert effect.disruption is Disruption.REBOOT
    assert [s.request["call"] for s in effect.steps] == ["guest.shutdown", "guest.start"], "the reboot alone"
    await driver.bring(replace(more, lifecycle=Lifecycle()))
    assert driver.config()["cores"] == "4"
    assert await driver.settled(more)
    report_n(ROW, 1)


async def test_03_a_guest_owns_its_membership_and_a_race_is_read_again(driver: Driver, report_n: Report) -> None:
    root = driver.cluster.root
    for pool in ("a", "b"):
        root.post("/pools", poolid=pool)
    in_a, in_b = (lxc(specs={**CT, "pool": pool}) for pool in ("a", "b"))
    await driver.bring(in_a)
    steps = await driver.steps(in_b)
    await driver.bring(in_b)
    assert driver.cluster.world()["pools"]["b"]["vms"] == [driver.cluster.vmid("prod-shop-it")]
    assert await driver.settled(in_b)
    member = next(s for s in steps if s.request["call"] == "guest.pool")
    with pytest.raises(Conflict):
        await driver.engine.prior(member, driver.runner.seal)
    found = await driver.engine.find(OpId("raceforpool1"), member)
    assert found.state == "acted", "somebody else had put it there"
    report_n(ROW, 1)


async def test_04_what_may_not_be_seen_is_not_absent(driver: Driver, report_n: Report) -> None:
    await driver.bring(lxc())
    driver.cluster.root.put("/access/acl", path="/", users="alma@pve", roles="PVEDatastoreAdmin")
    driver.cluster.root.put("/access/acl", path="/", users="alma@pve", roles="Administrator", delete=1)
    seen = await driver.look()
    kinds = {g.kind for g in seen.gaps}
    assert {"proxmox/qemu", "proxmox/lxc"} <= kinds
    assert any("VM.Audit on /vms" in g.reason for g in seen.gaps)
    report_n(ROW, 1)


async def test_05_a_lock_is_waited_for_and_a_task_that_met_one_is_sent_again(driver: Driver, report_n: Report) -> None:
    await driver.bring(vm(specs={**VM, "running": False}))
    (step,) = await driver.steps(vm(specs={**VM, "running": False, "onboot": True}))
    vmid = driver.cluster.vmid("prod-shop-it")
    driver.cluster.root.control("lock", path=f"/var/lock/qemu-server/lock-{vmid}.conf", hold_s=60)
    prior = await driver.engine.prior(step, driver.runner.seal)
    with pytest.raises(Transient):
        await driver.engine.do(OpId("lockedop1111"), step, prior, driver.runner.values(), Held())
    texts = (
        f"can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout",
        "can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout",
    )
    driver.cluster.advance(60)
    for text in texts:
        driver.cluster.root.control("faults", on="task", type="qmcreate", kind="fail", text=text)
        create, *_ = await driver.steps(vm("other"), vm(specs={**VM, "running": False}))
        prior = await driver.engine.prior(create, driver.runner.seal)
        receipt = await driver.engine.do(OpId("lockedtask11"), create, prior, driver.runner.values(), Held())
        assert (await driver.engine.poll(receipt)).state is ReceiptState.RUNNING, "not at once"
        driver.cluster.clock.now_s += 6
        assert (await driver.engine.poll(receipt)).state is ReceiptState.VANISHED, "then sent again"
    report_n(ROW, 2)


async def test_06_a_long_clone_is_waited_for_by_its_task_and_found_again(driver: Driver, report_n: Report) -> None:
    base = vm("base", {**VM, "template": True})
    await driver.bring(base)
    driver.cluster.root.control("settings", task_length_s={"*": 0.0, "qmclone": 600.0})
    clone, *_ = [s for s in await driver.steps(base, vm(specs={"clone": "base"})) if s.expects.absent]
    prior = await driver.engine.prior(clone, driver.runner.seal)
    receipt = await driver.engine.do(OpId("longclone111"), clone, prior, driver.runner.values(), Held())
    assert receipt.state is ReceiptState.RUNNING
    again = await driver.cluster.engine().find(OpId("longclone111"), clone)
    assert again.receipt and again.receipt.task == receipt.task, "the next process takes the task up"
    with pytest.raises(Transient, match="being made"):
        await driver.steps(base, vm(specs={"clone": "base"}))
    driver.cluster.advance(300)
    half = await driver.engine.poll(receipt)
    assert (half.state, half.progress) == (ReceiptState.RUNNING, 50)
    driver.cluster.advance(301)
    assert (await driver.engine.poll(receipt)).state is ReceiptState.DONE
    assert len([c for c in driver.cluster.changes() if c["path"].endswith("/clone")]) == 1
    report_n(ROW, 1)


async def test_07_an_id_that_was_taken_is_a_conflict_and_another_is_planned(driver: Driver, report_n: Report) -> None:
    step, *_ = await driver.steps(vm())
    vmid = int(str(step.request["vmid"]))
    driver.cluster.root.post("/nodes/pve2/qemu", vmid=vmid, name="somebody")
    with pytest.raises(Conflict):
        await driver.engine.prior(step, driver.runner.seal)
    again, *_ = await driver.steps(vm())
    assert again.request["vmid"] == vmid + 1
    await driver.bring(vm())
    gone = [s for s in await driver.steps() if s.request["call"] == "guest.destroy"]
    driver.cluster.root.control("guest", vmid=vmid + 1, delete=True)
    driver.cluster.root.post("/nodes/pve1/qemu", vmid=vmid + 1, name="prod-shop-it")
    with pytest.raises(Conflict):
        await driver.engine.prior(gone[0], driver.runner.seal)
    assert str(vmid + 1) in driver.cluster.guests(), "the new owner of the id keeps it"
    report_n(ROW, 2)


async def test_08_a_mac_address_outlives_every_change_that_does_not_name_it(driver: Driver, report_n: Report) -> None:
    await driver.bring(vm(specs={**VM, **NET}))
    before = driver.config()["net0"]
    await driver.bring(vm(specs={**VM, "nets": {"net0": {"bridge": "vmbr0", "tag": 7, "firewall": True}}}))
    after = driver.config()["net0"]
    assert before.split(",")[0] == after.split(",")[0]
    assert "tag=7" in after
    lower = before.split(",")[0].partition("=")[2].lower()
    said = {"bridge": "vmbr0", "tag": 7, "firewall": True, "mac": lower}
    assert await driver.settled(vm(specs={**VM, "nets": {"net0": said}})), "case means nothing"
    report_n(ROW, 1)


async def test_09_a_disk_of_a_clone_grows_and_never_shrinks(driver: Driver, report_n: Report) -> None:
    base = vm("base", {**VM, "template": True})
    await driver.bring(base)
    await driver.bring(base, vm(specs={"clone": "base", "disk": "40GB"}))
    config = driver.config()
    assert config["scsi0"].endswith("size=40G")
    assert not [k for k in config if k.startswith("unused")]
    vmid = driver.cluster.vmid("prod-shop-it")
    own = [v for v in driver.cluster.world()["volumes"] if v["vmid"] == vmid]
    assert len(own) == 1
    for smaller in (vm(specs={"clone": "base", "disk": "4GB"}), vm("third", {"clone": "base", "disk": "4GB"})):
        with pytest.raises(Refused, match=r"(40|8)GB.*4GB|4GB.*8GB"):
            await driver.effects(base, smaller)
    report_n(ROW, 3)


async def test_10_a_drive_line_comes_back_with_what_nobody_here_knows(driver: Driver, report_n: Report) -> None:
    await driver.bring(vm(specs={**VM, "running": False}))
    root = driver.cluster.root
    volume = driver.config()["scsi0"].split(",")[0]
    odd = f"{volume},wwn=0x5000000000000001,cache=writeback,serial=abc,size=8G,rerror=stop"
    root.put(f"{driver.base()}/config", scsi0=odd)
    assert await driver.settled(vm(specs={**VM, "running": False}))
    changed = {"disk": None, "disks": {"scsi0": {"size": "8192MB", "ssd": True}}}
    specs = {k: v for k, v in {**VM, "running": False, **changed}.items() if v is not None}
    await driver.bring(vm(specs=specs))
    parts = set(driver.config()["scsi0"].split(","))
    assert set(driver.config()["scsi0"].split(",")) >= {volume, "wwn=0x5000000000000001", "cache=writeback"}
    assert parts >= {"serial=abc", "rerror=stop", "ssd=1", "size=8G"}
    report_n(ROW, 1)


async def test_11_a_disk_taken_out_is_kept_and_another_one_does_not_inherit(driver: Driver, report_n: Report) -> None:
    two = {"cpu": 2, "memory": "512MB", "disks": {"scsi0": "8GB", "scsi1": "2GB"}}
    await driver.bring(vm(specs=two))
    old = driver.config()["scsi1"].split(",")[0]
    (effect,) = await driver.effects(vm())
    assert "its volume is kept as unused" in effect.reason
    await driver.bring(vm())
    assert driver.config()["unused0"] == old
    (effect,) = await driver.effects(vm())
    assert (effect.steps, effect.reason) == ((), f"volumes nobody uses: unused0 ({old})")
    await driver.bring(vm(specs={**two, "disks": {"scsi0": "8GB", "scsi1": {"size": "3GB", "ssd": True}}}))
    assert driver.config()["scsi1"].split(",")[0] != old
    assert driver.config()["unused0"] == old
    report_n(ROW, 1)


async def test_12_a_destroy_tells_every_volume_and_takes_no_foreign_one(driver: Driver, report_n: Report) -> None:
    await driver.bring(vm(specs={"cpu": 2, "memory": "512MB", "disks": {"scsi0": "8GB", "scsi1": "2GB"}}))
    await driver.bring(vm())
    vmid = driver.cluster.vmid("prod-shop-it")
    root = driver.cluster.root
    other = root.post("/nodes/pve1/storage/local-lvm/content", vmid=vmid, filename=f"vm-{vmid}-disk-7", size="1G")
    (effect,) = await driver.effects()
    assert effect.disruption is Disruption.DATA_LOSS
    assert any("scsi0" in line for line in effect.lost)
    assert any("unused0" in line for line in effect.lost)
    await driver.bring()
    left = [v["volid"] for v in driver.cluster.world()["volumes"] if v["vmid"] == vmid]
    assert left == [other], "what it does not name is not ours to free"
    (destroyed,) = [c for c in driver.cluster.changes() if c["verb"] == "DELETE"]
    assert "destroy-unreferenced-disks" not in destroyed["params"]
    report_n(ROW, 1)


async def test_13_a_guest_that_moved_is_the_same_guest(driver: Driver, report_n: Report) -> None:
    await driver.bring(lxc())
    steps = await driver.steps(lxc(specs={**CT, "memory": "512MB"}))
    driver.cluster.root.control("guest", vmid=driver.cluster.vmid("prod-shop-it"), node="pve3")
    assert await driver.settled(lxc()), "no drift"
    prior = await driver.engine.prior(steps[0], driver.runner.seal)
    driver.cluster.root.control("guest", vmid=driver.cluster.vmid("prod-shop-it"), node="pve2")
    await driver.engine.do(OpId("movedguest11"), steps[0], prior, driver.runner.values(), Held())
    assert driver.config()["memory"] == "512"
    assert driver.base().startswith("/nodes/pve2/")
    report_n(ROW, 1)


async def test_nothing_here_is_ever_a_part(driver: Driver) -> None:
    await driver.bring(lxc(), vm("vm"))
    ask = Ask(INSTALL, everything=True)
    assert {s.part for s in (await driver.engine.observe(ask)).objects} == {Part.CURRENT}


async def test_a_failed_create_leaves_nothing(driver: Driver, report_n: Report) -> None:
    before = driver.cluster.world()["volumes"]
    driver.cluster.root.control("faults", on="task", type="vzcreate", kind="fail", text="no space left on device")
    with pytest.raises(StepFailed, match="no space left"):
        await driver.bring(lxc())
    assert driver.cluster.guests() == {}
    assert driver.cluster.world()["volumes"] == before
    report_n("B4 proxmox half-done create", 1)


async def test_the_engine_speaks_to_both_versions(tmp_path: Path) -> None:
    for version in ("8.4", "9.1"):
        folder = tmp_path / version
        folder.mkdir()
        with emulated(folder, version) as cluster:
            driver = Driver(cluster)
            assert version in (await driver.engine.about()).version
            await driver.bring(lxc(), vm("vm", {**VM, **NET}))
            assert await driver.settled(lxc(), vm("vm", {**VM, **NET}))
            await driver.bring()
            assert cluster.guests() == {}
            await driver.engine.close()


async def test_a_guest_is_asked_to_end_and_cut_off_only_where_the_plan_says_so(
    driver: Driver, report_n: Report
) -> None:
    await driver.bring(vm())
    driver.cluster.root.control("guest", vmid=driver.cluster.vmid("prod-shop-it"), agent="deaf")
    with pytest.raises(StepFailed, match="got timeout"):
        await driver.bring()
    assert driver.guest()["running"], "nobody said that it may be cut off"
    forced = vm(specs={**VM, "stop": {"timeout": "20s", "force": True}})
    (effect,) = await driver.effects(forced)
    assert [(c.path, c.after) for c in effect.fields] == [("stop.cut_off_s", 20)]
    await driver.bring(forced)
    (effect,) = await driver.effects()
    assert effect.reason == "cut off if it does not end within 20 s"
    await driver.bring()
    assert driver.cluster.guests() == {}
    report_n(ROW, 1)


async def test_an_undo_goes_back_to_the_snapshot_where_the_policy_says_so(driver: Driver, report_n: Report) -> None:
    for rollback in (False, True):
        shot = {"snapshot": {"rollback": True} if rollback else True}
        await driver.bring(vm(specs={**VM, **shot}))
        before, already = driver.config(), len(driver.cluster.changes())
        driver.cluster.root.control("faults", on="task", type="qmstart", kind="fail", text="no such bridge")
        effects = await driver.effects(vm(specs={**VM, "cpu": 4, **shot}))
        sent = len(driver.runner.done)
        with pytest.raises(StepFailed, match="no such bridge"):
            await driver.runner.apply(effects)
        await driver.runner.undo(driver.runner.done[sent:-1])
        after, kept = driver.config(), ("cores", "scsi0", "memory")
        assert [after[k] for k in kept] == [before[k] for k in kept]
        assert driver.guest()["running"]
        assert driver.guest()["snapshots"] == {}
        paths = [c["path"].rpartition("/")[2] for c in driver.cluster.changes()[already:]]
        assert ("rollback" in paths) is rollback
        report_n("B4 proxmox half-done create", 1)
