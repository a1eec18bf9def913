"""The built-in forge over a real bare repository: the contract, and what only it does with branches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.errors import InvalidInput
from controller.forges.forge import (
    Account,
    Forge,
    ForgeBinding,
    ForgeRefused,
    ForgeUnavailable,
    Permission,
    PullState,
    Reaction,
    Standing,
    Status,
)
from controller.forges.local import LocalForge
from tests.controller.forges.bare_git import BareGit
from tests.controller.forges.conformance import ForgeConformance
from tests.controller.forges.host import ForgeHost, People
from tests.controller.forges.memory_store import MemoryStore

ROLES = {"os:ada": "admin", "os:will": "write", "os:rita": "read"}


class LocalHost:
    people = People(
        admin=Account("os:ada", "ada"),
        writer=Account("os:will", "will"),
        reader=Account("os:rita", "rita"),
        stranger=Account("os:stan", "stan"),
        gone=Account("os:gone", "gone"),
    )

    def __init__(self, git: BareGit) -> None:
        self.git = git
        self.store = MemoryStore()

    def binding(self) -> ForgeBinding:
        config = {"kind": "local", "standing": ROLES}
        return ForgeBinding("infra", str(self.git.path), "main", config, store=self.store, git=self.git)

    def forge(self) -> Forge:
        return self.local()

    def local(self) -> LocalForge:
        return LocalForge.open(self.binding())

    async def branch(self, name: str) -> str:
        return await self.git.push(name)

    async def pull(self, name: str) -> int:
        await self.git.push(name)
        return next(pull.number for pull in await self.forge().pulls() if pull.head == name)

    async def delete_branch(self, name: str) -> None:
        await self.git.delete(name)

    async def merge(self, number: int) -> str:
        refs = await self.git.refs()
        pull = await self.forge().pull(number)
        assert pull is not None
        return await self.git.merge("main", refs["main"], pull.head_sha, "Merged by hand")

    async def approve(self, number: int, who: Account, head_sha: str) -> None:
        await self.local().approve(number, head_sha, "fine", who)

    async def say(self, number: int, who: Account, body: str) -> str:
        return (await self.local().comment(number, who, body)).id

    async def erase(self, number: int, comment_id: str) -> bool:
        return False

    async def statuses(self, sha: str) -> list[Status]:
        return list(await self.local().statuses(sha))

    async def reactions(self, number: int, comment_id: str) -> list[Reaction]:
        return [Reaction(value) for value in await self.local().reactions(number, comment_id)]


@pytest.fixture
async def local(tmp_path: Path) -> LocalHost:
    git = BareGit(tmp_path / "infra.git")
    await git.init()
    return LocalHost(git)


class TestLocal(ForgeConformance):
    @pytest.fixture
    def host(self, local: LocalHost) -> ForgeHost:
        return local


async def state_of(local: LocalHost, number: int) -> tuple[PullState, str | None]:
    pull = await local.forge().pull(number)
    assert pull is not None
    return pull.state, pull.merge_sha


async def test_a_number_is_given_once_and_kept(local: LocalHost) -> None:
    one, two = await local.pull("ipr/one"), await local.pull("ipr/two")
    await local.git.delete("ipr/one")
    three = await local.pull("ipr/three")
    assert (one, two, three) == (1, 2, 3)


async def test_only_branches_below_ipr_are_pull_requests(local: LocalHost) -> None:
    await local.git.push("feature/x")
    assert await local.forge().pulls() == ()


async def test_a_branch_without_a_commit_of_its_own_is_no_pull_request_yet(local: LocalHost) -> None:
    await local.git.point("ipr/empty", (await local.git.refs())["main"])
    assert await local.forge().pulls() == ()
    await local.git.push("ipr/empty")
    assert [pull.head for pull in await local.forge().pulls()] == ["ipr/empty"]


async def test_a_deleted_branch_closes_it_and_one_that_comes_back_opens_it_again(local: LocalHost) -> None:
    number = await local.pull("ipr/one")
    head = (await local.git.refs())["ipr/one"]
    await local.git.delete("ipr/one")
    assert await state_of(local, number) == (PullState.CLOSED, None)
    await local.git.point("ipr/one", head)
    assert await state_of(local, number) == (PullState.OPEN, None)


async def test_one_that_a_person_closed_stays_closed_when_its_branch_moves(local: LocalHost) -> None:
    number = await local.pull("ipr/one")
    await local.forge().close_pull(number)
    await local.git.push("ipr/one")
    assert await state_of(local, number) == (PullState.CLOSED, None)
    await local.forge().open_pull("ipr/one", "Again", "")
    assert await state_of(local, number) == (PullState.OPEN, None)


async def test_a_squash_counts_as_merged(local: LocalHost) -> None:
    number = await local.pull("ipr/one")
    head = await local.git.push("ipr/one")
    await local.forge().pulls()
    await local.git.push("main")
    sha = await local.git.squash(head)
    assert await state_of(local, number) == (PullState.MERGED, sha)


async def test_a_rebase_counts_as_merged_at_its_last_commit(local: LocalHost) -> None:
    number = await local.pull("ipr/one")
    first = (await local.git.refs())["ipr/one"]
    second = await local.git.push("ipr/one")
    await local.forge().pulls()
    await local.git.push("main")
    await local.git.squash(first)
    assert (await state_of(local, number))[0] is PullState.OPEN
    last = await local.git.squash(second)
    assert await state_of(local, number) == (PullState.MERGED, last)


async def test_merged_and_deleted_between_two_looks_is_merged(local: LocalHost) -> None:
    number = await local.pull("ipr/one")
    sha = await local.git.squash((await local.git.refs())["ipr/one"])
    await local.git.delete("ipr/one")
    assert await state_of(local, number) == (PullState.MERGED, sha)


async def test_a_fast_forward_is_a_merge_and_a_branch_set_back_is_not(local: LocalHost) -> None:
    one, two = await local.pull("ipr/one"), await local.pull("ipr/two")
    main = (await local.git.refs())["main"]
    head = (await local.git.refs())["ipr/one"]
    await local.git.point("main", head)
    await local.git.point("ipr/two", main)
    assert await state_of(local, one) == (PullState.MERGED, head)
    assert await state_of(local, two) == (PullState.OPEN, None)


async def test_a_merged_branch_that_moves_on_is_a_new_pull_request(local: LocalHost) -> None:
    one = await local.pull("ipr/one")
    await local.merge(one)
    await local.forge().pulls()
    two = await local.pull("ipr/one")
    assert two == one + 1
    assert (await state_of(local, one))[0] is PullState.MERGED


async def test_a_merge_whose_record_was_lost_is_found_again(local: LocalHost) -> None:
    number = await local.pull("ipr/one")
    before = dict(local.store.rows)
    head = (await local.git.refs())["ipr/one"]
    await local.forge().merge(number, head)
    merged = await state_of(local, number)
    local.store.rows = before
    assert await state_of(local, number) == merged
    await local.forge().merge(number, head)
    assert await state_of(local, number) == merged


async def test_a_remote_that_does_not_answer_is_tried_later(local: LocalHost) -> None:
    local.git.down = True
    with pytest.raises(ForgeUnavailable):
        await local.forge().pulls()


async def test_a_remote_without_the_tracked_branch_closes_nothing(local: LocalHost) -> None:
    await local.pull("ipr/one")
    main = (await local.git.refs())["main"]
    await local.git.delete("main")
    with pytest.raises(ForgeUnavailable):
        await local.forge().pulls()
    await local.git.point("main", main)
    assert (await state_of(local, 1))[0] is PullState.OPEN


async def test_a_conflict_is_refused(local: LocalHost) -> None:
    head = await local.git.commit("ipr/one", "README", "mine")
    number = (await local.forge().pulls())[0].number
    await local.git.commit("main", "README", "theirs")
    with pytest.raises(ForgeRefused, match="conflict"):
        await local.forge().merge(number, head)


async def test_approvals_name_who_gave_them_for_which_head(local: LocalHost) -> None:
    number = await local.pull("ipr/one")
    head = (await local.git.refs())["ipr/one"]
    ada = local.people.admin
    for _ in range(2):
        await local.local().approve(number, head, "fine", ada)
    assert [(a.account, a.head_sha) for a in await local.local().approvals(number)] == [(ada, head)]


async def test_who_merged_is_told(local: LocalHost) -> None:
    number = await local.pull("ipr/one")
    await local.local().merge(number, (await local.git.refs())["ipr/one"], local.people.writer)
    pull = await local.forge().pull(number)
    assert pull is not None
    assert pull.merged_by == local.people.writer


async def test_opening_gives_a_found_one_its_title_and_author(local: LocalHost) -> None:
    number = await local.pull("ipr/one")
    pull = await local.local().open_pull("ipr/one", "Two more", "because", local.people.writer)
    assert (pull.number, pull.title, pull.author) == (number, "Two more", local.people.writer)


async def test_roles_may_be_a_callable_and_never_speak_for_the_bot(local: LocalHost) -> None:
    binding = replace(local.binding(), config={"standing": lambda account: Standing(Permission.ADMIN)})
    forge = LocalForge.open(binding)
    assert (await forge.standing(local.people.stranger)).permission is Permission.ADMIN
    assert (await forge.standing((await forge.about()).account)).permission is Permission.NONE


async def test_there_is_no_webhook(local: LocalHost) -> None:
    with pytest.raises(ForgeRefused):
        local.forge().read_event({}, b"{}")


@pytest.mark.parametrize("missing", ["store", "git"])
async def test_it_does_not_open_without_store_and_remote(local: LocalHost, missing: str) -> None:
    without = {"store": replace(local.binding(), store=None), "git": replace(local.binding(), git=None)}
    with pytest.raises(InvalidInput):
        LocalForge.open(without[missing])


async def test_a_rewritten_tracked_branch_stops_nothing(local: LocalHost) -> None:
    one, two = await local.pull("ipr/one"), await local.pull("ipr/two")
    old = (await local.git.refs())["main"]
    new = await local.git.push("main")
    local.git.lost = {old}
    assert await state_of(local, one) == (PullState.OPEN, None)
    merged = await local.merge(one)
    assert await state_of(local, one) == (PullState.MERGED, merged)
    assert await state_of(local, two) == (PullState.OPEN, None)
    assert merged != new


async def test_a_head_that_is_gone_with_its_branch_closes_only_its_own(local: LocalHost) -> None:
    one, two = await local.pull("ipr/one"), await local.pull("ipr/two")
    local.git.lost = {(await local.git.refs())["ipr/one"]}
    await local.git.delete("ipr/one")
    await local.git.push("main")
    assert await state_of(local, one) == (PullState.CLOSED, None)
    assert await state_of(local, two) == (PullState.OPEN, None)
