"""The state file: all or nothing, shared by processes, and never mistaken for an empty platform."""

# ruff: noqa: ASYNC240  # these tests are about one small file; nothing else runs beside them

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from controller.plan.resource import ObjectKey
from engines.engine import Transient, Unclear
from engines.simulation import world as worlds
from engines.simulation.tamper import place, remove, tamper
from engines.simulation.world import World, empty, forget_oldest

KEY = ObjectKey("simulation/container", "web")
# Every way by which a write reaches the disk: a kill right before or right after each of them must be harmless.
BOUNDARIES = ("flock", "fsync", "replace", "write_text")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "one.json"


async def test_a_platform_that_was_never_written_is_empty(path: Path) -> None:
    assert World(path).read() == empty()
    assert not path.exists(), "reading makes nothing"


async def test_what_was_saved_is_read_by_another_process(path: Path) -> None:
    uid = await place(World(path), KEY, {"image": "a"})
    assert World(path).read()["objects"][str(KEY)]["uid"] == uid
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_change_that_was_not_saved_is_forgotten(path: Path) -> None:
    world = World(path)
    await place(world, KEY, {"image": "a"})
    with pytest.raises(KeyError):
        async with world.writing() as data:
            data["objects"].clear()
            raise KeyError("something went wrong")
    assert str(KEY) in world.read()["objects"]


async def test_a_file_taken_away_is_unreadable_and_not_empty(path: Path) -> None:
    world = World(path)
    await place(world, KEY, {})
    path.unlink()
    for reader in (world, World(path)):
        with pytest.raises(Transient, match="is gone; restore it, or remove"):
            reader.read()
    with pytest.raises(Transient):
        await place(world, KEY, {})
    path.with_name("one.json.lock").unlink()
    assert World(path).read() == empty()


@pytest.mark.parametrize(
    "blob",
    [b"", b"{", b"[]", b"null", b'{"format": "other"}', b'{"format": "alma.simulation/v1"}', b"\xff\xfe", b"{}" * 9],
)
async def test_a_damaged_file_is_unreadable(path: Path, blob: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(blob)
    with pytest.raises(Transient):
        World(path).read()
    with pytest.raises(Transient):
        await place(World(path), KEY, {})
    assert path.read_bytes() == blob, "what cannot be read is not overwritten"


async def test_a_folder_in_the_place_of_the_file_is_unreadable(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(Transient):
        World(path).read()


async def test_a_change_by_another_is_seen_even_within_one_tick_of_the_clock(path: Path) -> None:
    mine, other = World(path), World(path)
    await place(mine, KEY, {"image": "a"})
    mine.read()
    stat = path.stat()
    await tamper(other, KEY, "image", "b")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert mine.read()["objects"][str(KEY)]["fields"]["image"] == "b"


async def test_a_lock_held_by_another_process_is_waited_for_and_then_transient(path: Path) -> None:
    await place(World(path), KEY, {})
    fd = os.open(path.with_name("one.json.lock"), os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        with pytest.raises(Transient, match="held by another process") as caught:
            await remove(World(path, lock_wait_s=0.0), KEY)
        assert caught.value.retry_after_s
    finally:
        os.close(fd)
    await remove(World(path), KEY)
    assert World(path).read()["objects"] == {}


async def test_writers_side_by_side_lose_nothing(path: Path) -> None:
    keys = [ObjectKey("simulation/container", f"web-{i}") for i in range(40)]
    uids = await asyncio.gather(*(place(World(path), key, {}) for key in keys))
    assert len(World(path).read()["objects"]) == len(set(uids)) == 40


async def test_a_full_disk_is_transient_and_leaves_the_old_platform(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(path)
    await place(world, KEY, {"image": "a"})
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(Transient, match="No space"):
        await tamper(world, KEY, "image", "b")
    assert path.read_bytes() == before
    monkeypatch.undo()
    assert world.read()["objects"][str(KEY)]["fields"]["image"] == "a"


async def test_a_write_that_stands_but_may_not_be_on_disk_is_unclear(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(path)
    await place(world, KEY, {"image": "a"})
    monkeypatch.setattr(worlds, "_sync_folder", _full)
    with pytest.raises(Unclear):
        await tamper(world, KEY, "image", "b")
    assert World(path).read()["objects"][str(KEY)]["fields"]["image"] == "b"


def _full(*args: object) -> None:
    raise OSError(28, "No space left on device")


def test_the_oldest_requests_are_forgotten_together_with_their_answers() -> None:
    data = empty()
    data["ledger"] = [{"op": f"op{i}"} for i in range(5)]
    data["ops"] = {f"op{i}": {} for i in range(5)}
    forget_oldest(data, 2)
    assert [row["op"] for row in data["ledger"]] == list(data["ops"]) == ["op3", "op4"]


@pytest.mark.crash
@pytest.mark.parametrize("first", [True, False], ids=["first write", "later write"])
def test_killed_at_any_instruction_nothing_is_half_written(
    path: Path, first: bool, report_n: Callable[..., None]
) -> None:
    """A child is killed before and after each call that reaches the disk; the file is the old one or the new one."""
    states = []
    for kill_at in range(100):
        here = path.parent / str(kill_at) / "one.json"
        if not first:
            asyncio.run(place(World(here), KEY, {"image": "old"}))
        completed = _child_completes(here, kill_at)
        data = World(here).read()
        image = data["objects"].get(str(KEY), {}).get("fields", {}).get("image", "none")
        states.append(image)
        asyncio.run(place(World(here), ObjectKey("simulation/container", "next"), {}))
        assert orjson.loads(here.read_bytes())["serial"] == data["serial"] + 1, "the next writer goes on"
        left = {p.name for p in here.parent.iterdir()}
        assert left == {"one.json", "one.json.lock"}, "nothing temporary stays (H9)"
        if completed:
            break
    assert completed
    assert states == sorted(states, key=["none", "old", "new"].index), "old until new, and never back"
    assert {"none" if first else "old", "new"} == set(states)
    report_n("A1 simulation state file", len(states))


def _child_completes(path: Path, kill_at: int) -> bool:
    pid = os.fork()
    if not pid:
        _kill_at(kill_at)
        asyncio.run(place(World(path), KEY, {"image": "new"}))
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


def _kill_at(number: int) -> None:
    """Die at the `number`-th boundary: the moments right before and right after each call of BOUNDARIES."""
    left = number

    def boundary() -> None:
        nonlocal left
        if not left:
            os.kill(os.getpid(), 9)
        left -= 1

    def wrapped(original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **more: object) -> object:
            boundary()
            answer = original(*args, **more)
            boundary()
            return answer

        return call

    for name in BOUNDARIES:
        owner = next(o for o in (fcntl, os, Path) if hasattr(o, name))
        setattr(owner, name, wrapped(getattr(owner, name)))
