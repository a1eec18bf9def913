"""What each path of the API does to the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from tests.controller.forges.api import Call, Json, NotFound, Routes, answer, paged
from tests.controller.forges.fake_repository import FakeComment, FakePull
from tests.controller.forges.gitlab_server import shapes
from tests.controller.forges.gitlab_server.actions import acted_on

if TYPE_CHECKING:
    from tests.controller.forges.gitlab_server.server import GitLabServer

_NOTE_CHARS_MOST = 1_000_000
_STATES = {"opened": "open", "closed": "closed"}


def refusal(code: int, message: object) -> httpx2.Response:
    return answer({"message": message}, code)


def get_user(server: GitLabServer, call: Call) -> httpx2.Response:
    return answer(shapes.user(server, shapes.BOT_ID))


def own_token(server: GitLabServer, call: Call) -> httpx2.Response:
    return answer({"id": 1, "name": "alma", "scopes": server.scopes, "active": True, "user_id": shapes.BOT_ID})


def get_project(server: GitLabServer, call: Call) -> httpx2.Response:
    return answer(shapes.project(server))


def list_requests(server: GitLabServer, call: Call) -> httpx2.Response:
    wanted = call.query.get("state", "all")
    found = [
        pull
        for pull in server.pulls.values()
        if wanted in ("all", shapes.merge_request(server, pull)["state"])
        and call.query.get("target_branch", pull.base) == pull.base
        and call.query.get("source_branch", pull.head) == pull.head
    ]
    newest = sorted(found, key=lambda pull: (-pull.updated, -pull.number))
    return paged([shapes.merge_request(server, pull) for pull in newest], call, f"{server.url}/merge_requests")


def create_request(server: GitLabServer, call: Call) -> httpx2.Response:
    head = call.body["source_branch"]
    if head not in server.branches:
        return refusal(400, {"source_branch": ["does not exist"]})
    if any(p.head == head and p.state == "open" and not p.fork for p in server.pulls.values()):
        return refusal(409, ["Another open merge request already exists for this source branch: !1"])
    text, actions = acted_on(call.body.get("description", ""))
    server.acted += actions
    number = server.add_pull(head, shapes.BOT_ID, call.body["title"], text)
    return answer(shapes.merge_request(server, server.pulls[number]), 201)


def get_request(server: GitLabServer, call: Call) -> httpx2.Response:
    shown = shapes.merge_request(server, _pull(server, call))
    server.checking_merge = max(0, server.checking_merge - 1)
    return answer(shown)


def edit_request(server: GitLabServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    if call.body.get("state_event") == "close":
        pull.state = "closed"
    pull.updated = server.clock.now_s
    return answer(shapes.merge_request(server, pull))


def merge_request(server: GitLabServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    if pull.state != "open" or pull.draft or server.train is not None:
        return refusal(405, "405 Method Not Allowed")
    if call.body.get("sha") not in (None, server.head_of(pull)):
        return refusal(409, "SHA does not match HEAD of source branch: x")
    server.merge(pull.number, shapes.BOT_ID)
    return answer(shapes.merge_request(server, pull))


def add_to_train(server: GitLabServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    if server.train is None:
        raise NotFound
    if call.body.get("sha") != server.head_of(pull):
        return refusal(409, "SHA does not match HEAD of source branch: x")
    server.train.append(pull.number)
    return answer([], 201)


def approve(server: GitLabServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    if call.body.get("sha") not in (None, server.head_of(pull)):
        return refusal(409, "SHA does not match HEAD of source branch: x")
    if pull.user == shapes.BOT_ID:
        return refusal(401, "401 Unauthorized")
    server.review(pull.number, shapes.BOT_ID, "APPROVED", server.head_of(pull))
    return answer(_approvals(server, pull), 201)


def approvals(server: GitLabServer, call: Call) -> httpx2.Response:
    return answer(_approvals(server, _pull(server, call)))


def versions(server: GitLabServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    listed = [
        {"id": index + 1, "head_commit_sha": sha, "created_at": shapes.stamp(at_s)}
        for index, (branch, sha, at_s) in enumerate(server.pushes)
        if branch == pull.head
    ]
    return paged(listed[::-1], call, f"{server.url}/versions")


def reviewers(server: GitLabServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    states = [(n, "requested_changes") for n in sorted(server.objecting.get(pull.number, ()))]
    return answer([{"user": shapes.user(server, number), "state": state} for number, state in states])


def list_notes(server: GitLabServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    notes = [shapes.note(server, one) for one in server.visible_comments(pull.number)]
    return paged(notes, call, f"{server.url}/merge_requests/{pull.number}/notes")


def create_note(server: GitLabServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    if len(call.body["body"]) > _NOTE_CHARS_MOST:
        return refusal(400, {"note": ["is too long (maximum is 1000000 characters)"]})
    text, actions = acted_on(call.body["body"])
    server.acted += actions
    if not text:
        return answer({"commands_changes": {}, "summary": []}, 202)
    made = server.comments[server.say(pull.number, shapes.BOT_ID, text)]
    server.hide(made)
    return answer(shapes.note(server, made), 201)


def get_note(server: GitLabServer, call: Call) -> httpx2.Response:
    return answer(shapes.note(server, _note(server, call)))


def edit_note(server: GitLabServer, call: Call) -> httpx2.Response:
    note = _note(server, call)
    if note.user != shapes.BOT_ID and server.permissions[shapes.BOT_ID] != "admin":
        return refusal(403, "403 Forbidden")
    text, actions = acted_on(call.body["body"])
    server.acted += actions
    note.body, note.updated = text, server.clock.now_s
    return answer(shapes.note(server, note))


def delete_note(server: GitLabServer, call: Call) -> httpx2.Response:
    del server.comments[_note(server, call).id]
    return httpx2.Response(204)


def award(server: GitLabServer, call: Call) -> httpx2.Response:
    note, name = _note(server, call), call.body["name"]
    if (shapes.BOT_ID, name) in note.reactions:
        return refusal(404, "404 Award Emoji Name has already been taken Not Found")
    note.reactions.add((shapes.BOT_ID, name))
    return answer({"id": 1, "name": name, "user": shapes.user(server, shapes.BOT_ID)}, 201)


def create_status(server: GitLabServer, call: Call) -> httpx2.Response:
    sha, body = call.values[0], call.body
    if sha not in server.commits:
        return refusal(404, "404 Commit Not Found")
    before = [s for s in server.statuses if s["sha"] == sha and s["context"] == body["name"]]
    if before and before[-1]["gitlab"] == "pending" == body["state"]:
        why = 'Reason(s): Status cannot transition via "enqueue"'
        return refusal(400, f"Cannot transition status via :enqueue from :pending ({why})")
    made: Json = {
        "id": server.new_id(),
        "sha": sha,
        "context": body["name"],
        "gitlab": body["state"],
        "state": _told(body["state"], body["description"]),
        "description": body["description"].removeprefix("error: "),
        "target_url": body.get("target_url"),
    }
    server.statuses.append(made)
    return answer({**shapes.status(server, made), "description": body["description"]}, 201)


def list_statuses(server: GitLabServer, call: Call) -> httpx2.Response:
    sha, name = call.values[0], call.query.get("name")
    found = [shapes.status(server, s) for s in server.statuses if s["sha"] == sha and name in (None, s["context"])]
    return paged(found[::-1], call, f"{server.url}/statuses")


def project_member(server: GitLabServer, call: Call) -> httpx2.Response:
    level = shapes.LEVELS.get(server.permissions.get(call.number, "none"), 0)
    if call.number not in server.users or not level:
        raise NotFound
    return answer(shapes.member(server, call.number, level))


def group_member(server: GitLabServer, call: Call) -> httpx2.Response:
    group, number = int(call.values[0]), int(call.values[1])
    if number not in server.teams.get(group, ("", set[int]()))[1]:
        raise NotFound
    return answer(shapes.member(server, number, 30))


def _told(state: str, description: str) -> str:
    """Back into the words of the contract, for who looks at what was written."""
    words = {"pending": "pending", "success": "success", "failed": "failure"}
    return "error" if description.startswith("error: ") else words[state]


def _approvals(server: GitLabServer, pull: FakePull) -> Json:
    last = {review.user: review for review in pull.reviews if not review.dismissed}
    given = [
        {"user": shapes.user(server, number), "approved_at": shapes.stamp(review.at_s)}
        for number, review in last.items()
    ]
    return {"approved": bool(given), "user_has_approved": shapes.BOT_ID in last, "approved_by": given}


def _pull(server: GitLabServer, call: Call) -> FakePull:
    if call.number not in server.pulls:
        raise NotFound
    return server.pulls[call.number]


def _note(server: GitLabServer, call: Call) -> FakeComment:
    note = server.comments.get(int(call.values[1]))
    if note is None or note.pull != call.number:
        raise NotFound
    return note


_N, _W, _MR = r"(\d+)", r"([^/]+)", r"PROJECT/merge_requests/(\d+)"
ROUTES: Routes[GitLabServer] = (
    ("GET", "user", get_user),
    ("GET", "personal_access_tokens/self", own_token),
    ("GET", "PROJECT", get_project),
    ("GET", "PROJECT/merge_requests", list_requests),
    ("POST", "PROJECT/merge_requests", create_request),
    ("GET", _MR, get_request),
    ("PUT", _MR, edit_request),
    ("PUT", f"{_MR}/merge", merge_request),
    ("POST", f"PROJECT/merge_trains/merge_requests/{_N}", add_to_train),
    ("POST", f"{_MR}/approve", approve),
    ("GET", f"{_MR}/approvals", approvals),
    ("GET", f"{_MR}/versions", versions),
    ("GET", f"{_MR}/reviewers", reviewers),
    ("GET", f"{_MR}/notes", list_notes),
    ("POST", f"{_MR}/notes", create_note),
    ("GET", f"{_MR}/notes/{_N}", get_note),
    ("PUT", f"{_MR}/notes/{_N}", edit_note),
    ("DELETE", f"{_MR}/notes/{_N}", delete_note),
    ("POST", f"{_MR}/notes/{_N}/award_emoji", award),
    ("POST", f"PROJECT/statuses/{_W}", create_status),
    ("GET", f"PROJECT/repository/commits/{_W}/statuses", list_statuses),
    ("GET", f"PROJECT/members/all/{_N}", project_member),
    ("GET", f"groups/{_N}/members/all/{_N}", group_member),
)
