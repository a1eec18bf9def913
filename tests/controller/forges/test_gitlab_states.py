"""What GitLab may answer besides the usual: trains, versions, quick actions, groups within groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.forges.address import whole_path
from controller.forges.forge import (
    Account,
    ForgeRefused,
    ForgeUnavailable,
    Permission,
    Standing,
    Status,
    StatusState,
)
from tests.controller.forges.gitlab_server.server import GitLabServer

WILL = Account("3", "will")


@pytest.fixture
def server() -> GitLabServer:
    made = GitLabServer()
    made.add_pull("ipr/one")
    return made


ACTIONS = [
    "/approve",
    "/merge",
    "text\n/close",
    "text\n\n/assign @ada\n",
    "text\r/close",
    "text\r\n/close",
    "\r/\rclose",
    "/Title gone",
    "```\n/close\n```",
    "```\n/close",
    "`\n/close\n`",
    "<details>\n/close\n</details>",
    ">>>\n/close\n>>>",
    "a\x0b/close",
    "a\u2028/close",
    " /close",
    "\t/merge",
    "> /close",
    "\ufeff/close",
    "\n\n\n/label ~x",
    "/close" * 3 + "\n/close",
]


@pytest.mark.parametrize("text", ACTIONS)
async def test_no_line_of_ours_acts(server: GitLabServer, text: str, report_n: Callable[..., None]) -> None:
    forge = server.forge()
    first = await forge.write_comment(1, "alma:x", text)
    await forge.write_comment(1, "alma:x", f"edited\n{text}", first)
    to = (await forge.comments(1))[0]
    await forge.reply(1, "alma:answer:1", text, to)
    server.push("alma/revert")
    await forge.open_pull("alma/revert", "Revert", text)
    assert server.acted == []
    assert all(text.count("/") == body.count("/") for body in server.bodies(1, 1))
    report_n("E25 gitlab actions", 4, len(server.acted))


async def test_a_body_that_was_made_harmless_is_not_written_again(server: GitLabServer) -> None:
    for _ in range(3):
        await server.forge().write_comment(1, "alma:x", "plan\n/approve")
    assert [seen.method for seen in server.ledger if seen.method != "GET"] == ["POST"]


async def test_an_approval_is_for_the_version_that_was_there(server: GitLabServer) -> None:
    heads = [server.branches["ipr/one"]]
    server.review(1, 2, "APPROVED", heads[0])
    heads.append(server.push("ipr/one"))
    server.review(1, 3, "APPROVED", heads[1])
    server.push("ipr/one")
    found = {a.account.login: a.head_sha for a in await server.forge().approvals(1)}
    assert found == {"ada": heads[0], "will": heads[1]}


async def test_who_asks_for_changes_takes_the_approval_back(server: GitLabServer) -> None:
    server.review(1, 2, "APPROVED", server.branches["ipr/one"])
    server.objecting[1] = {2}
    assert await server.forge().approvals(1) == ()


async def test_a_train_is_boarded_where_the_project_has_one(server: GitLabServer) -> None:
    server.train = []
    await server.forge().merge(1, server.branches["ipr/one"])
    assert server.train == [1]


async def test_a_merge_that_is_still_being_checked_is_tried_later(server: GitLabServer) -> None:
    server.checking_merge = 2
    with pytest.raises(ForgeUnavailable):
        await server.forge().merge(1, server.branches["ipr/one"])
    await server.forge().merge(1, server.branches["ipr/one"])
    assert server.pulls[1].merged


async def test_notes_that_gitlab_writes_itself_are_no_comments(server: GitLabServer) -> None:
    server.system_notes.add(server.say(1, 3, "approved this merge request"))
    server.say(1, 3, "/alma plan")
    assert [c.body for c in await server.forge().comments(1)] == ["/alma plan"]


@pytest.mark.parametrize(
    ("name", "bot"),
    [
        ("project_7_bot_0a1b2c", True),
        ("group_7_bot", True),
        ("service_account_group_1_ab", True),
        ("ghost", True),
        ("security-bot", True),
        ("will", False),
        ("abbot", False),
        ("project_manager", False),
    ],
)
async def test_automation_is_a_bot(server: GitLabServer, name: str, bot: bool) -> None:
    server.users[3] = name
    server.say(1, 3, "/alma plan")
    assert [c.author.bot for c in await server.forge().comments(1)] == [bot]


async def test_a_blocked_member_may_nothing(server: GitLabServer) -> None:
    assert (await server.forge().standing(WILL)).permission is Permission.WRITE
    server.member_states[3] = "blocked"
    assert await server.forge().standing(WILL) == Standing(Permission.NONE)


async def test_groups_are_told_by_their_whole_path(server: GitLabServer) -> None:
    server.teams[12] = ("partners/deep", {3})
    assert (await server.forge().standing(WILL)).teams == {"ops", "partners/deep"}


async def test_a_request_without_a_commit_is_left_out(server: GitLabServer) -> None:
    number = server.add_pull("empty")
    server.branches["empty"] = ""
    assert await server.forge().pull(number) is None
    assert [pull.number for pull in await server.forge().pulls()] == [1]


async def test_a_pending_status_keeps_its_words_until_its_state_changes(server: GitLabServer) -> None:
    sha, forge = server.branches["ipr/one"], server.forge()
    for state, words in ((StatusState.PENDING, "one"), (StatusState.PENDING, "two"), (StatusState.SUCCESS, "three")):
        await forge.write_status(sha, Status("alma/plan", state, words))
    assert [s["description"] for s in server.statuses] == ["one", "three"]


async def test_a_status_for_a_commit_that_is_gone_is_refused(server: GitLabServer) -> None:
    with pytest.raises(ForgeRefused):
        await server.forge().write_status("1" * 40, Status("alma/plan", StatusState.SUCCESS, "ok"))


async def test_scopes_are_told_when_they_lack_and_when_they_are_too_broad(server: GitLabServer) -> None:
    server.scopes = ["read_api", "sudo", "admin_mode"]
    info = await server.forge().about()
    assert info.missing == ("write: make the token with the scope api",)
    assert [line.split(",")[0] for line in info.excess] == [
        "the token has the scope admin_mode",
        "the token has the scope sudo",
    ]
    server.scopes, server.permissions[1] = ["api"], "read"
    assert "role Developer" in (await server.forge().about()).missing[0]


@pytest.mark.parametrize(
    ("git_url", "url", "path"),
    [
        ("https://git.example/ops/sub/infra.git", "https://git.example", "ops/sub/infra"),
        ("https://git.example/gitlab/ops/infra", "https://git.example/gitlab", "ops/infra"),
        ("git@git.example:ops/sub/infra.git", "https://git.example", "ops/sub/infra"),
    ],
)
def test_a_project_lies_in_groups_within_groups(server: GitLabServer, git_url: str, url: str, path: str) -> None:
    assert str(whole_path(replace(server.binding(), git_url=git_url), url)) == path
