"""State → JSON, by the names of GitHub's OpenAPI description. Fields that nothing here has a state for are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.controller.forges.fake_repository import FakeComment, FakePull, FakeReview

if TYPE_CHECKING:
    from tests.controller.forges.github_server.server import GitHubServer

Json = dict[str, Any]
WEB = "https://git.example"
API = f"{WEB}/api/v3"
BOT_ID = 1


def user(server: GitHubServer, number: int) -> Json | None:
    """None for an account that was deleted."""
    if number not in server.users:
        return None
    bot = number == BOT_ID and server.app is not None
    login = f"{server.users[number]}[bot]" if bot else server.users[number]
    return {"id": number, "login": login, "type": "Bot" if bot else "User", "site_admin": False}


def repository(server: GitHubServer, number: int = 1) -> Json:
    mode = server.permissions[BOT_ID]
    rights = {"admin": mode == "admin", "push": mode in {"admin", "write"}, "pull": mode != "none"}
    return {
        "id": number,
        "name": server.name,
        "full_name": f"{server.owner}/{server.name}",
        "private": True,
        "default_branch": "main",
        "permissions": rights,
        "allow_merge_commit": "merge" in server.methods,
        "allow_squash_merge": "squash" in server.methods,
        "allow_rebase_merge": "rebase" in server.methods,
    }


def listed_pull(server: GitHubServer, pull: FakePull) -> Json:
    """As in a list: without who merged it."""
    owner = "stan" if pull.fork else server.owner
    return {
        "id": 1_000 + pull.number,
        "node_id": f"PR_{pull.number}",
        "number": pull.number,
        "title": pull.title,
        "body": pull.body,
        "user": user(server, pull.user),
        "state": pull.state,
        "draft": pull.draft,
        "locked": False,
        "merged_at": server.stamp(pull.updated) if pull.merged else None,
        "merge_commit_sha": pull.merge_sha,
        "closed_at": None if pull.state == "open" else server.stamp(pull.updated),
        "created_at": server.stamp(0.0),
        "updated_at": server.stamp(pull.updated),
        "html_url": f"{WEB}/{server.owner}/{server.name}/pull/{pull.number}",
        "head": {
            "label": f"{owner}:{pull.head}",
            "ref": pull.head,
            "sha": server.head_of(pull),
            "repo": _fork(server, pull) if pull.fork else repository(server),
        },
        "base": {
            "label": f"{server.owner}:{pull.base}",
            "ref": pull.base,
            "sha": server.branches["main"],
            "repo": repository(server),
        },
    }


def pull_by_number(server: GitHubServer, pull: FakePull) -> Json:
    return {
        **listed_pull(server, pull),
        "merged": pull.merged,
        "merged_by": user(server, pull.merged_by) if pull.merged_by else None,
        "comments": sum(c.pull == pull.number for c in server.comments.values()),
        "mergeable": pull.state == "open",
    }


def comment(server: GitHubServer, one: FakeComment) -> Json:
    return {
        "id": one.id,
        "body": one.body,
        "user": user(server, one.user),
        "created_at": server.stamp(one.created),
        "updated_at": server.stamp(one.updated),
        "issue_url": f"{API}/repos/{server.owner}/{server.name}/issues/{one.pull}",
        "performed_via_github_app": None,
    }


def review(server: GitHubServer, one: FakeReview) -> Json:
    return {
        "id": one.id,
        "user": user(server, one.user),
        "body": one.body,
        "state": "DISMISSED" if one.dismissed else one.state,
        "commit_id": one.sha,
        "submitted_at": server.stamp(one.at_s),
    }


def status(server: GitHubServer, raw: Json) -> Json:
    return {**{key: value for key, value in raw.items() if key != "sha"}, "creator": user(server, BOT_ID)}


def _fork(server: GitHubServer, pull: FakePull) -> Json | None:
    """None once the fork is deleted."""
    return None if pull.number in server.deleted_forks else {**repository(server, 2), "full_name": "stan/infra"}
