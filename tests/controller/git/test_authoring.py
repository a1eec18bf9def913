"""Commits are made from objects: what is named changes, everything else stays."""

from __future__ import annotations

import pytest
from pygit2.enums import FileMode

from controller.errors import InvalidInput
from controller.git.authoring import Author
from controller.git.repository import Mirror
from tests.controller.git.origin import SOMEONE, Origin


async def content(mirror: Mirror, commit: str) -> dict[str, bytes]:
    return dict(await mirror.files(commit, ".", [""]))


async def test_a_commit_changes_what_it_names(origin: Origin, mirror: Mirror) -> None:
    base = origin.first({"a": b"1", "b/c": b"1", "b/d": b"1", "e/f": b"1"})
    await mirror.fetch(["main"])
    made = await mirror.commit_files(base, {"a": b"2", "b": None, "new/g": b"1", "absent": None}, "Words", SOMEONE)
    assert await content(mirror, made) == {"a": b"2", "e/f": b"1", "new/g": b"1"}
    info = await mirror.commit(made)
    assert (info.parents, info.summary, info.author_name) == ((base,), "Words", "Some One")
    assert info.committed_s == SOMEONE.when_s


async def test_the_same_change_at_the_same_time_is_the_same_commit(origin: Origin, mirror: Mirror) -> None:
    base = origin.first({"a": b"1"})
    await mirror.fetch(["main"])
    made = {await mirror.commit_files(base, {"a": b"2"}, "Words", SOMEONE) for _ in range(2)}
    assert len(made) == 1


async def test_an_executable_file_stays_one(origin: Origin, mirror: Mirror) -> None:
    base = origin.commit({"run": b"1"}, parents=[], modes={"run": FileMode.BLOB_EXECUTABLE})
    await mirror.fetch(["main"])
    made = await mirror.commit_files(base, {"run": b"2"}, "Words", SOMEONE)
    back = await mirror.commit_files(made, {"run": b"1"}, "Words", SOMEONE)
    assert await mirror.tree_id(back, "") == await mirror.tree_id(base, "")


async def test_a_path_through_a_file_or_over_a_folder_is_refused(origin: Origin, mirror: Mirror) -> None:
    base = origin.first({"a": b"1", "b/c": b"1"})
    await mirror.fetch(["main"])
    with pytest.raises(InvalidInput, match="a is not a folder"):
        await mirror.commit_files(base, {"a/x": b"1"}, "Words", SOMEONE)
    with pytest.raises(InvalidInput, match="not a regular file"):
        await mirror.commit_files(base, {"b": b"1"}, "Words", SOMEONE)
    with pytest.raises(InvalidInput, match="not the root"):
        await mirror.commit_files(base, {"": None}, "Words", SOMEONE)


@pytest.mark.parametrize("author", [Author("", "", 0), Author("a\0b", "a@b", 0), Author("a", "a@b", 2**70)])
async def test_an_author_that_cannot_be_written_is_refused(origin: Origin, mirror: Mirror, author: Author) -> None:
    base = origin.first({"a": b"1"})
    await mirror.fetch(["main"])
    with pytest.raises(InvalidInput, match="author"):
        await mirror.commit_files(base, {"a": b"2"}, "Words", author)


async def test_a_message_with_a_nul_is_refused(origin: Origin, mirror: Mirror) -> None:
    base = origin.first({"a": b"1"})
    await mirror.fetch(["main"])
    with pytest.raises(InvalidInput, match="NUL"):
        await mirror.commit_files(base, {"a": b"2"}, "W\0", SOMEONE)


async def test_restored_paths_are_as_they_were_and_the_rest_stays(origin: Origin, mirror: Mirror) -> None:
    older = origin.first({"prod/a": b"1", "prod/gone": b"1", "dev/a": b"1", "prod2": b"1"})
    newer = origin.commit({"prod/a": b"2", "prod/gone": None, "prod/new": b"2", "dev/a": b"2", "prod2": b"2"})
    await mirror.fetch(["main"])
    made = await mirror.restore_paths(newer, older, ["prod"], "Revert", SOMEONE)
    assert await content(mirror, made) == {"prod/a": b"1", "prod/gone": b"1", "dev/a": b"2", "prod2": b"2"}
    assert (await mirror.commit(made)).parents == (newer,)
    whole = await mirror.restore_paths(newer, older, ["."], "Revert", SOMEONE)
    assert await mirror.tree_id(whole, "") == await mirror.tree_id(older, "")


async def test_a_folder_that_was_a_file_is_restored(origin: Origin, mirror: Mirror) -> None:
    older = origin.first({"prod": b"file"})
    newer = origin.commit({"prod": None, "prod/a": b"1", "x": b"1"})
    await mirror.fetch(["main"])
    made = await mirror.restore_paths(newer, older, ["prod"], "Revert", SOMEONE)
    assert await content(mirror, made) == {"prod": b"file", "x": b"1"}


async def test_a_link_is_restored_as_the_link_it_was(origin: Origin, mirror: Mirror) -> None:
    older = origin.commit({"prod/l": b"/etc/passwd"}, parents=[], modes={"prod/l": FileMode.LINK})
    newer = origin.commit({"prod/l": None, "prod/a": b"1"})
    await mirror.fetch(["main"])
    made = await mirror.restore_paths(newer, older, ["prod"], "Revert", SOMEONE)
    assert await mirror.tree_id(made, "prod") == await mirror.tree_id(older, "prod")


async def test_conflicts_stop_a_merge_and_are_named(origin: Origin, mirror: Mirror) -> None:
    one = origin.first({"a.yaml": b"1\n"})
    base = origin.commit({"a.yaml": b"2\n"})
    head = origin.commit({"a.yaml": b"3\n"}, "side", parents=[one])
    with pytest.raises(InvalidInput, match=r"a\.yaml.*conflicts"):
        await mirror.merge("main", head, "Merge", SOMEONE)
    assert origin.tip() == base
