"""Ancestry, changed paths, merges that would be, and merges that were."""

from __future__ import annotations

import pytest

from controller.errors import InvalidInput
from controller.git.repository import Mirror
from tests.controller.git.origin import Origin

TEN = b"".join(b"line %d\n" % n for n in range(10))


def changed(text: bytes, line: int, to: bytes) -> bytes:
    return text.replace(b"line %d\n" % line, to + b"\n")


async def all_of(mirror: Mirror) -> None:
    await mirror.fetch((await mirror.refs()).branches)


async def test_ancestry_is_of_commits(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"a": b"1"})
    two = origin.commit({"a": b"2"})
    side = origin.commit({"b": b"1"}, "side", parents=[one])
    alone = origin.first({"c": b"1"}, "alone")
    await all_of(mirror)
    assert await mirror.is_ancestor(one, two) and await mirror.is_ancestor(two, two)
    assert not await mirror.is_ancestor(two, one)
    assert await mirror.merge_base(two, side) == one
    assert await mirror.merge_base(two, alone) is None


async def test_changed_paths_are_every_path_that_differs(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"a": TEN, "b/c": b"1", "gone": b"1"})
    two = origin.commit({"a": None, "renamed": TEN, "b/c": b"2", "gone": None})
    await all_of(mirror)
    assert await mirror.changed_paths(one, two) == ("a", "b/c", "gone", "renamed")
    assert await mirror.changed_paths(one, one) == ()


async def test_equal_content_has_an_equal_tree_id(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"prod/a": b"1", "x": b"1"})
    two = origin.commit({"x": b"2"})
    await all_of(mirror)
    assert await mirror.tree_id(one, "prod") == await mirror.tree_id(two, "prod/")
    assert await mirror.tree_id(one, ".") != await mirror.tree_id(two, "")


async def test_a_merge_without_conflict_can_be_read(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"prod/a.yaml": TEN})
    base = origin.commit({"prod/a.yaml": changed(TEN, 1, b"base")})
    head = origin.commit({"prod/a.yaml": changed(TEN, 8, b"head"), "prod/b.yaml": b"b"}, "side", parents=[one])
    await all_of(mirror)
    preview = await mirror.merge_preview(base, head)
    assert preview.tree and not preview.conflicts
    files = await mirror.files_of_tree(preview.tree, "prod", [".yaml"])
    assert files == {"prod/a.yaml": changed(changed(TEN, 1, b"base"), 8, b"head"), "prod/b.yaml": b"b"}
    assert await mirror.file_of_tree(preview.tree, "prod/b.yaml") == b"b"
    assert origin.tip() == base


async def test_a_merge_with_conflicts_names_them(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"a.yaml": TEN, "b.yaml": b"1", "c.yaml": b"1"})
    base = origin.commit({"a.yaml": changed(TEN, 1, b"base"), "b.yaml": None})
    head = origin.commit({"a.yaml": changed(TEN, 1, b"head"), "b.yaml": b"2", "c.yaml": b"2"}, "side", parents=[one])
    await all_of(mirror)
    preview = await mirror.merge_preview(base, head)
    assert preview.tree is None
    assert preview.conflicts == ("a.yaml", "b.yaml")


async def test_unrelated_histories_are_not_merged(origin: Origin, mirror: Mirror) -> None:
    base = origin.first({"a": b"1"})
    alone = origin.first({"b": b"1"}, "alone")
    await all_of(mirror)
    with pytest.raises(InvalidInput, match="shares no history"):
        await mirror.merge_preview(base, alone)


async def test_a_file_too_large_to_merge_is_named(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"big": b"1"})
    base = origin.commit({"big": b"2" * 34_000_000})
    head = origin.commit({"big": b"3"}, "side", parents=[one])
    await all_of(mirror)
    with pytest.raises(InvalidInput, match="too large to be merged"):
        await mirror.merge_preview(base, head)


async def test_a_merge_commit_is_found_where_it_entered_the_branch(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"a": b"1"})
    head = origin.commit({"b": b"1"}, "side", parents=[one])
    before = origin.commit({"c": b"1"})
    merged = origin.commit({"b": b"1"}, parents=[before, head])
    after = origin.commit({"d": b"1"})
    await all_of(mirror)
    assert await mirror.find_merged(head, one, after) == merged
    assert await mirror.find_merged(head, one, before) is None


async def test_a_fast_forward_is_the_head_itself(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"a": b"1"})
    head = origin.commit({"b": b"1"}, "side", parents=[one])
    origin.point("main", head)
    after = origin.commit({"d": b"1"})
    await all_of(mirror)
    assert await mirror.find_merged(head, one, after) == head


async def test_a_squash_on_a_branch_that_moved_on_is_found_by_its_patch(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"a": TEN})
    two = origin.commit({"a": changed(TEN, 8, b"first")}, "side", parents=[one])
    head = origin.commit({"a": changed(TEN, 8, b"second")}, "side", parents=[two])
    moved = origin.commit({"a": changed(TEN, 0, b"elsewhere")})
    squashed = origin.commit({"a": changed(changed(TEN, 0, b"elsewhere"), 8, b"second")})
    after = origin.commit({"z": b"1"})
    await all_of(mirror)
    assert await mirror.find_merged(head, one, after) == squashed
    assert await mirror.find_merged(head, one, moved) is None
    assert await mirror.patch_id(one, head) == await mirror.patch_id(moved, squashed)


async def test_a_rebase_of_several_commits_is_found_by_each_patch(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"a": b"1"})
    two = origin.commit({"b": b"1"}, "side", parents=[one])
    head = origin.commit({"c": b"1"}, "side", parents=[two])
    origin.commit({"a": b"2"})
    half = origin.commit({"b": b"1"})
    whole = origin.commit({"c": b"1"})
    await all_of(mirror)
    assert await mirror.find_merged(head, one, whole) == whole
    assert await mirror.find_merged(head, one, half) is None


async def test_another_change_of_the_same_file_is_not_a_merge(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"a": TEN, "bin": b"\0\1"})
    text = origin.commit({"a": changed(TEN, 8, b"ours")}, "text", parents=[one])
    binary = origin.commit({"bin": b"\0\2"}, "binary", parents=[one])
    nothing = origin.commit({}, "nothing", parents=[one])
    origin.commit({"a": changed(TEN, 8, b"theirs")})
    origin.commit({"bin": b"\0\3"})
    after = origin.commit({})
    await all_of(mirror)
    for head in (text, binary, nothing):
        assert await mirror.find_merged(head, one, after) is None
    assert await mirror.patch_id(one, nothing) is None


async def test_the_log_of_a_path_holds_what_changed_it(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"prod/a": b"1", "x": b"1"})
    two = origin.commit({"prod/a": b"2"}, message="Second\n\nbody")
    three = origin.commit({"x": b"2"})
    four = origin.commit({"prod/a": None, "prod/b": b"1"})
    await all_of(mirror)
    assert [each.id for each in await mirror.log("prod", None, four)] == [four, two, one]
    assert [each.id for each in await mirror.log("prod/a", one, four)] == [four, two]
    assert [each.id for each in await mirror.log("", one, three)] == [three, two]
    assert [each.id for each in await mirror.log("", None, four, limit=1)] == [four]
    assert (await mirror.log("prod", one, two))[0].summary == "Second"


async def test_a_long_history_is_bounded(origin: Origin, mirror: Mirror) -> None:
    tip = origin.first({"a": b"0"})
    for n in range(1_100):
        tip = origin.commit({}, branch=None, parents=[tip], message=str(n))
    origin.point("main", tip)
    await all_of(mirror)
    assert len(await mirror.log("", None, tip)) == 1_000


async def test_hostile_commit_text_comes_back_as_it_is(origin: Origin, mirror: Mirror) -> None:
    commit = origin.commit({"a": b"1"}, parents=[], message="\x1b[31m@all \u202e <script>\nsecond")
    await all_of(mirror)
    found = await mirror.commit(commit)
    assert found.summary == "\x1b[31m@all \u202e <script>"
    assert (found.author_name, found.author_email, found.parents) == ("Some One", "one@example.org", ())
    long = origin.commit({}, message="x" * 100_000)
    await all_of(mirror)
    assert len((await mirror.commit(long)).summary) == 4096
