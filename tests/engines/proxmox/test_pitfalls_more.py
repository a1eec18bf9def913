"""Twenty-five bugs of other clients, second half: none of them occurs here. Numbers are those of the list that the
engine was written against; 24 is about SDN, which this engine does not touch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from controller.blueprint.entry import Probe, ProbeKind
from controller.blueprint.value import Secret
from controller.plan.health import HealthState
from controller.plan.resource import Masked
from controller.plan.step import OpId, ReceiptState
from engines.engine import Conflict, FoundState, Refused, Transient, Unclear
from engines.proxmox import rules, tasks
from engines.proxmox.observe import guest_address
from tests.engines.conformance import entry
from tests.engines.proxmox.cluster import Cluster
from tests.engines.proxmox.driving import CT, VM, Driver, lxc, vm
from tests.engines.running import Held, StepFailed

Report = Callable[..., None]
ROW = "H proxmox pitfalls"
KEYS = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFoo+bar/baz0123456789abcdefghijklmnop= me and my laptop",
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC+/x== other@host",
]


@pytest.fixture
async def driver(cluster: Cluster) -> AsyncIterator[Driver]:
    driven = Driver(cluster)
    yield driven
    await driven.engine.close()


async def test_14_what_ha_accepted_is_done_when_the_guest_says_so(driver: Driver, report_n: Report) -> None:
    managed = vm(specs={**VM, "ha": {"state": "started"}})
    await driver.bring(managed)
    stop = next(s for s in await driver.steps() if s.request["call"] == "guest.shutdown")
    prior = await driver.engine.prior(stop, driver.runner.seal)
    receipt = await driver.engine.do(OpId("hastopped111"), stop, prior, driver.runner.values(), Held())
    assert receipt.task and ":hastop:" in receipt.task
    assert (await driver.engine.poll(receipt)).state is ReceiptState.RUNNING, "only recorded"
    driver.cluster.advance(25)
    assert (await driver.engine.poll(receipt)).state is ReceiptState.DONE
    await driver.bring()
    world = driver.cluster.world()
    assert (world["guests"], world["ha"]) == ({}, {})
    report_n(ROW, 1)


async def test_15_tags_are_a_set(driver: Driver, report_n: Report) -> None:
    await driver.bring(vm(specs={**VM, "tags": "Web,db ; DB"}))
    assert set(driver.config()["tags"].split(";")) == {"alma", "db", "web"}
    for style in ("", "case-sensitive=1,ordering=config"):
        if style:
            driver.cluster.root.put("/cluster/options", **{"tag-style": style})
            driver.cluster.root.put(f"{driver.base()}/config", tags="web;alma;db")
        assert await driver.settled(vm(specs={**VM, "tags": ["DB", "web"]}))
    report_n(ROW, 2)


async def test_16_ssh_keys_arrive_and_come_back(driver: Driver, report_n: Report) -> None:
    await driver.bring(vm(specs={**VM, "cloudinit": {"ssh_keys": KEYS}}))
    stored = driver.config()["sshkeys"]
    assert "%2B" in stored and "%2F" in stored and "%20" in stored and "+" not in stored
    assert await driver.settled(vm(specs={**VM, "cloudinit": {"ssh_keys": [*reversed(KEYS)]}}))
    assert await driver.settled(vm(specs={**VM, "cloudinit": {"ssh_keys": "\n".join(KEYS) + "\n"}}))
    report_n(ROW, 1)


async def test_17_a_secret_cannot_be_read_back_and_is_not_sent_again(driver: Driver, report_n: Report) -> None:
    def asked(**more: object) -> object:
        return vm(specs={**VM, "cloudinit": {"password": Secret("env:PASSWORD"), **more}})

    await driver.bring(asked())  # type: ignore[arg-type]  # an Entry
    assert await driver.settled(asked())  # type: ignore[arg-type]  # an Entry
    (seen,) = (await driver.look()).objects
    assert seen.fields["cloudinit.password"] == Masked(None)
    hashed = driver.config()["cipassword"]
    await driver.bring(asked(user="ops"))  # type: ignore[arg-type]  # an Entry
    assert driver.config()["cipassword"] == hashed, "neither the mask nor the value went out again"
    driver.cluster.root.put(f"{driver.base()}/config", cipassword="by hand and long")
    assert await driver.settled(asked(user="ops"))  # type: ignore[arg-type]  # an Entry
    other = vm(specs={**VM, "cloudinit": {"password": Secret("env:OTHER"), "user": "ops"}})
    (effect,) = await driver.effects(other)
    assert [(c.path, c.sensitive) for c in effect.fields] == [("cloudinit.password", True)], (
        "another reference is a change"
    )
    assert "pass-Zq9" not in str(driver.cluster.changes())
    report_n(ROW, 1)


async def test_18_nothing_empty_is_sent(driver: Driver, report_n: Report) -> None:
    await driver.bring(lxc(), vm("vm"))
    for change in driver.cluster.changes():
        assert "features" not in change["params"]
        assert all(v not in ("", None) for v in change["params"].values()), change
    report_n(ROW, len(driver.cluster.changes()))


async def test_19_an_agent_that_never_answers_holds_nothing_back(driver: Driver, report_n: Report) -> None:
    asked = vm(specs={**VM, "agent": True})
    (effect,) = await driver.effects(asked)
    await driver.bring(asked)
    driver.cluster.root.control("guest", vmid=driver.cluster.vmid("prod-shop-it"), agent="dead")
    probe = Probe(ProbeKind.PLATFORM)
    assert (await driver.engine.check(effect.key, probe)).state is HealthState.PROGRESSING
    driver.cluster.advance(20)
    waits = await driver.engine.check(effect.key, probe)
    assert waits.state is HealthState.PROGRESSING and "agent" in waits.reason
    driver.cluster.advance(40)
    tired = await driver.engine.check(effect.key, probe)
    assert tired.state is HealthState.HEALTHY and "does not answer" in tired.reason
    calls = driver.cluster.calls()
    await driver.effects(asked)
    assert driver.cluster.calls() - calls <= 8, "a plan never waits for an agent"
    told = [
        {"name": "lo", "ip-addresses": [{"ip-address": "127.0.0.1"}]},
        {"name": "docker0", "ip-addresses": [{"ip-address": "172.17.0.1"}], "hardware-address": "02:42:00:00:00:01"},
        {"name": "down0"},
        {"name": "eth0", "hardware-address": "bc:24:11:00:00:01", "ip-addresses": [{"ip-address": "192.0.2.7"}]},
    ]
    assert guest_address(told, "BC:24:11:00:00:01") == "192.0.2.7"
    assert guest_address([told[0], told[2]], None) is None
    report_n(ROW, 1)


async def test_20_how_a_task_ended(driver: Driver, report_n: Report) -> None:
    ends = {
        "OK": tasks.End.GOOD,
        "WARNINGS: 2": tasks.End.GOOD,
        "unexpected status": tasks.End.BAD,
        "command 'x' failed": tasks.End.BAD,
        "": tasks.End.BAD,
    }
    for text, end in ends.items():
        assert tasks.ended({"status": "stopped", "exitstatus": text}) is end
    assert tasks.ended({"status": "running"}) is tasks.End.RUNNING
    fault = {"on": "task", "type": "vzcreate", "kind": "warn", "text": "old template", "count": 2, "lines": 200}
    driver.cluster.root.control("faults", **fault)
    done = await driver.bring(lxc())
    assert "old template" in done[0].receipt.message
    driver.cluster.root.control("faults", on="task", type="qmcreate", kind="fail", text="no space left", lines=200)
    with pytest.raises(StepFailed, match="no space left"):
        await driver.bring(lxc(), vm("vm"))
    report_n(ROW, len(ends) + 2)


async def test_21_a_mount_point_is_its_key_and_grows(driver: Driver, report_n: Report) -> None:
    mounts = {"mp0": {"path": "/a", "size": "1GB"}, "mp1": {"path": "/b", "size": "1GB"}}
    await driver.bring(lxc(specs={**CT, "mounts": mounts}))
    second = driver.config()["mp1"].split(",")[0]
    grown = {"mp1": {"path": "/b", "size": "2GB"}}
    await driver.bring(lxc(specs={**CT, "mounts": grown}))
    assert driver.config()["mp1"].split(",")[0] == second
    assert "size=2G" in driver.config()["mp1"]
    assert "mp0" not in driver.config()
    assert await driver.settled(lxc(specs={**CT, "mounts": grown}))
    with pytest.raises(Refused, match="only grow"):
        await driver.effects(lxc(specs={**CT, "mounts": {"mp1": {"path": "/b", "size": "1GB"}}}))
    report_n(ROW, 1)


CODES = {
    (595, "GET"): Transient,
    (596, "GET"): Transient,
    (599, "GET"): Transient,
    (500, "GET"): Transient,
    (403, "GET"): Refused,
    (501, "GET"): Refused,
    (595, "POST"): Unclear,
    (596, "POST"): Unclear,
    (599, "POST"): Unclear,
    (400, "POST"): Refused,
    (403, "POST"): Refused,
    (501, "POST"): Refused,
    (500, "POST"): Refused,
}


@pytest.mark.parametrize(("code", "verb"), sorted(CODES))
async def test_22_codes_and_texts_say_what_to_do_next(code: int, verb: str, driver: Driver, report_n: Report) -> None:
    step, *_ = await driver.steps(lxc())
    prior = await driver.engine.prior(step, driver.runner.seal)
    path = "/nodes/pve1/lxc" if verb == "POST" else "/cluster/resources"
    driver.cluster.root.control("faults", on="call", kind="status", method=verb, path=path, status=code)
    with pytest.raises(CODES[code, verb]):
        await driver.engine.do(OpId("faultycode11"), step, prior, driver.runner.values(), Held())
    assert driver.cluster.guests() == {}
    report_n(ROW, 1)


async def test_22_a_write_whose_answer_was_lost_is_found_and_not_sent_twice(driver: Driver, report_n: Report) -> None:
    step, *_ = await driver.steps(lxc())
    prior = await driver.engine.prior(step, driver.runner.seal)
    lost = {"on": "call", "kind": "status", "method": "POST", "path": "/nodes/pve1/lxc", "status": 596, "after": True}
    driver.cluster.root.control("faults", **lost)
    op = OpId("lostanswer11")
    with pytest.raises(Unclear):
        await driver.engine.do(op, step, prior, driver.runner.values(), Held())
    assert (await driver.engine.find(op, step)).state is FoundState.ACTED
    assert (await driver.engine.do(op, step, prior, driver.runner.values(), Held())).state is ReceiptState.DONE
    assert len(driver.cluster.changes()) == 1
    report_n(ROW, 1)


async def test_22_a_dead_node_makes_its_guests_unknown(driver: Driver, report_n: Report) -> None:
    await driver.bring(lxc())
    driver.cluster.root.control("guest", vmid=driver.cluster.vmid("prod-shop-it"), node="pve2")
    driver.cluster.root.control("node", name="pve2", online=False)
    seen = await driver.look()
    assert [(g.kind, g.within) for g in seen.gaps] == [("proxmox/lxc", "pve2")]
    made = [e.key for e in await driver.effects(lxc()) if e.steps]
    assert made
    assert all(seen.gaps[0].hides(key) for key in made), "so the planner stops"
    driver.cluster.root.control("node", name="pve2", online=True)
    report_n("B2 proxmox unknown is not absent", 1)


async def test_23_no_allowing_rule_is_ever_missing(driver: Driver, report_n: Report) -> None:
    def walls(*ports: str) -> object:
        listed = [{"action": "ACCEPT", "proto": "tcp", "dport": p} for p in ports]
        return lxc(specs={**CT, "firewall": {"enable": True, "rules": listed}})

    await driver.bring(walls("22", "80", "443"))  # type: ignore[arg-type]  # an Entry
    before = len(driver.cluster.changes())
    await driver.bring(walls("22", "8080", "443", "9090"))  # type: ignore[arg-type]  # an Entry
    live = driver.cluster.world()["firewalls"][f"vm/{driver.cluster.vmid('prod-shop-it')}"]["rules"]
    assert [r["dport"] for r in live] == ["22", "8080", "443", "9090"]
    assert all(r["enable"] == "1" for r in live)
    sent = [c for c in driver.cluster.changes()[before:] if "/firewall/rules" in c["path"]]
    assert [c["verb"] for c in sent].count("DELETE") == 1
    assert all("digest" in c["params"] for c in sent)
    assert sent[-1]["verb"] == "DELETE", "what goes, goes last"
    edit = (await driver.steps(walls("22")))[1]  # type: ignore[arg-type]  # an Entry
    driver.cluster.root.post(f"{driver.base()}/firewall/rules", type="in", action="DROP")
    with pytest.raises(Conflict):
        await driver.engine.prior(edit, driver.runner.seal)
    report_n(ROW, 1)


def test_23_every_edit_has_an_inverse(report_n: Report) -> None:
    def r(n: int) -> dict[str, object]:
        return {"action": "ACCEPT", "dport": str(n), "enable": n % 3 != 0, "type": "in"}

    lists = [[], [1], [1, 2, 3], [3, 2, 1], [2, 4], [5, 1, 2, 3, 6], [6, 5]]
    for old in lists:
        for new in lists:
            now: tuple[object, ...] = tuple(r(n) for n in old)
            steps = rules.edits([r(n) for n in old], [r(n) for n in new])
            for edit in steps:
                assert edit["before"] == now
                now = edit["after"]  # type: ignore[assignment]  # a tuple
                back: object = now
                for inverse in rules.inverse(edit):
                    assert inverse["before"] == back
                    back = inverse["after"]
                assert back == edit["before"]
            assert now == tuple(r(n) for n in new)
            report_n(ROW, 1)


async def test_25_an_image_that_is_there_is_never_replaced(driver: Driver, report_n: Report) -> None:
    def image(url: str) -> object:
        specs = {"url": url, "storage": "local", "content": "iso", "filename": "x.iso", "checksum": f"md5:{'0' * 32}"}
        return entry("disc", "image", specs=specs)

    await driver.bring(image("https://a.example/x.iso"))  # type: ignore[arg-type]  # an Entry
    (sent,) = driver.cluster.changes()
    assert (sent["params"]["checksum-algorithm"], sent["params"]["checksum"]) == ("md5", "0" * 32)
    assert await driver.settled(image("https://b.example/other.iso"))  # type: ignore[arg-type]  # an Entry
    await driver.bring()
    assert any(v["volid"] == "local:iso/x.iso" for v in driver.cluster.world()["volumes"]), "never removed"
    report_n(ROW, 1)


async def test_each_task_is_told_with_the_page_where_a_person_sees_it(driver: Driver) -> None:
    done = await driver.bring(lxc())
    tasks = [d.receipt for d in done if d.receipt.task]
    where = driver.cluster.serving.url
    assert len(tasks) == 2
    assert {t.task_url for t in tasks} == {f"{where}/#v1:0:=node%2Fpve1:4:4::::::"}
    found = await driver.engine.find(done[0].op, done[0].step)
    assert found.receipt
    assert found.receipt.task_url == "", "no task is known any more"
