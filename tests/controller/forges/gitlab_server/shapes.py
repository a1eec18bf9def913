"""State → JSON, by the names of the types in GitLab's own client. What nothing here has a state for is left out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.controller.forges.fake_forge import WALL_0
from tests.controller.forges.fake_repository import FakeComment, FakePull

if TYPE_CHECKING:
    from tests.controller.forges.gitlab_server.server import GitLabServer

Json = dict[str, Any]
BOT_ID = 1
LEVELS = {"none": 0, "read": 20, "write": 30, "admin": 40}
WEB = "https://git.example"


def stamp(at_s: float) -> str:
    """With milliseconds."""
    return datetime.fromtimestamp(WALL_0 + at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def user(server: GitLabServer, number: int) -> Json:
    """What was written by an account that is gone belongs to the ghost."""
    name = server.users.get(number, "ghost")
    return {"id": number, "username": name, "name": name, "state": "active"}


def project(server: GitLabServer) -> Json:
    level = LEVELS[server.permissions[BOT_ID]]
    kind = "group" if server.organization else "user"
    return {
        "id": 1,
        "name": server.name,
        "path_with_namespace": f"{server.owner}/{server.name}",
        "default_branch": "main",
        "namespace": {"id": 7, "name": server.owner, "kind": kind, "full_path": server.owner},
        "permissions": {"project_access": {"access_level": level}, "group_access": None},
        "shared_with_groups": [
            {"group_id": number, "group_name": name, "group_full_path": name, "group_access_level": 30}
            for number, (name, _) in server.teams.items()
            if number != 7
        ],
        "merge_trains_enabled": server.train is not None,
        "only_allow_merge_if_pipeline_succeeds": server.pipelines_must_succeed,
    }


def merge_request(server: GitLabServer, pull: FakePull) -> Json:
    state = "merged" if pull.merged else {"open": "opened"}.get(pull.state, pull.state)
    merger = user(server, pull.merged_by) if pull.merged_by else None
    return {
        "id": 9_000 + pull.number,
        "iid": pull.number,
        "project_id": 1,
        "title": pull.title,
        "description": pull.body,
        "author": user(server, pull.user),
        "state": state,
        "draft": pull.draft,
        "sha": server.head_of(pull) or None,
        "target_branch": pull.base,
        "source_branch": pull.head,
        "source_project_id": 2 if pull.fork else 1,
        "target_project_id": 1,
        "merge_commit_sha": pull.merge_sha,
        "squash_commit_sha": None,
        "merge_user": merger,
        "web_url": f"{WEB}/{server.owner}/{server.name}/-/merge_requests/{pull.number}",
        "created_at": stamp(0.0),
        "updated_at": stamp(pull.updated),
        "user_notes_count": sum(c.pull == pull.number for c in server.comments.values()),
        "detailed_merge_status": "checking" if server.checking_merge else "mergeable",
    }


def note(server: GitLabServer, one: FakeComment) -> Json:
    return {
        "id": one.id,
        "body": one.body,
        "author": user(server, one.user),
        "system": one.id in server.system_notes,
        "created_at": stamp(one.created),
        "updated_at": stamp(one.updated),
        "noteable_id": 9_000 + one.pull,
        "noteable_type": "MergeRequest",
        "noteable_iid": one.pull,
    }


def status(server: GitLabServer, raw: Json) -> Json:
    return {
        "id": raw["id"],
        "sha": raw["sha"],
        "ref": "main",
        "name": raw["context"],
        "status": raw["gitlab"],
        "description": raw["description"],
        "target_url": raw["target_url"] or "",
        "author": user(server, BOT_ID),
    }


def member(server: GitLabServer, number: int, level: int) -> Json:
    return {**user(server, number), "state": server.member_states.get(number, "active"), "access_level": level}
