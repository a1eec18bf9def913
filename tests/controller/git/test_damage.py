"""A mirror that is damaged, half written or locked is mended by itself (B23)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.errors import AlmaError, InvalidInput
from controller.git.repository import Mirror
from tests.controller.git.origin import SOMEONE, Origin


def packs(mirror: Path, suffix: str) -> list[Path]:
    found = list((mirror / "objects" / "pack").glob(f"*.{suffix}"))
    assert found
    return found


def rewrite(file: Path, data: bytes) -> None:
    """As a new file: to cut one that a process has mapped kills the process, in libgit2 as in git."""
    file.unlink()
    file.write_bytes(data)


def half_a_pack(mirror: Path) -> None:
    for pack in packs(mirror, "pack"):
        rewrite(pack, pack.read_bytes()[: pack.stat().st_size // 2])


def an_index_of_nothing(mirror: Path) -> None:
    for index in packs(mirror, "idx"):
        rewrite(index, b"")


def a_pack_without_its_index(mirror: Path) -> None:
    for index in packs(mirror, "idx"):
        index.unlink()


def flipped_bits(mirror: Path) -> None:
    for pack in packs(mirror, "pack"):
        data = bytearray(pack.read_bytes())
        data[12:-20] = bytes(byte ^ 0xFF for byte in data[12:-20])
        rewrite(pack, bytes(data))


def no_objects(mirror: Path) -> None:
    shutil.rmtree(mirror / "objects")


def an_empty_reference(mirror: Path) -> None:
    (mirror / "refs" / "remotes" / "origin" / "main").write_bytes(b"")


def a_reference_of_rubbish(mirror: Path) -> None:
    (mirror / "refs" / "remotes" / "origin" / "main").write_bytes(b"\0" * 41)


def a_reference_to_nothing(mirror: Path) -> None:
    (mirror / "refs" / "remotes" / "origin" / "main").write_text("1" * 40 + "\n")


def rubbish_for_a_config(mirror: Path) -> None:
    (mirror / "config").write_bytes(b"[core\n\0\xff")


def no_head(mirror: Path) -> None:
    (mirror / "HEAD").unlink()


def lock_files(mirror: Path) -> None:
    for name in ("HEAD.lock", "config.lock", "packed-refs.lock", "refs/remotes/origin/main.lock"):
        (mirror / name).write_bytes(b"")


def an_unfinished_rebuild(mirror: Path) -> None:
    for name in ("new", "old"):
        (mirror.with_name(f"{mirror.name}.{name}") / "objects").mkdir(parents=True)
    shutil.rmtree(mirror)


def list_beside(mirror: Path) -> list[Path]:
    return [each for each in mirror.parent.glob(f"{mirror.name}*") if each != mirror]


DAMAGES = [
    *(half_a_pack, an_index_of_nothing, a_pack_without_its_index, flipped_bits, no_objects, an_empty_reference),
    *(a_reference_of_rubbish, a_reference_to_nothing, rubbish_for_a_config, no_head, lock_files, an_unfinished_rebuild),
]


@pytest.mark.parametrize("restarted", [True, False], ids=["after a restart", "while open"])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_mirror_is_mended_by_itself(
    tmp_path: Path, origin: Origin, damage: Callable[[Path], None], restarted: bool, report_n: Callable[..., None]
) -> None:
    """The next pass, a fetch and a read, gives what the remote holds, old commits and new ones."""
    path = tmp_path / "mirror.git"
    first = origin.first({"prod/a.yaml": b"1"})
    mirror = Mirror.open(path, origin.url)
    await mirror.fetch(["main"])
    damage(path)
    if restarted:
        await mirror.close()
        mirror = Mirror.open(path, origin.url)
    second = origin.commit({"prod/a.yaml": b"2"})
    await mirror.fetch(["main"])
    assert await mirror.head("main") == second
    assert await mirror.files(second, "prod", [".yaml"]) == {"prod/a.yaml": b"2"}
    assert await mirror.files(first, "prod", [".yaml"]) == {"prod/a.yaml": b"1"}
    assert await mirror.is_ancestor(first, second)
    ours = await mirror.commit_files(second, {"prod/a.yaml": b"3"}, "Ours", SOMEONE)
    await mirror.push(ours, "main", second)
    assert origin.tip() == ours
    await mirror.close()
    assert not list_beside(path)
    report_n("B23", 1)


@pytest.mark.parametrize("damage", [half_a_pack, flipped_bits, no_objects])
async def test_a_read_alone_mends_the_mirror(
    tmp_path: Path, origin: Origin, damage: Callable[[Path], None], report_n: Callable[..., None]
) -> None:
    commit = origin.first({"prod/a.yaml": b"1"})
    path = tmp_path / "mirror.git"
    for _ in range(2):  # a second time too: nothing moved at the remote, and it is mended again
        mirror = Mirror.open(path, origin.url)
        await mirror.fetch(["main"])
        await mirror.close()
        damage(path)
        mirror = Mirror.open(path, origin.url)
        assert await mirror.files(commit, "prod", [".yaml"]) == {"prod/a.yaml": b"1"}
        await mirror.close()
        report_n("B23", 1)


async def test_a_remote_that_lost_its_objects_is_named(
    tmp_path: Path, origin: Origin, report_n: Callable[..., None]
) -> None:
    commit = origin.first({"prod/a.yaml": b"1"})
    path = tmp_path / "mirror.git"
    mirror = Mirror.open(path, origin.url)
    await mirror.fetch(["main"])
    await mirror.close()
    no_objects(path)
    shutil.rmtree(origin.path / "objects")
    (origin.path / "objects").mkdir()
    mirror = Mirror.open(path, origin.url)
    for _ in range(2):
        with pytest.raises(AlmaError, match=r"origin\.git"):
            await mirror.files(commit, "prod", [".yaml"])
    await mirror.close()
    report_n("B23", 1)


async def test_an_object_that_is_wrong_at_the_remote_costs_one_rebuild_and_not_one_in_every_pass(
    tmp_path: Path, origin: Origin, report_n: Callable[..., None]
) -> None:
    base = origin.first({"a.yaml": b"1"})
    folder = origin.tree([("100644", b"b.yaml", origin.blob(b"x"))])
    head = origin.odd([("100644", b"a.yaml", folder)], "side")  # a folder that calls itself a file
    path = tmp_path / "mirror.git"
    mirror = Mirror.open(path, origin.url)
    await mirror.fetch(["main", "side"])
    marks = [path / name for name in ("before", "after")]
    for mark in marks:
        mark.touch()  # gone with the folder when the mirror is made anew
        with pytest.raises(AlmaError):
            await mirror.patch_id(base, head)
    assert [mark.exists() for mark in marks] == [False, True]
    assert await mirror.file(base, "a.yaml") == b"1"
    await mirror.close()
    report_n("B23", 1)


async def test_a_renamed_default_branch_stops_nothing_else(
    origin: Origin, mirror: Mirror, report_n: Callable[..., None]
) -> None:
    commit = origin.first({"a.yaml": b"1"})
    await mirror.fetch(["main"])
    origin.point("trunk", commit)
    origin.repo.set_head("refs/heads/trunk")
    origin.drop("main")
    listing = await mirror.fetch(["main", "trunk"])
    assert listing.default_branch == "trunk"
    assert await mirror.head("trunk") == commit
    with pytest.raises(InvalidInput, match="no branch main"):
        await mirror.head("main")
    report_n("B23", 1)
