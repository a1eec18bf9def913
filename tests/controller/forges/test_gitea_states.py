"""What Gitea may answer besides the usual, on the fake: odd lists, lost answers, people who come and go."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from controller.forges.forge import (
    Account,
    ForgeRefused,
    ForgeUnavailable,
    Permission,
    PullState,
    Standing,
    Status,
    StatusState,
)
from controller.forges.gitea import GiteaForge
from controller.forges.gitea_setup import HOOK_EVENTS
from tests.controller.forges.fake_forge import SECRET, Fault, at_first, in_turn
from tests.controller.forges.fake_gitea import FakeGitea

WILL = Account("3", "will")
DONE = Status("alma/deploy", StatusState.SUCCESS, "done")


@pytest.fixture
def gitea() -> FakeGitea:
    fake = FakeGitea()
    fake.add_pull("ipr/one")
    return fake


def writes(gitea: FakeGitea) -> list[tuple[str, str]]:
    return [(seen.method, seen.path.split("/", 3)[-1]) for seen in gitea.ledger if seen.method != "GET"]


async def patiently(gitea: FakeGitea, forge: GiteaForge, sha: str, status: Status) -> None:
    while True:
        try:
            await forge.write_status(sha, status)
            return
        except ForgeUnavailable as unavailable:
            await gitea.clock.sleep(unavailable.retry_after_s)


@pytest.mark.parametrize("fault", [Fault.BAD_GATEWAY_AFTER, Fault.RESET_AFTER, Fault.TIMEOUT_AFTER, Fault.BAD_GATEWAY])
async def test_a_status_whose_answer_was_lost_is_there_once(gitea: FakeGitea, fault: Fault) -> None:
    sha, forge = gitea.branches["ipr/one"], gitea.forge()
    gitea.fault = at_first(fault)
    await patiently(gitea, forge, sha, DONE)
    assert [s["context"] for s in gitea.statuses] == ["alma/deploy"]


async def test_an_older_equal_status_is_not_taken_for_the_newest(gitea: FakeGitea) -> None:
    sha, forge = gitea.branches["ipr/one"], gitea.forge()
    await forge.write_status(sha, DONE)
    await forge.write_status(sha, replace(DONE, state=StatusState.PENDING))
    gitea.fault = at_first(Fault.BAD_GATEWAY)
    await patiently(gitea, forge, sha, DONE)
    assert [s["status"] for s in gitea.statuses] == ["success", "pending", "success"]


@pytest.mark.parametrize("sha", ["main", "", "a" * 39, "A" * 40, "../" + "a" * 37])
async def test_a_status_goes_to_a_whole_commit_id_only(gitea: FakeGitea, sha: str) -> None:
    with pytest.raises(ForgeRefused):
        await gitea.forge().write_status(sha, DONE)
    assert gitea.ledger == []


async def test_a_pull_request_whose_answer_was_lost_is_opened_once(gitea: FakeGitea) -> None:
    gitea.push("alma/revert")
    forge = gitea.forge()
    gitea.fault = lambda method, path: Fault.RESET_AFTER if method == "POST" and len(gitea.pulls) == 1 else None
    with pytest.raises(ForgeUnavailable) as unavailable:
        await forge.open_pull("alma/revert", "Revert", "why")
    await gitea.clock.sleep(unavailable.value.retry_after_s)
    assert (await forge.open_pull("alma/revert", "Revert", "why")).number == 2
    assert len(gitea.pulls) == 2


async def test_a_fork_with_our_branch_name_is_not_our_pull_request(gitea: FakeGitea) -> None:
    gitea.add_pull("alma/revert", user=4, fork=True)
    gitea.pulls[2].state = "open"
    with pytest.raises(ForgeRefused):  # the fake allows one per branch name; it must not be taken for ours
        await gitea.forge().open_pull("alma/revert", "Revert", "why")


async def test_a_merge_whose_answer_was_lost_is_merged_once(gitea: FakeGitea) -> None:
    forge, head = gitea.forge(), gitea.branches["ipr/one"]
    gitea.fault = lambda method, path: Fault.TIMEOUT_AFTER if method == "POST" else None
    with pytest.raises(ForgeUnavailable) as unavailable:
        await forge.merge(1, head)
    await gitea.clock.sleep(unavailable.value.retry_after_s)
    await forge.merge(1, head)
    assert [path for _, path in writes(gitea)] == ["pulls/1/merge"]


async def test_a_merge_that_is_still_being_checked_is_tried_later(gitea: FakeGitea) -> None:
    forge, head = gitea.forge(), gitea.branches["ipr/one"]
    gitea.checking_merge = 1
    with pytest.raises(ForgeUnavailable):
        await forge.merge(1, head)
    await forge.merge(1, head)
    pull = await forge.pull(1)
    assert pull is not None
    assert pull.state is PullState.MERGED


async def test_rights_follow_the_account_not_its_name(gitea: FakeGitea) -> None:
    gitea.users[3] = "wilhelmina"
    assert (await gitea.forge().standing(WILL)).permission is Permission.WRITE
    gitea.users[9], gitea.permissions[9] = "will", "admin"
    assert (await gitea.forge().standing(WILL)).permission is Permission.WRITE
    assert (await gitea.forge().standing(Account("9", "will"))).permission is Permission.ADMIN


async def test_nobody_gets_a_right_when_the_forge_does_not_answer(gitea: FakeGitea) -> None:
    for fault in Fault:
        if fault in (Fault.KILL_AFTER, Fault.KILL_BEFORE):
            continue
        for at in range(2):
            fake = FakeGitea()
            fake.fault = in_turn(dict.fromkeys(range(at, at + 10), fault))
            with pytest.raises(ForgeUnavailable):
                await fake.forge().standing(WILL)


@pytest.mark.parametrize("answer", ["superadmin", None, 3, True, {"admin": True}])
async def test_an_unknown_permission_is_no_answer(gitea: FakeGitea, answer: Any) -> None:
    gitea.permissions[3] = answer
    with pytest.raises(ForgeUnavailable):
        await gitea.forge().standing(WILL)


async def test_who_may_not_look_rights_up_gets_no_answer_for_anyone(gitea: FakeGitea) -> None:
    gitea.permissions[1] = "write"
    with pytest.raises(ForgeRefused):
        await gitea.forge().standing(WILL)


async def test_teams_are_told_by_organization_and_name(gitea: FakeGitea) -> None:
    assert await gitea.forge().standing(WILL) == Standing(Permission.WRITE, frozenset({"ops/ops"}))
    gitea.organization = False
    assert await gitea.forge().standing(WILL) == Standing(Permission.WRITE)


async def test_the_forges_own_accounts_are_bots(gitea: FakeGitea) -> None:
    gitea.users[-2] = "gitea-actions"
    gitea.say(1, -2, "/alma confirm")
    gitea.say(1, -1, "/alma confirm")
    gitea.say(1, 3, "/alma plan")
    assert [c.author.bot for c in await gitea.forge().comments(1)] == [True, True, False]


async def test_an_edit_is_seen(gitea: FakeGitea) -> None:
    comment = gitea.comments[gitea.say(1, 3, "/alma plan")]
    comment.body, comment.updated = "/alma confirm", comment.updated + 1
    assert (await gitea.forge().comments(1))[0].edited


async def test_more_pull_requests_than_the_server_shows_a_page_are_all_listed() -> None:
    gitea = FakeGitea()
    gitea.page_size = 7
    numbers = {gitea.add_pull(f"ipr/{i}") for i in range(30)}
    assert {pull.number for pull in await gitea.forge().pulls()} == numbers


async def test_only_pull_requests_against_the_tracked_branch_are_listed(gitea: FakeGitea) -> None:
    gitea.pulls[gitea.add_pull("ipr/two")].base = "next"
    assert [pull.number for pull in await gitea.forge().pulls()] == [1]


async def test_a_list_of_comments_that_was_cut_short_writes_nothing(gitea: FakeGitea) -> None:
    gitea.say(1, 1, "<!-- alma:x -->\nours")

    def cut(request: httpx2.Request) -> httpx2.Response:
        answer = gitea.handle(request)
        if request.method == "GET" and request.url.path.endswith("comments"):
            return httpx2.Response(200, json=[], headers={"X-Total-Count": "1"})
        return answer

    forge = GiteaForge.open(gitea.binding(), transport=httpx2.MockTransport(cut))
    with pytest.raises(ForgeUnavailable):
        await forge.write_comment(1, "alma:x", "new")
    assert writes(gitea) == []


async def test_a_marker_that_could_leave_its_comment_is_refused(gitea: FakeGitea) -> None:
    for marker in ("", "a --> b", "a\nb", "a-->b", "<script>", "x" * 300, "<!-- -->"):
        with pytest.raises(ForgeRefused):
            await gitea.forge().write_comment(1, marker, "plan")
    assert gitea.ledger == []


async def test_a_marker_further_down_is_not_ours(gitea: FakeGitea) -> None:
    gitea.say(1, 1, "> quoted\n<!-- alma:x -->\nan answer")
    await gitea.forge().write_comment(1, "alma:x", "plan")
    assert gitea.bodies(1, 1) == ["> quoted\n<!-- alma:x -->\nan answer", "<!-- alma:x -->\nplan"]


async def test_a_marker_that_is_a_hidden_line_already_is_not_hidden_twice(gitea: FakeGitea) -> None:
    await gitea.forge().write_comment(1, "<!-- alma:x -->", "<!-- alma:x -->\nplan")
    assert gitea.bodies(1, 1) == ["<!-- alma:x -->\nplan"]


async def test_an_approval_stands_until_it_is_dismissed_or_changes_are_asked_for(gitea: FakeGitea) -> None:
    head = gitea.branches["ipr/one"]
    for user, state in ((2, "APPROVED"), (3, "APPROVED"), (4, "APPROVED"), (3, "REQUEST_CHANGES"), (2, "COMMENT")):
        gitea.review(1, user, state, head)
    gitea.pulls[1].reviews[2].dismissed = True
    assert [a.account.login for a in await gitea.forge().approvals(1)] == ["ada"]


async def test_one_webhook_of_ours_is_kept(gitea: FakeGitea) -> None:
    url = "https://alma.example/hooks/infra"
    foreign = {"id": 1, "type": "gitea", "active": True, "config": {"url": "https://ci.example"}, "events": ["push"]}
    gitea.hooks[1] = dict(foreign)
    for _ in range(3):
        await gitea.forge().ensure_webhook(url)
    ours = [hook for hook in gitea.hooks.values() if hook["config"]["url"] == url]
    assert len(ours) == 1
    assert ours[0]["config"] == {"url": url, "content_type": "json", "secret": SECRET}
    assert (ours[0]["events"], ours[0]["active"]) == (list(HOOK_EVENTS), True)
    await gitea.forge().ensure_webhook(url, renew=True)
    assert len(gitea.hooks) == 2
    assert gitea.hooks[1] == foreign


async def test_a_webhook_without_a_secret_is_not_made(gitea: FakeGitea) -> None:
    with pytest.raises(ForgeRefused):
        await gitea.forge(gitea.binding(webhook_secret="")).ensure_webhook("https://alma.example")


async def test_any_field_of_an_answer_may_be_anything_and_only_the_contracts_errors_come_out(
    gitea: FakeGitea, report_n: Any
) -> None:
    """B1's wrong schema, for every field of a pull request and a comment."""
    gitea.say(1, 3, "/alma plan")
    real = {"pulls": gitea._pull(gitea.pulls[1]), "comments": gitea._comment(next(iter(gitea.comments.values())))}
    points = 0
    for kind, item in real.items():
        for key, new in itertools.product(item, (None, 7, -1, "x", [], {}, True, 10**30)):
            broken = {**item, key: new}
            transport = httpx2.MockTransport(lambda request, b=broken: _answered(gitea, request, b))
            forge = GiteaForge.open(gitea.binding(), transport=transport)
            points += 1
            try:
                await (forge.pulls() if kind == "pulls" else forge.comments(1))
            except (ForgeUnavailable, ForgeRefused):
                continue
    report_n("B1 gitea answers", points)
    assert points > 150


def _answered(gitea: FakeGitea, request: httpx2.Request, item: dict[str, Any]) -> httpx2.Response:
    if request.url.path.endswith(("/pulls", "/comments")):
        return httpx2.Response(200, json=[item], headers={"X-Total-Count": "1"})
    return gitea.handle(request)
