"""The mirror fetches, follows what happens to branches, and reads by commit id."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from controller.errors import AlmaError, InvalidInput, RefusedByPolicy, Unreachable
from controller.git.repository import Mirror
from controller.git.transport import Moved
from tests.controller.git.origin import SOMEONE, Origin

YAML = (".yaml", ".yml", ".json")


async def fetched(mirror: Mirror, *branches: str) -> str:
    await mirror.fetch(branches or ("main",))
    return await mirror.head((branches or ("main",))[0])


async def test_what_is_committed_is_fetched_and_read(origin: Origin, mirror: Mirror) -> None:
    commit = origin.first(
        {"prod/web.yaml": b"a: 1\n", "prod/deep/db.yml": b"b\n", "prod/notes.txt": b"no", "x.yaml": b"x"}
    )
    assert (await mirror.refs()).branches == {"main": commit}
    assert (await mirror.refs()).default_branch == "main"
    assert await fetched(mirror) == commit
    assert await mirror.files(commit, "prod", YAML) == {"prod/deep/db.yml": b"b\n", "prod/web.yaml": b"a: 1\n"}
    assert list(await mirror.files(commit, ".", YAML)) == ["prod/deep/db.yml", "prod/web.yaml", "x.yaml"]
    assert await mirror.file(commit, "x.yaml") == b"x"
    assert await mirror.file(commit, "absent.yaml") is None


def opened_files() -> list[Path]:
    return [Path(str(link.resolve()).removesuffix(" (deleted)")) for link in Path("/proc/self/fd").iterdir()]


async def test_many_fetches_leave_few_packs_and_every_commit(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    """libgit2 keeps each pack open, and a controller fetches for months."""
    commits = [origin.first({"a.yaml": b"0"})]
    await fetched(mirror)
    for n in range(1, 50):
        commits.append(origin.commit({"a.yaml": f"{n}".encode()}))
        await fetched(mirror)
    packs = list((tmp_path / "state" / "mirror.git" / "objects" / "pack").glob("*.pack"))
    assert len(packs) <= 21
    for n, commit in enumerate(commits):
        assert await mirror.file(commit, "a.yaml") == f"{n}".encode()
    assert sum(file.suffix == ".pack" and tmp_path in file.parents for file in opened_files()) <= 21


async def test_packs_that_were_gathered_by_halves_are_gathered_again(
    origin: Origin, mirror: Mirror, tmp_path: Path
) -> None:
    """A kill came between the new pack and the end of the old ones."""
    commits = [origin.first({"a.yaml": b"0"})]
    await fetched(mirror)
    folder = tmp_path / "state" / "mirror.git" / "objects" / "pack"
    kept: dict[str, bytes] = {}
    for n in range(1, 46):
        commits.append(origin.commit({"a.yaml": f"{n}".encode()}))
        await fetched(mirror)
        kept |= {file.name: file.read_bytes() for file in folder.iterdir()}
        if n == 30:
            for name in kept.keys() - {file.name for file in folder.iterdir()}:
                (folder / name).write_bytes(kept[name])
    assert len(list(folder.glob("*.pack"))) <= 21
    for n, commit in enumerate(commits):
        assert await mirror.file(commit, "a.yaml") == f"{n}".encode()


async def test_a_listing_fetches_nothing(origin: Origin, mirror: Mirror) -> None:
    commit = origin.first({"a.yaml": b"a"})
    await mirror.refs()
    assert not await mirror.has(commit)


async def test_a_force_push_is_followed_and_known_as_one(origin: Origin, mirror: Mirror) -> None:
    first = origin.first({"a.yaml": b"1"})
    old = origin.commit({"a.yaml": b"2"})
    assert await fetched(mirror) == old
    new = origin.commit({"a.yaml": b"3"}, parents=[first])
    assert await fetched(mirror) == new
    assert not await mirror.is_ancestor(old, new)
    assert await mirror.is_ancestor(first, new)
    assert await mirror.file(old, "a.yaml") == b"2"


async def test_a_deleted_branch_is_an_error_and_its_commits_stay(origin: Origin, mirror: Mirror) -> None:
    commit = origin.first({"a.yaml": b"1"})
    origin.point("side", commit)
    await fetched(mirror, "main", "side")
    origin.drop("side")
    await mirror.fetch(["main", "side"])
    with pytest.raises(InvalidInput, match="no branch side"):
        await mirror.head("side")
    assert await mirror.file(commit, "a.yaml") == b"1"


async def test_a_branch_may_become_a_folder_of_branches(origin: Origin, mirror: Mirror) -> None:
    commit = origin.first({"a.yaml": b"1"})
    origin.point("side", commit)
    await fetched(mirror, "main", "side")
    origin.drop("side")
    origin.point("side/one", commit)
    assert await fetched(mirror, "side/one") == commit


async def test_a_renamed_default_branch_is_told(origin: Origin, mirror: Mirror) -> None:
    commit = origin.first({"a.yaml": b"1"})
    await fetched(mirror)
    origin.point("trunk", commit)
    origin.repo.set_head("refs/heads/trunk")
    origin.drop("main")
    listing = await mirror.fetch(["main"])
    assert listing.default_branch == "trunk"
    with pytest.raises(InvalidInput, match="no branch main"):
        await mirror.head("main")


async def test_an_empty_remote_has_no_branches(mirror: Mirror) -> None:
    listing = await mirror.refs()
    assert (listing.branches, listing.default_branch) == ({}, None)


async def test_a_commit_is_fetched_by_its_id(origin: Origin, mirror: Mirror) -> None:
    origin.first({"a.yaml": b"1"})
    head = origin.commit({"a.yaml": b"2"}, branch="side", parents=[str(origin.tip())])
    await mirror.fetch(commits=[head])
    assert await mirror.file(head, "a.yaml") == b"2"


async def test_a_commit_that_the_remote_does_not_offer_is_refused(origin: Origin, mirror: Mirror) -> None:
    origin.first({"a.yaml": b"1"})
    with pytest.raises(AlmaError, match="no longer offers"):
        await mirror.fetch(commits=["0" * 39 + "1"])


async def test_a_remote_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    mirror = Mirror.open(tmp_path / "m", str(tmp_path / "nothing.git"))
    with pytest.raises(Unreachable, match="no repository"):
        await mirror.refs()
    await mirror.close()


async def test_a_port_without_a_server_is_unreachable(tmp_path: Path) -> None:
    mirror = Mirror.open(tmp_path / "m", "http://127.0.0.1:1/x.git", timeout_s=10)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
        await mirror.refs()
    await mirror.close()


async def test_another_remote_under_the_same_path_starts_anew(tmp_path: Path, origin: Origin) -> None:
    commit = origin.first({"a.yaml": b"1"})
    one = Mirror.open(tmp_path / "m", origin.url)
    await one.fetch(["main"])
    await one.close()
    other = Mirror.open(tmp_path / "m", Origin(tmp_path / "other.git").url)
    assert not await other.has(commit)
    await other.close()


async def test_something_that_is_no_mirror_is_left_alone(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "letter.txt").write_text("dear")
    mirror = Mirror.open(tmp_path / "m", origin.url)
    with pytest.raises(InvalidInput, match="no mirror"):
        await mirror.refs()
    assert (tmp_path / "m" / "letter.txt").read_text() == "dear"
    await mirror.close()


async def test_a_push_moves_the_branch_from_where_it_was_seen(origin: Origin, mirror: Mirror) -> None:
    base = origin.first({"a.yaml": b"1"})
    await fetched(mirror)
    ours = await mirror.commit_files(base, {"b/c.yaml": b"new"}, "Add c", SOMEONE)
    assert origin.tip() == base
    await mirror.push(ours, "main", base)
    await mirror.push(ours, "main", base)
    assert origin.tip() == ours
    await mirror.push(ours, "ipr/one", None)
    assert origin.tip("ipr/one") == ours


async def test_a_push_against_a_moved_branch_changes_nothing(origin: Origin, mirror: Mirror) -> None:
    base = origin.first({"a.yaml": b"1"})
    await fetched(mirror)
    ours = await mirror.commit_files(base, {"a.yaml": b"ours"}, "Ours", SOMEONE)
    theirs = origin.commit({"a.yaml": b"theirs"})
    with pytest.raises(Moved, match=theirs):
        await mirror.push(ours, "main", base)
    with pytest.raises(Moved):
        await mirror.push(ours, "main", None)
    assert origin.tip() == theirs


async def test_history_is_never_overwritten(origin: Origin, mirror: Mirror) -> None:
    first = origin.first({"a.yaml": b"1"})
    tip = origin.commit({"a.yaml": b"2"})
    await fetched(mirror)
    ours = await mirror.commit_files(first, {"a.yaml": b"3"}, "Ours", SOMEONE)
    with pytest.raises(InvalidInput, match="never overwritten"):
        await mirror.push(ours, "main", tip)
    assert origin.tip() == tip


async def test_a_branch_is_deleted_only_where_it_was_seen(origin: Origin, mirror: Mirror) -> None:
    base = origin.first({"a.yaml": b"1"})
    origin.point("side", base)
    with pytest.raises(Moved):
        await mirror.delete_branch("side", "1" * 40)
    await mirror.delete_branch("side", base)
    await mirror.delete_branch("side", base)
    assert origin.tip("side") is None


async def test_a_branch_that_is_checked_out_is_not_moved_under_its_files(tmp_path: Path, origin: Origin) -> None:
    base = origin.first({"a.yaml": b"1"})
    work = origin.repo.path and (tmp_path / "work")
    assert work
    process = await asyncio.create_subprocess_exec("git", "clone", "-q", origin.url, str(work))
    assert await process.wait() == 0
    mirror = Mirror.open(tmp_path / "m", str(work))
    await mirror.fetch(["main"])
    ours = await mirror.commit_files(base, {"a.yaml": b"2"}, "Ours", SOMEONE)
    with pytest.raises(RefusedByPolicy, match="checked out"):
        await mirror.push(ours, "main", base)
    await mirror.push(ours, "ipr/two", None)
    assert (await mirror.refs()).branches["ipr/two"] == ours
    await mirror.close()


async def test_merging_makes_a_merge_commit_once(origin: Origin, mirror: Mirror) -> None:
    base = origin.first({"a.yaml": b"1"})
    head = origin.commit({"b.yaml": b"b"}, branch="side", parents=[base])
    merged = await mirror.merge("main", head, "Merge side", SOMEONE)
    assert (await mirror.commit(merged)).parents == (base, head)
    assert origin.tip() == merged
    assert await mirror.merge("main", head, "Merge side", SOMEONE) == merged


async def test_a_closed_mirror_says_so(mirror: Mirror) -> None:
    await mirror.close()
    with pytest.raises(AlmaError, match="closed"):
        await mirror.refs()
