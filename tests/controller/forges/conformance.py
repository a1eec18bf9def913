"""The contract of a forge, run against every one: a subclass gives the fixture `host`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from controller.forges.forge import (
    ForgeRefused,
    ForgeUnavailable,
    Permission,
    PullRequest,
    PullState,
    Reaction,
    Status,
    StatusState,
)
from tests.controller.forges.host import ForgeHost

MARKER = "alma:infra:plan"


def status(state: StatusState = StatusState.SUCCESS, description: str = "1 to update") -> Status:
    return Status("alma/plan", state, description)


async def merged_by_us(host: ForgeHost, number: int, head_sha: str) -> None:
    """As the runtime does it: a forge that still checks the pull request says when to come back."""
    for _ in range(10):
        try:
            await host.forge().merge(number, head_sha)
            return
        except ForgeUnavailable as unavailable:
            await asyncio.sleep(unavailable.retry_after_s)
    raise AssertionError("never merged")


async def the_pull(host: ForgeHost, number: int) -> PullRequest:
    pull = await host.forge().pull(number)
    assert pull is not None
    return pull


class ForgeConformance:
    """Each test's name is what every forge promises."""

    async def test_it_says_who_we_are_and_that_nothing_is_missing(self, host: ForgeHost) -> None:
        info = await host.forge().about()
        assert info.account.bot
        assert info.missing == ()
        assert set(info.rights) >= {"pull", "push"}

    async def test_an_open_pull_request_is_told_whole(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        pull = await the_pull(host, number)
        assert (pull.number, pull.state, pull.base, pull.head) == (number, PullState.OPEN, "main", "ipr/one")
        assert len(pull.head_sha) == 40
        assert not pull.fork
        assert pull.title
        assert not pull.author.bot
        assert pull.merge_sha is None

    async def test_a_pull_request_is_told_the_same_by_number_and_in_the_list(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        listed = {pull.number: pull for pull in await host.forge().pulls()}[number]
        # The forge may touch the stamp in between (Gitea's own check for conflicts); it is not part of what is told.
        assert replace(listed, updated="") == replace(await the_pull(host, number), updated="")

    async def test_a_number_that_is_not_there_is_none(self, host: ForgeHost) -> None:
        assert await host.forge().pull(4_711) is None

    async def test_every_open_pull_request_is_listed(self, host: ForgeHost) -> None:
        numbers = {await host.pull(f"ipr/many-{i}") for i in range(4)}
        assert numbers <= {pull.number for pull in await host.forge().pulls() if pull.state is PullState.OPEN}

    async def test_a_push_moves_the_head(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        sha = await host.branch("ipr/one")
        assert (await the_pull(host, number)).head_sha == sha

    async def test_a_comment_changes_the_stamp_of_its_pull_request(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        before = (await the_pull(host, number)).updated
        await host.say(number, host.people.writer, "/alma plan")
        assert (await the_pull(host, number)).updated != before

    async def test_a_merged_pull_request_is_still_listed_with_its_commit(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        sha = await host.merge(number)
        pull = next(pull for pull in await host.forge().pulls() if pull.number == number)
        assert (pull.state, pull.merge_sha) == (PullState.MERGED, sha)

    async def test_a_merged_pull_request_stays_merged_when_its_branch_is_deleted(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        await host.merge(number)
        await host.forge().pulls()
        await host.delete_branch("ipr/one")
        pull = await the_pull(host, number)
        assert (pull.state, pull.head) == (PullState.MERGED, "ipr/one")

    async def test_comments_come_oldest_first_with_their_authors(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        for i in range(3):
            await host.say(number, host.people.writer, f"said {i}")
        comments = await host.forge().comments(number)
        assert [c.body for c in comments] == ["said 0", "said 1", "said 2"]
        assert {(c.author.id, c.author.bot, c.edited) for c in comments} == {(host.people.writer.id, False, False)}

    async def test_all_comments_are_read_however_many(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        for i in range(60):
            await host.say(number, host.people.writer, f"said {i}")
        assert len(await host.forge().comments(number)) == 60

    async def test_our_comment_is_written_once_and_then_edited(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        first = await host.forge().write_comment(number, MARKER, "plan one")
        second = await host.forge().write_comment(number, MARKER, "plan two")
        third = await host.forge().write_comment(number, MARKER, "plan three", comment_id=first)
        assert first == second == third
        ours = [c.body for c in await host.forge().comments(number) if c.author.bot]
        assert len(ours) == 1
        assert "plan three" in ours[0]
        assert "plan one" not in ours[0]

    async def test_an_equal_body_is_not_written_again(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        await host.forge().write_comment(number, MARKER, "plan\n\n| a | b |\r\n|---|---|  \n")
        before = await host.forge().comments(number)
        await host.forge().write_comment(number, MARKER, "plan\n\n| a | b |\r\n|---|---|  \n")
        assert await host.forge().comments(number) == before

    async def test_a_foreign_comment_with_our_marker_is_left_alone(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        forged = f"<!-- {MARKER} -->\nall is well"
        foreign = await host.say(number, host.people.admin, forged)
        ours = await host.forge().write_comment(number, MARKER, "plan", comment_id=foreign)
        assert ours != foreign
        bodies = {c.id: c.body for c in await host.forge().comments(number)}
        assert bodies[foreign] == forged
        assert "plan" in bodies[ours]

    async def test_a_deleted_comment_is_written_anew(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        first = await host.forge().write_comment(number, MARKER, "plan")
        if await host.erase(number, first):
            second = await host.forge().write_comment(number, MARKER, "plan", comment_id=first)
            assert [c.id for c in await host.forge().comments(number)] == [second]

    async def test_an_id_of_another_pull_request_is_not_edited(self, host: ForgeHost) -> None:
        one, two = await host.pull("ipr/one"), await host.pull("ipr/two")
        there = await host.forge().write_comment(one, MARKER, "of one")
        await host.forge().write_comment(two, MARKER, "of two", comment_id=there)
        assert "of one" in (await host.forge().comments(one))[0].body
        assert "of two" in (await host.forge().comments(two))[0].body

    async def test_a_comment_of_sixty_thousand_characters_fits(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        body = "ä≤🙂" * 20_000
        await host.forge().write_comment(number, MARKER, body)
        assert body in (await host.forge().comments(number))[0].body

    async def test_a_comment_that_cannot_fit_is_refused_not_cut(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        with pytest.raises(ForgeRefused, match="fit"):
            await host.forge().write_comment(number, MARKER, "x" * 70_000)

    async def test_an_answer_is_given_once_per_comment_answered(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        await host.say(number, host.people.writer, "/alma help")
        asked = (await host.forge().comments(number))[0]
        for body in ("help", "help", "more help"):
            await host.forge().reply(number, f"alma:answer:{asked.id}", body, asked)
        answers = [c.body for c in await host.forge().comments(number) if c.author.bot]
        assert len(answers) == 1
        assert "more help" in answers[0]

    async def test_a_reaction_is_given_once_of_each_kind(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        await host.say(number, host.people.writer, "/alma plan")
        seen = (await host.forge().comments(number))[0]
        for reaction in (Reaction.EYES, Reaction.EYES, Reaction.DONE, Reaction.CONFUSED):
            await host.forge().react(number, seen, reaction)
        assert sorted(await host.reactions(number, seen.id)) == sorted(Reaction)

    async def test_a_status_is_written_and_an_equal_one_is_not_written_again(self, host: ForgeHost) -> None:
        sha = await host.branch("ipr/one")
        forge = host.forge()
        for state in (StatusState.PENDING, StatusState.SUCCESS, StatusState.SUCCESS):
            await forge.write_status(sha, status(state))
        written = [s for s in await host.statuses(sha) if s.context == "alma/plan"]
        assert written[-1] == status(StatusState.SUCCESS)
        assert len(written) <= 2

    async def test_every_state_and_a_scope_context_can_be_written(self, host: ForgeHost) -> None:
        sha = await host.branch("ipr/one")
        forge = host.forge()
        for state in StatusState:
            await forge.write_status(sha, Status(f"alma/plan: {state}", state, "said", "https://alma.example/runs/1"))
        assert {s.context: s.state for s in await host.statuses(sha)} == {f"alma/plan: {s}": s for s in StatusState}

    async def test_a_long_description_is_cut_to_140_characters(self, host: ForgeHost) -> None:
        sha = await host.branch("ipr/one")
        await host.forge().write_status(sha, status(description="ä" * 300))
        assert (await host.statuses(sha))[-1].description == "ä" * 139 + "…"

    async def test_rights_are_looked_up_by_account(self, host: ForgeHost) -> None:
        people, forge = host.people, host.forge()
        found = [(await forge.standing(who)).permission for who in (people.admin, people.writer, people.reader)]
        assert found == [Permission.ADMIN, Permission.WRITE, Permission.READ]

    async def test_who_is_unknown_or_has_no_right_gets_none(self, host: ForgeHost) -> None:
        assert (await host.forge().standing(host.people.stranger)).permission in {Permission.NONE, Permission.READ}
        try:
            standing = await host.forge().standing(host.people.gone)
        except ForgeRefused:
            return
        assert standing.permission is Permission.NONE

    async def test_a_pull_request_of_ours_is_opened_once(self, host: ForgeHost) -> None:
        await host.branch("ipr/revert")
        first = await host.forge().open_pull("ipr/revert", "Revert", "It failed.")
        second = await host.forge().open_pull("ipr/revert", "Revert", "It failed.")
        assert first.number == second.number
        assert (first.title, first.author.bot, first.head) == ("Revert", True, "ipr/revert")

    async def test_a_pull_request_of_no_branch_is_refused(self, host: ForgeHost) -> None:
        with pytest.raises(ForgeRefused):
            await host.forge().open_pull("ipr/nowhere", "Nothing", "")

    async def test_it_merges_the_head_that_was_named_and_says_so_twice(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        head = (await the_pull(host, number)).head_sha
        await merged_by_us(host, number, head)
        await merged_by_us(host, number, head)
        pull = await the_pull(host, number)
        assert pull.state is PullState.MERGED
        assert pull.merge_sha

    async def test_it_does_not_merge_another_head(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        old = (await the_pull(host, number)).head_sha
        await host.branch("ipr/one")
        with pytest.raises(ForgeRefused):
            await host.forge().merge(number, old)
        assert (await the_pull(host, number)).state is PullState.OPEN

    async def test_closing_is_safe_to_repeat_and_a_closed_one_is_not_merged(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        await host.forge().close_pull(number)
        await host.forge().close_pull(number)
        pull = await the_pull(host, number)
        assert pull.state is PullState.CLOSED
        with pytest.raises(ForgeRefused):
            await host.forge().merge(number, pull.head_sha)

    async def test_an_approval_is_for_one_head(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        head = (await the_pull(host, number)).head_sha
        await host.forge().approve(number, head, "looks right")
        await host.forge().approve(number, head, "looks right")
        await host.branch("ipr/one")
        with pytest.raises(ForgeRefused):
            await host.forge().approve(number, head, "looks right")

    async def test_approvals_are_told_with_their_account_and_head(self, host: ForgeHost) -> None:
        number = await host.pull("ipr/one")
        head = (await the_pull(host, number)).head_sha
        assert await host.forge().approvals(number) == ()
        await host.approve(number, host.people.admin, head)
        await host.branch("ipr/one")
        assert [(a.account.id, a.head_sha) for a in await host.forge().approvals(number)] == [
            (host.people.admin.id, head)
        ]

    async def test_nothing_is_done_to_a_pull_request_that_is_not_there(self, host: ForgeHost) -> None:
        forge = host.forge()
        for deed in (
            forge.close_pull(4_711),
            forge.merge(4_711, "0" * 40),
            forge.approve(4_711, "0" * 40, ""),
            forge.write_comment(4_711, MARKER, "plan"),
        ):
            with pytest.raises(ForgeRefused):
                await deed
