"""What GitHub may answer besides the usual: queues, lists that are behind, people and bots, stamps of whole seconds."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from controller.errors import InvalidInput
from controller.forges.forge import Account, ForgeRefused, ForgeUnavailable, Permission, PullState, Standing
from controller.forges.github import GitHubForge
from controller.forges.github_entry import api_of
from controller.forges.pacing import iso_stamp
from tests.controller.forges.fake_forge import WALL_0
from tests.controller.forges.github_server.server import GitHubServer

WILL = Account("3", "will")


@pytest.fixture
def server() -> GitHubServer:
    made = GitHubServer()
    made.add_pull("ipr/one")
    return made


@pytest.mark.parametrize(
    ("url", "api", "root"),
    [
        ("", "https://api.github.com", ()),
        ("https://github.com", "https://api.github.com", ()),
        ("https://api.github.com/", "https://api.github.com", ()),
        ("https://ops.ghe.com", "https://api.ops.ghe.com", ()),
        ("https://api.ops.ghe.com", "https://api.ops.ghe.com", ()),
        ("https://git.example", "https://git.example/api", ("v3",)),
        ("https://git.example/api/v3", "https://git.example/api", ("v3",)),
        ("https://api.github.com.evil.example", "https://api.github.com.evil.example/api", ("v3",)),
    ],
)
def test_where_the_api_is(server: GitHubServer, url: str, api: str, root: tuple[str, ...]) -> None:
    assert api_of(server.binding(url=url)) == (api, root)


def test_without_a_credential_it_does_not_open(server: GitHubServer) -> None:
    with pytest.raises(InvalidInput) as missing:
        GitHubForge.open(server.binding(token=""))
    assert "app_id" in missing.value.hint


async def test_writes_leave_a_second_apart(server: GitHubServer) -> None:
    forge = server.forge()
    for i in range(20):
        await forge.write_comment(1, f"alma:{i}", "plan")
    writes = [seen.at_s for seen in server.ledger if seen.method != "GET"]
    assert len(writes) == 20
    assert min(b - a for a, b in itertools.pairwise(writes)) >= 1.0


async def test_who_hurries_meets_the_secondary_limit_and_waits(server: GitHubServer) -> None:
    server.writes_s = [server.clock.now_s] * 80
    with pytest.raises(ForgeUnavailable) as limited:
        await server.forge().write_comment(1, "alma:x", "plan")
    assert limited.value.retry_after_s >= 60


async def test_a_look_that_finds_nothing_new_costs_no_answer(server: GitHubServer) -> None:
    server.clock.now_s += 60.0
    codes: list[str] = []
    forge = server.forge(replace(server.binding(), on_request=codes.append))
    for _ in range(3):
        await forge.pulls()
    assert codes == ["200", "200", "200", "304", "304", "304", "304"]  # first the account too


async def test_a_list_that_is_behind_makes_no_second_comment(server: GitHubServer) -> None:
    server.behind = 3
    forge = server.forge()
    first = await forge.write_comment(1, "alma:x", "one")
    assert await forge.write_comment(1, "alma:x", "two", first) == first
    assert server.bodies(1, 1) == ["<!-- alma:x -->\ntwo"]


async def test_a_second_comment_within_a_second_is_seen_by_looking_at_the_list(server: GitHubServer) -> None:
    forge = server.forge()
    server.say(1, 3, "/alma plan")
    seen = (await forge.pulls())[0].updated
    server.say(1, 3, "/alma help")  # the same stamp, and so the same list
    server.clock.now_s += 60.0
    settled = (await forge.pulls())[0].updated
    assert settled != seen
    assert settled == (await forge.pulls())[0].updated == iso_stamp(WALL_0 + server.clock.now_s - 60.0)
    pull = await forge.pull(1)
    assert pull is not None and pull.updated == settled


async def test_a_queue_is_asked_once_where_the_branch_has_one(server: GitHubServer) -> None:
    server.merge_queue = True
    head = server.branches["ipr/one"]
    await server.forge().merge(1, head)
    await server.forge().merge(1, head)
    assert server.queued == [1]
    pull = await server.forge().pull(1)
    assert pull is not None and pull.state is PullState.OPEN


async def test_a_merge_while_the_base_moves_is_tried_later(server: GitHubServer) -> None:
    server.checking_merge = 1
    with pytest.raises(ForgeUnavailable):
        await server.forge().merge(1, server.branches["ipr/one"])
    await server.forge().merge(1, server.branches["ipr/one"])


async def test_the_method_that_the_repository_allows_is_taken(server: GitHubServer) -> None:
    server.methods = {"rebase"}
    await server.forge().merge(1, server.branches["ipr/one"])
    assert server.pulls[1].merged


async def test_a_draft_is_told_and_not_merged(server: GitHubServer) -> None:
    server.pulls[1].draft = True
    pull = await server.forge().pull(1)
    assert pull is not None and pull.draft
    with pytest.raises(ForgeRefused):
        await server.forge().merge(1, server.branches["ipr/one"])


async def test_a_fork_is_told_as_one_even_when_it_is_gone(server: GitHubServer) -> None:
    number = server.add_pull("theirs", 5, fork=True)
    for gone in (set[int](), {number}):
        server.deleted_forks = gone
        pull = await server.forge().pull(number)
        assert pull is not None and pull.fork
        assert [p.fork for p in await server.forge().pulls() if p.number == number] == [True]


async def test_apps_and_what_a_deleted_account_left_are_bots(server: GitHubServer) -> None:
    for user in (1, 3, 98):
        server.say(1, user, "/alma plan")
    assert [c.author.bot for c in await server.forge().comments(1)] == [True, False, True]


async def test_rights_follow_the_account_not_its_name(server: GitHubServer) -> None:
    server.users[3] = "wilhelmina"
    assert (await server.forge().standing(WILL)).permission is Permission.WRITE
    server.users[9], server.permissions[9] = "will", "admin"
    assert (await server.forge().standing(WILL)).permission is Permission.WRITE


async def test_an_invitation_to_a_team_is_no_membership(server: GitHubServer) -> None:
    assert await server.forge().standing(WILL) == Standing(Permission.WRITE, frozenset({"ops/ops"}))
    server.invited.add("will")
    assert await server.forge().standing(WILL) == Standing(Permission.WRITE)


async def test_a_team_that_we_may_not_read_gives_nobody_a_role_and_is_told(server: GitHubServer) -> None:
    server.unread_teams.add("ops")
    assert await server.forge().standing(WILL) == Standing(Permission.WRITE)
    assert any("ops" in line for line in (await server.forge().about()).missing)


async def test_a_classic_token_is_told_to_be_too_broad(server: GitHubServer) -> None:
    assert (await server.forge().about()).excess == ()
    server.scopes = "repo, admin:org, delete_repo"
    assert [line for line in (await server.forge().about()).excess if "scope" in line] == [
        "the classic token has the scope admin:org, which nothing uses",
        "the classic token has the scope delete_repo, which nothing uses",
    ]


async def test_who_asks_for_changes_takes_the_approval_back(server: GitHubServer) -> None:
    head = server.branches["ipr/one"]
    for user, state in ((2, "APPROVED"), (3, "APPROVED"), (4, "APPROVED"), (3, "CHANGES_REQUESTED"), (2, "COMMENTED")):
        server.review(1, user, state, head)
    server.pulls[1].reviews[2].dismissed = True
    assert [a.account.login for a in await server.forge().approvals(1)] == ["ada"]
