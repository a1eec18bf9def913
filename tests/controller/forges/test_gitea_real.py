"""The contract against a real Gitea, and what only a real one can show."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from pytest_httpserver import HTTPServer

from controller.forges.forge import (
    Account,
    ForgeHint,
    ForgeRefused,
    ForgeUnavailable,
    Permission,
    Status,
    StatusState,
)
from controller.forges.gitea import GiteaForge
from tests.controller.forges.conformance import MARKER, ForgeConformance, merged_by_us
from tests.controller.forges.host import ForgeHost
from tests.controller.forges.real_gitea import BOT, ORG, SECRET, Cast, RealHost, make_cast
from tests.servers.gitea import GiteaServer
from tests.servers.process import wait_until

pytestmark = pytest.mark.gitea


@pytest.fixture(scope="module")
def cast(gitea: GiteaServer) -> Cast:
    return make_cast(gitea)


@pytest.fixture
async def real(gitea: GiteaServer, cast: Cast) -> AsyncIterator[RealHost]:
    host = RealHost(gitea, cast)
    yield host
    await host.close()


class TestRealGitea(ForgeConformance):
    @pytest.fixture
    def host(self, real: RealHost) -> ForgeHost:
        return real


async def test_what_the_bot_lacks_is_named_with_the_click_that_gives_it(real: RealHost) -> None:
    real.server.add_collaborator(ORG, real.name, BOT, "read")
    info = await real.gitea().about()
    assert info.rights == ("pull",)
    assert all("Collaborators" in line for line in info.missing)
    assert len(info.missing) == 2


async def test_a_wrong_token_is_refused_and_not_repeated(real: RealHost) -> None:
    with pytest.raises(ForgeRefused) as refused:
        await real.gitea(token="0123456789abcdef0123456789abcdef01234567").about()
    assert "0123456789" not in f"{refused.value} {refused.value.hint}"


async def test_a_token_without_the_scope_is_told_which_to_make(real: RealHost) -> None:
    narrow = real.server.create_token(BOT, ["write:repository"])
    with pytest.raises(ForgeRefused) as refused:
        await real.gitea(token=narrow).about()
    assert "read:user" in refused.value.hint


async def test_a_token_with_more_scopes_than_needed_is_told(real: RealHost) -> None:
    assert (await real.gitea().about()).excess == ()
    broad = real.server.create_token(BOT, ["all"])
    assert (await real.gitea(token=broad).about()).excess == (
        "the token has the scope notification, which nothing uses",
        "the token has the scope package, which nothing uses",
    )
    admin = await real.gitea(token=real.server.admin_token).about()
    assert admin.excess[0] == "the token's account is an administrator of the whole server"


async def test_without_administrator_right_nobodys_rights_are_guessed(real: RealHost) -> None:
    real.server.add_collaborator(ORG, real.name, BOT, "write")
    with pytest.raises(ForgeRefused):
        await real.gitea().standing(real.people.admin)


async def test_a_renamed_account_keeps_its_rights_and_its_old_name_gives_none(real: RealHost) -> None:
    token = real.server.create_user(f"old-{real.name}")
    who = Account(str(real.server.call("GET", "/user", token=token)["id"]), f"old-{real.name}")
    real.server.add_collaborator(ORG, real.name, who.login, "write")
    real.server.call("POST", f"/admin/users/{who.login}/rename", body={"new_username": f"new-{real.name}"})
    assert (await real.gitea().standing(who)).permission is Permission.WRITE
    body = {"username": who.login, "email": f"thief-{real.name}@example.test", "password": "not-a-secret-2"}
    real.server.call("POST", "/admin/users", body=body)
    assert (await real.gitea().standing(who)).permission is Permission.WRITE
    thief = real.server.call("GET", f"/users/{who.login}")
    standing = await real.gitea().standing(Account(str(thief["id"]), who.login))
    assert standing.permission is Permission.NONE


async def test_teams_count_where_the_bot_may_read_them(real: RealHost) -> None:
    for name, members in (("ops", (BOT, "forge-will")), ("quiet", ("forge-will",))):
        body = {"name": f"{name}-{real.name}", "permission": "write", "units": ["repo.code", "repo.pulls"]}
        team = real.server.call("POST", f"/orgs/{ORG}/teams", body=body)
        for member in members:
            real.server.call("PUT", f"/teams/{team['id']}/members/{member}")
        real.server.call("PUT", f"/teams/{team['id']}/repos/{ORG}/{real.name}")
    assert (await real.gitea().standing(real.people.writer)).teams == {f"{ORG}/ops-{real.name}"}
    assert (await real.gitea().standing(real.people.reader)).teams == frozenset()
    assert any(f"quiet-{real.name}" in line for line in (await real.gitea().about()).missing)


async def test_a_person_editing_a_comment_is_seen(real: RealHost) -> None:
    number, words = await real.pull("ipr/one"), itertools.count()
    comment_id = await real.say(number, real.people.writer, "/alma plan")

    def edited() -> bool:
        """Its stamps have whole seconds: edited until one is over."""
        body = {"body": f"/alma confirm {next(words)}"}
        after = real.call("PATCH", f"/issues/comments/{comment_id}", body, "forge-will")
        return bool(after["updated_at"] != after["created_at"])

    wait_until(edited, timeout_s=10, what="second")
    assert (await real.gitea().comments(number))[0].edited


async def test_more_pull_requests_than_a_page_are_all_listed(real: RealHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.forges.http.PAGE_SIZE", 2)
    numbers = [await real.pull(f"ipr/p{i}") for i in range(6)]
    await real.gitea().close_pull(numbers[0])
    listed = await real.gitea().pulls()
    assert {pull.number for pull in listed} == set(numbers)
    stamps = [pull.updated.split()[0] for pull in listed]
    assert stamps == sorted(stamps, reverse=True)


async def test_a_pull_request_of_a_fork_is_told_as_one(real: RealHost) -> None:
    number, forge = await _fork_pull(real), real.gitea()
    pull = await forge.pull(number)
    assert pull is not None
    assert pull.fork
    assert pull in await forge.pulls()


async def test_a_status_for_a_commit_that_is_gone_is_refused(real: RealHost) -> None:
    with pytest.raises(ForgeRefused, match="gone"):
        await real.gitea().write_status("1" * 40, Status("alma/plan", StatusState.SUCCESS, "ok"))


async def test_an_outage_is_tried_later_and_leaves_one_comment(real: RealHost) -> None:
    number = await real.pull("ipr/one")
    forge = real.gitea()
    await forge.write_comment(number, MARKER, "before")
    with real.server.outage(), pytest.raises(ForgeUnavailable):
        await forge.write_comment(number, MARKER, "during")
    await real.gitea().write_comment(number, MARKER, "after")
    assert [c.body.splitlines()[1:] for c in await real.gitea().comments(number)] == [["after"]]


async def test_a_renamed_repository_is_told_not_followed(real: RealHost) -> None:
    real.call("PATCH", "", {"name": f"{real.name}-moved"})
    with pytest.raises(ForgeRefused) as refused:
        await real.gitea().pulls()
    assert "new address" in refused.value.hint


async def test_our_webhook_delivers_what_read_event_understands(real: RealHost, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    forge = real.gitea()
    for renew in (False, False, True):
        await forge.ensure_webhook(httpserver.url_for("/hook"), renew=renew)
    assert len(real.call("GET", "/hooks")) == 1
    number = await real.pull("ipr/one")
    await real.say(number, real.people.writer, "/alma plan")
    await real.branch("ipr/one")
    real.call("POST", f"/pulls/{number}/reviews", {"event": "APPROVED", "body": "yes"}, "forge-ada")
    await real.merge(number)
    wanted = {ForgeHint(branch="ipr/one"), ForgeHint(branch="main"), ForgeHint(pull=number)}
    wait_until(lambda: _hints(forge, httpserver) >= wanted, timeout_s=30, what="webhooks")
    assert _hints(forge, httpserver) == wanted
    assert {"push", "pull_request", "issue_comment", "pull_request_approved"} <= set(_events(httpserver))
    other = real.gitea(webhook_secret=SECRET + "x")
    for request, _ in httpserver.log:
        with pytest.raises(ForgeRefused):
            other.read_event(dict(request.headers), request.get_data())


async def test_a_protected_branch_waits_for_our_statuses(real: RealHost) -> None:
    forge = real.gitea()
    for _ in range(2):
        await forge.protect_branch(("alma/plan", "alma/audit"))
    rule = real.call("GET", "/branch_protections/main")
    assert (rule["enable_status_check"], rule["status_check_contexts"]) == (True, ["alma/plan", "alma/audit"])
    number = await real.pull("ipr/one")
    pull = await forge.pull(number)
    assert pull is not None
    with pytest.raises(ForgeRefused):
        await merged_by_us(real, number, pull.head_sha)
    for context in ("alma/plan", "alma/audit"):
        await forge.write_status(pull.head_sha, Status(context, StatusState.SUCCESS, "ok"))
    await merged_by_us(real, number, pull.head_sha)


def _hints(forge: GiteaForge, httpserver: HTTPServer) -> set[ForgeHint | None]:
    return {forge.read_event(dict(request.headers), request.get_data()) for request, _ in httpserver.log}


def _events(httpserver: HTTPServer) -> list[str]:
    return [request.headers["X-Gitea-Event"] for request, _ in httpserver.log]


async def _fork_pull(real: RealHost) -> int:
    """By someone who may only read."""
    login = "forge-rita"
    fork = f"/repos/{login}/fork-{real.name}"
    token = real.cast.tokens[login]
    real.call("POST", "/forks", {"name": f"fork-{real.name}"}, login)
    body = {"new_branch": "theirs", "branch": "main", "content": "eA==", "message": "theirs"}
    real.server.call("POST", f"{fork}/contents/theirs", token=token, body=body)
    opened = {"head": f"{login}:theirs", "base": "main", "title": "theirs"}
    return int(real.call("POST", "/pulls", opened, login)["number"])
