"""One writer per directory, one holder per scope, an epoch that only grows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.errors import AlmaError
from controller.journal.journal import Entry, Journal
from controller.journal.lease import Leases, ScopeBusy, lock_state
from controller.journal.lock import LockHeld, file_system, is_network
from controller.plan.step import Fence
from tests.controller.journal.clocks import Ticks, noon


async def test_a_lease_is_a_fence_that_holds_until_released(journal: Journal, tmp_path: Path) -> None:
    leases = await Leases.start(lock_state(tmp_path), journal, Ticks())
    lease: Fence = leases.take("prod")
    assert lease.holds()
    assert lease.epoch == 1


async def test_one_run_at_a_time_holds_a_scope(journal: Journal, tmp_path: Path) -> None:
    """I13."""
    leases = await Leases.start(lock_state(tmp_path), journal, Ticks())
    first = leases.take("prod")
    with pytest.raises(ScopeBusy, match="scope prod is busy"):
        leases.take("prod")
    other = leases.take("staging")
    first.release()
    first.release()
    second = leases.take("prod")
    assert (first.holds(), first.epoch, second.holds(), other.holds()) == (False, 0, True, True)


async def test_the_epoch_grows_at_every_start(url: str, state: Path, tmp_path: Path) -> None:
    epochs = []
    for _ in range(4):
        journal, lock = await Journal.open(url, state, now=noon), lock_state(tmp_path)
        epochs.append((await Leases.start(lock, journal, Ticks())).epoch)
        await journal.close()
        lock.release()
    assert epochs == [1, 2, 3, 4]


async def test_no_lease_holds_once_the_lock_is_gone(journal: Journal, tmp_path: Path) -> None:
    """I14: a lock file removed from outside no longer keeps others out, so we stop."""
    clock = Ticks()
    lease = (await Leases.start(lock_state(tmp_path), journal, clock)).take("prod")
    assert lease.holds()
    (tmp_path / "lock").unlink()
    lock_state(tmp_path)  # another process could now take it
    clock.now_s += 1.0
    assert not lease.holds()


async def test_no_lease_holds_once_the_journal_takes_no_records(url: str, state: Path, tmp_path: Path) -> None:
    """I22, I24."""
    journal = await Journal.open(url, state, now=noon)
    lease = (await Leases.start(lock_state(tmp_path), journal, Ticks())).take("prod")
    await journal.close()
    assert not lease.holds()


def test_the_second_process_is_refused_at_once_and_told_who_has_it(tmp_path: Path) -> None:
    """B17, in another process, where nothing of this one is shared."""
    lock = lock_state(tmp_path)
    with pytest.raises(LockHeld, match=f"in use by process {os.getpid()}"):
        lock_state(tmp_path)
    lock.release()
    assert lock_state(tmp_path).intact()


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /mnt/share rw - nfs4 server:/x rw
31 22 0:41 / /mnt/share/local rw - xfs /dev/vdb rw
32 22 0:42 / /mnt/a\\040b rw - fuse.sshfs me@host:/ rw
33 22 0:43 / /mnt/win rw shared:3 master:1 - cifs //host/x rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/var/lib/alma", "ext4", False),
        ("/mnt/share", "nfs4", True),
        ("/mnt/share/deep/er", "nfs4", True),
        ("/mnt/shared", "ext4", False),
        ("/mnt/share/local/x", "xfs", False),
        ("/mnt/a b/x", "fuse.sshfs", True),
        ("/mnt/win/x", "cifs", True),
    ],
)
def test_the_file_system_under_a_path_is_known(path: str, kind: str, network: bool) -> None:
    assert file_system(Path(path), MOUNTS) == kind
    assert is_network(kind) is network


def test_a_state_directory_on_a_network_file_system_is_refused(tmp_path: Path) -> None:
    """B17."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text("22 1 0:40 / / rw - nfs server:/x rw\n")
    with pytest.raises(AlmaError, match=r"network file system \(nfs\)"):
        lock_state(tmp_path / "state", mounts=mounts)


async def test_epochs_are_ordinary_records(journal: Journal, tmp_path: Path) -> None:
    await Leases.start(lock_state(tmp_path), journal, Ticks())
    assert [r.kind for r in await journal.tail()] == ["journal.epoch"]
    await journal.append("s", [Entry("a", {})])
