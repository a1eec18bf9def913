"""What each path of the API does to the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from tests.controller.forges.api import Call, Json, NotFound, Routes, answer, paged
from tests.controller.forges.fake_repository import FakeComment, FakePull
from tests.controller.forges.github_server import shapes
from tests.controller.forges.github_server.refusals import invalid, refusal

if TYPE_CHECKING:
    from tests.controller.forges.github_server.server import GitHubServer

_CONTENTS = frozenset({"+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"})
_DESCRIPTION_MOST = 140


def get_user(server: GitHubServer, call: Call) -> httpx2.Response:
    return answer(shapes.user(server, shapes.BOT_ID), headers=server.scope_headers())


def user_by_id(server: GitHubServer, call: Call) -> httpx2.Response:
    return _known(shapes.user(server, call.number))


def user_by_login(server: GitHubServer, call: Call) -> httpx2.Response:
    users = [shapes.user(server, number) for number in server.users]
    return _known(next((one for one in users if one and one["login"] == call.values[0]), None))


def get_repository(server: GitHubServer, call: Call) -> httpx2.Response:
    return answer(shapes.repository(server), headers=server.scope_headers())


def list_pulls(server: GitHubServer, call: Call) -> httpx2.Response:
    state, base, head = (
        call.query.get(key, default) for key, default in (("state", "open"), ("base", ""), ("head", ""))
    )
    found = [
        pull
        for pull in server.pulls.values()
        if state in (pull.state, "all")
        and base in ("", pull.base)
        and head in ("", f"{'stan' if pull.fork else server.owner}:{pull.head}")
    ]
    newest = sorted(found, key=lambda pull: (-pull.updated, -pull.number))
    return paged(
        [shapes.listed_pull(server, pull) for pull in newest], call, f"{server.url}/pulls", most=server.page_size
    )


def create_pull(server: GitHubServer, call: Call) -> httpx2.Response:
    head = str(call.body["head"])
    if head not in server.branches:
        return invalid("PullRequest", "head", "invalid")
    if any(p.head == head and p.state == "open" and not p.fork for p in server.pulls.values()):
        return invalid("PullRequest", None, "custom", f"A pull request already exists for {server.owner}:{head}.")
    number = server.add_pull(head, shapes.BOT_ID, call.body["title"], call.body.get("body", ""))
    return answer(shapes.pull_by_number(server, server.pulls[number]), 201)


def get_pull(server: GitHubServer, call: Call) -> httpx2.Response:
    return answer(shapes.pull_by_number(server, _pull(server, call)))


def edit_pull(server: GitHubServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    pull.state, pull.updated = call.body.get("state", pull.state), server.clock.now_s
    return answer(shapes.pull_by_number(server, pull))


def merge_pull(server: GitHubServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    if server.merge_queue:
        return refusal(405, "Repository rule violations found\n\nChanges must be made through the merge queue")
    if server.checking_merge:
        server.checking_merge -= 1
        return refusal(405, "Base branch was modified. Review and try the merge again.")
    if pull.state != "open" or pull.draft:
        return refusal(405, "Pull Request is not mergeable")
    if call.body.get("merge_method", "merge") not in server.methods:
        return refusal(405, "Merge method is not allowed on this repository")
    if call.body.get("sha") not in (None, server.head_of(pull)):
        return refusal(409, "Head branch was modified. Review and try the merge again.")
    return answer({"sha": server.merge(pull.number, shapes.BOT_ID), "merged": True, "message": "merged"})


def graphql(server: GitHubServer, call: Call) -> httpx2.Response:
    """The one mutation that is used."""
    number = int(str(call.body["variables"]["pull"]).removeprefix("PR_"))
    if number in server.queued:
        return answer({"data": {}, "errors": [{"message": "Pull request is already in the queue"}]})
    if call.body["variables"]["head"] != server.head_of(server.pulls[number]):
        return answer({"data": {}, "errors": [{"message": "Head sha does not match"}]})
    server.queued.append(number)
    return answer({"data": {"enqueuePullRequest": {"mergeQueueEntry": {"state": "QUEUED"}}}})


def list_reviews(server: GitHubServer, call: Call) -> httpx2.Response:
    reviews = [shapes.review(server, review) for review in _pull(server, call).reviews]
    return paged(reviews, call, f"{server.url}/pulls/{call.number}/reviews", most=server.page_size)


def create_review(server: GitHubServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    if pull.user == shapes.BOT_ID:
        return refusal(422, "Unprocessable Entity", ["Can not approve your own pull request"])
    made = server.review(pull.number, shapes.BOT_ID, "APPROVED", call.body["commit_id"], call.body.get("body", ""))
    return answer(shapes.review(server, made))


def list_comments(server: GitHubServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    return paged(
        [shapes.comment(server, one) for one in server.visible_comments(pull.number)],
        call,
        f"{server.url}/issues/{pull.number}/comments",
        most=server.page_size,
    )


def create_comment(server: GitHubServer, call: Call) -> httpx2.Response:
    pull = _pull(server, call)
    too_long = _too_long(server, call.body)
    if too_long:
        return too_long
    made = server.comments[server.say(pull.number, shapes.BOT_ID, call.body["body"])]
    server.hide(made)
    return answer(shapes.comment(server, made), 201)


def get_comment(server: GitHubServer, call: Call) -> httpx2.Response:
    return answer(shapes.comment(server, _comment(server, call)))


def edit_comment(server: GitHubServer, call: Call) -> httpx2.Response:
    comment = _comment(server, call)
    if comment.user != shapes.BOT_ID and server.permissions[shapes.BOT_ID] != "admin":
        return refusal(403, "Must have admin rights to Repository.")
    too_long = _too_long(server, call.body)
    if too_long:
        return too_long
    comment.body, comment.updated = call.body["body"], server.clock.now_s
    return answer(shapes.comment(server, comment))


def delete_comment(server: GitHubServer, call: Call) -> httpx2.Response:
    del server.comments[_comment(server, call).id]
    return httpx2.Response(204)


def react(server: GitHubServer, call: Call) -> httpx2.Response:
    comment, content = _comment(server, call), call.body["content"]
    if content not in _CONTENTS:
        return invalid("Reaction", "content", "invalid")
    there = (shapes.BOT_ID, content) in comment.reactions
    comment.reactions.add((shapes.BOT_ID, content))
    made = {"id": 1, "content": content, "user": shapes.user(server, shapes.BOT_ID)}
    return answer({**made, "created_at": server.stamp(server.clock.now_s)}, 200 if there else 201)


def create_status(server: GitHubServer, call: Call) -> httpx2.Response:
    sha = call.values[0]
    if sha not in server.commits:
        return refusal(422, f"No commit found for SHA: {sha}")
    if len(call.body.get("description") or "") > _DESCRIPTION_MOST:
        return invalid("Status", "description", "custom", "description is too long (maximum is 140 characters)")
    status = {"id": server.new_id(), "sha": sha, "target_url": None, **call.body}
    server.statuses.append(status)
    return answer(shapes.status(server, status), 201)


def list_statuses(server: GitHubServer, call: Call) -> httpx2.Response:
    sha = call.values[0]
    found = [shapes.status(server, raw) for raw in reversed(server.statuses) if raw["sha"] == sha]
    return paged(found, call, f"{server.url}/commits/{sha}/statuses", most=server.page_size)


def permission(server: GitHubServer, call: Call) -> httpx2.Response:
    number = next((n for n, name in server.users.items() if name == call.values[0]), None)
    if number is None:
        raise NotFound
    mode = server.permissions[number]
    return answer({"permission": mode, "role_name": mode, "user": shapes.user(server, number)})


def list_teams(server: GitHubServer, call: Call) -> httpx2.Response:
    teams = [{"id": n, "name": name, "slug": name} for n, (name, _) in server.teams.items()]
    return paged(teams if server.organization else [], call, f"{server.url}/teams")


def team_members(server: GitHubServer, call: Call) -> httpx2.Response:
    return answer([shapes.user(server, number) for number in _team(server, call.values[1])])


def team_membership(server: GitHubServer, call: Call) -> httpx2.Response:
    if call.values[2] not in {server.users[number] for number in _team(server, call.values[1])}:
        raise NotFound
    state = "pending" if call.values[2] in server.invited else "active"
    return answer({"url": f"{shapes.API}/teams/1/memberships/x", "role": "member", "state": state})


def _team(server: GitHubServer, slug: str) -> set[int]:
    if slug in server.unread_teams:
        raise NotFound
    found = next((members for name, members in server.teams.values() if name == slug), None)
    if found is None:
        raise NotFound
    return found


def _pull(server: GitHubServer, call: Call) -> FakePull:
    if call.number not in server.pulls:
        raise NotFound
    return server.pulls[call.number]


def _comment(server: GitHubServer, call: Call) -> FakeComment:
    if call.number not in server.comments:
        raise NotFound
    return server.comments[call.number]


def _too_long(server: GitHubServer, body: Json) -> httpx2.Response | None:
    if len(body["body"]) <= server.comment_chars_max:
        return None
    return invalid("IssueComment", "body", "unprocessable", "Body is too long (maximum is 65536 characters)")


def _known(user: Json | None) -> httpx2.Response:
    if user is None:
        raise NotFound
    return answer(user)


_N = r"(\d+)"
_W = r"([^/]+)"
ROUTES: Routes[GitHubServer] = (
    ("GET", "user", get_user),
    ("GET", f"user/{_N}", user_by_id),
    ("GET", f"users/{_W}", user_by_login),
    ("GET", "REPO", get_repository),
    ("GET", "REPO/pulls", list_pulls),
    ("POST", "REPO/pulls", create_pull),
    ("GET", f"REPO/pulls/{_N}", get_pull),
    ("PATCH", f"REPO/pulls/{_N}", edit_pull),
    ("PUT", f"REPO/pulls/{_N}/merge", merge_pull),
    ("POST", "graphql", graphql),
    ("GET", f"REPO/pulls/{_N}/reviews", list_reviews),
    ("POST", f"REPO/pulls/{_N}/reviews", create_review),
    ("GET", f"REPO/issues/{_N}/comments", list_comments),
    ("POST", f"REPO/issues/{_N}/comments", create_comment),
    ("GET", f"REPO/issues/comments/{_N}", get_comment),
    ("PATCH", f"REPO/issues/comments/{_N}", edit_comment),
    ("DELETE", f"REPO/issues/comments/{_N}", delete_comment),
    ("POST", f"REPO/issues/comments/{_N}/reactions", react),
    ("POST", f"REPO/statuses/{_W}", create_status),
    ("GET", f"REPO/commits/{_W}/statuses", list_statuses),
    ("GET", f"REPO/collaborators/{_W}/permission", permission),
    ("GET", "REPO/teams", list_teams),
    ("GET", f"orgs/{_W}/teams/{_W}/members", team_members),
    ("GET", f"orgs/{_W}/teams/{_W}/memberships/{_W}", team_membership),
)
