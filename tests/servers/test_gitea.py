"""The Gitea of the tests is real: accounts, repositories, rights, pull requests, signed webhooks, outages."""

from __future__ import annotations

import hashlib
import hmac
import subprocess
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from tests.servers.gitea import ApiError, GiteaServer
from tests.servers.process import wait_until

pytestmark = pytest.mark.gitea


def _git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.test")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def _push(folder: Path, url: str, branch: str, name: str) -> None:
    """Commits a file `name` on `branch` and pushes it."""
    if not (folder / ".git").exists():
        _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "checkout", "--quiet", "-B", branch)
    (folder / name).write_text(name)
    _git(folder, "add", "--", name)
    _git(folder, "commit", "--quiet", "-m", f"Add {name}")
    _git(folder, "push", "--quiet", url, branch)


def test_a_pull_request_is_opened_commented_and_merged_by_ordinary_accounts(gitea: GiteaServer, tmp_path: Path) -> None:
    owner, other = gitea.create_user("pr-owner"), gitea.create_user("pr-other")
    gitea.create_repo("pr-owner", "infra")
    gitea.add_collaborator("pr-owner", "infra", "pr-other", "write")
    _push(tmp_path, gitea.push_url("pr-owner", "infra", "pr-owner", owner), "main", "one")
    _push(tmp_path, gitea.push_url("pr-owner", "infra", "pr-other", other), "change", "two")
    repo = "/repos/pr-owner/infra"
    for branch in ("main", "change"):
        gitea.wait_for_branch("pr-owner", "infra", branch)
    opened = gitea.call("POST", f"{repo}/pulls", token=other, body={"head": "change", "base": "main", "title": "two"})
    gitea.call("POST", f"{repo}/issues/{opened['number']}/comments", token=owner, body={"body": "/alma plan"})
    gitea.wait_until_mergeable("pr-owner", "infra", opened["number"])
    gitea.call("POST", f"{repo}/pulls/{opened['number']}/merge", token=owner, body={"Do": "merge"})
    assert gitea.call("GET", f"{repo}/pulls/{opened['number']}")["merged"]


def test_an_account_without_a_right_is_refused(gitea: GiteaServer) -> None:
    stranger = gitea.create_user("stranger")
    gitea.create_user("hidden-owner")
    gitea.create_repo("hidden-owner", "infra", private=True)
    with pytest.raises(ApiError, match="404"):
        gitea.call("GET", "/repos/hidden-owner/infra", token=stranger)


def test_a_token_has_only_the_scopes_it_was_given(gitea: GiteaServer) -> None:
    gitea.create_user("narrow")
    reader = gitea.create_token("narrow", ["read:repository"])
    with pytest.raises(ApiError, match="403"):
        gitea.call("POST", "/user/repos", token=reader, body={"name": "refused"})


def test_a_webhook_arrives_signed_over_its_raw_body(gitea: GiteaServer, httpserver: HTTPServer, tmp_path: Path) -> None:
    token = gitea.create_user("hook-owner")
    gitea.create_repo("hook-owner", "infra")
    httpserver.expect_request("/hook").respond_with_data("ok")
    gitea.add_webhook("hook-owner", "infra", httpserver.url_for("/hook"), "throw-away")
    _push(tmp_path, gitea.push_url("hook-owner", "infra", "hook-owner", token), "main", "one")
    wait_until(lambda: bool(httpserver.log), timeout_s=30, what="webhook")
    request, _ = httpserver.log[0]
    assert request.headers["X-Gitea-Event"] == "push"
    expected = hmac.new(b"throw-away", request.get_data(), hashlib.sha256).hexdigest()
    assert request.headers["X-Gitea-Signature"] == expected


def test_an_outage_ends_with_everything_still_there(gitea: GiteaServer) -> None:
    gitea.create_user("patient")
    clone_url = gitea.create_repo("patient", "infra", initialised=True)
    with gitea.outage():
        assert not gitea.answers()
    assert gitea.call("GET", "/repos/patient/infra")["clone_url"] == clone_url
