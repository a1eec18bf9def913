"""The world outlives the emulator: stopped, or killed in the middle of a task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.proxmox.client import Client, logged_in
from tests.proxmox.serving import Serving
from tests.proxmox.store import Store


def test_a_second_emulator_on_the_same_folder_goes_on_with_the_task(tmp_path: Path) -> None:
    with Serving(tmp_path) as first:
        client = logged_in(first.url)
        client.ok(client.post("/nodes/pve1/qemu", vmid=9000, scsi0="local-lvm:1"))
        client.control("settings", task_length_s={"qmclone": 600})
        upid = client.post("/nodes/pve1/qemu/9000/clone", newid=101)
        headers = dict(client.http.headers)
        client.close()
    with Serving(tmp_path) as second:
        client = Client(second.url, headers)  # the ticket holds, too
        assert client.task(upid)["status"] == "running"
        client.advance(600)
        client.ok(upid)
        assert client.get("/nodes/pve1/qemu/101/config")["scsi0"] == "local-lvm:vm-101-disk-0,size=1G"
        client.close()


def test_two_worlds_of_one_seed_draw_the_same_values(tmp_path: Path) -> None:
    macs = []
    for name in ("a", "b"):
        with Serving(tmp_path / name, seed="7") as serving:
            client = logged_in(serving.url)
            client.ok(client.post("/nodes/pve1/qemu", vmid=100, net0="virtio,bridge=vmbr0"))
            macs.append(client.get("/nodes/pve1/qemu/100/config")["net0"])
            client.close()
    assert macs[0] == macs[1]


def test_a_failed_write_leaves_the_world_before_it(tmp_path: Path) -> None:
    with Serving(tmp_path) as serving:
        client = logged_in(serving.url)
        client.post("/pools", poolid="a")
        client.close()
    (tmp_path / "world.new").write_text("half of a wor")
    world = Store(tmp_path).load()
    assert world is not None
    assert list(world.pools) == ["a"]


def test_the_emulator_run_by_hand_survives_a_kill(tmp_path: Path) -> None:
    for expected in ([], ["a"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.proxmox", "--port", "0", "--http", "--state", str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        with process:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            client = logged_in(url)
            assert [pool["poolid"] for pool in client.get("/pools")] == expected
            if not expected:
                client.post("/pools", poolid="a")
            client.close()
            os.kill(process.pid, signal.SIGKILL)
