"""A Gitea of one repository in memory.

It answers what Gitea 1.26 answers: the same conformance suite runs against the real one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httpx2

from controller.forges.forge import ForgeBinding
from controller.forges.gitea import GiteaForge
from tests.controller.forges.fake_forge import SECRET, TOKEN
from tests.controller.forges.fake_repository import FakeComment, FakePull, FakeRepository, FakeReview


class FakeGitea(FakeRepository):
    """The API of Gitea, as far as it is used."""

    prefix = "/api/v1/"

    def binding(self, **config: object) -> ForgeBinding:
        entry = {"kind": "gitea", "url": "https://git.example", "token": TOKEN, "webhook_secret": SECRET, **config}
        return ForgeBinding(
            "infra",
            f"https://git.example/{self.owner}/{self.name}.git",
            "main",
            entry,
            clock=self.clock,
            wall=self.clock.wall,
            sleep=self.clock.sleep,
            jitter=lambda: 0.5,
        )

    def forge(self, binding: ForgeBinding | None = None) -> GiteaForge:
        """A new process of ours that talks to this forge."""
        return GiteaForge.open(binding or self.binding(), transport=httpx2.MockTransport(self.handle))

    # The API.

    def _answer(self, request: httpx2.Request, path: str, query: dict[str, list[str]]) -> httpx2.Response:
        if request.headers.get("Authorization") != f"token {TOKEN}":
            return _refusal(401, f"bad token {request.headers.get('Authorization')}")
        own = f"repos/{self.owner}/{self.name}"
        short = path.replace(own, "REPO", 1) if path.startswith(own) else path
        body = json.loads(request.content) if request.content else {}
        for method, pattern, handler in _ROUTES:
            found = re.fullmatch(pattern, short)
            if found and method == request.method:
                values = [unquote(group) for group in found.groups()]
                extra = {"query": query} if method == "GET" else {"body": body}
                try:
                    return handler(self, *values, **extra)
                except KeyError:
                    return _refusal(404, "The target couldn't be found.")
        return _refusal(404, f"no route {short}")

    def user(self, query: Any) -> httpx2.Response:
        return _ok(self._user(1))

    def search_users(self, query: dict[str, list[str]]) -> httpx2.Response:
        wanted = int(query["uid"][0])
        return _ok({"ok": True, "data": [self._user(wanted)] if wanted in self.users else []})

    def repo(self, query: Any) -> httpx2.Response:
        mode = self.permissions[1]
        rights = {"admin": mode == "admin", "push": mode in {"admin", "write"}, "pull": mode != "none"}
        return _ok(
            {
                "id": 1,
                "full_name": f"{self.owner}/{self.name}",
                "permissions": rights,
                "default_merge_style": "merge",
                "allow_merge_commits": True,
                "allow_squash_merge": True,
            }
        )

    def list_pulls(self, query: dict[str, list[str]]) -> httpx2.Response:
        state = query.get("state", ["open"])[0]
        base = query.get("base_branch", [""])[0]
        pulls = [p for p in self.pulls.values() if state in (p.state, "all") and base in ("", p.base)]
        newest_first = sorted(pulls, key=lambda p: (-p.updated, -p.number))
        return self._page([self._pull(p) for p in newest_first], query)

    def create_pull(self, body: dict[str, Any]) -> httpx2.Response:
        if any(p.head == body["head"] and p.state == "open" for p in self.pulls.values()):
            return _refusal(409, "pull request already exists for these targets")
        if body["head"] not in self.branches:
            return _refusal(404, "head not found")
        return _ok(self._pull(self.pulls[self.add_pull(body["head"], 1, body["title"], body["body"])]), 201)

    def get_pull(self, number: str, query: Any) -> httpx2.Response:
        return _ok(self._pull(self.pulls[int(number)]))

    def edit_pull(self, number: str, body: dict[str, Any]) -> httpx2.Response:
        pull = self.pulls[int(number)]
        pull.state = body["state"]
        pull.updated = self.clock.now_s
        return _ok(self._pull(pull), 201)

    def merge_pull(self, number: str, body: dict[str, Any]) -> httpx2.Response:
        pull = self.pulls[int(number)]
        if self.checking_merge:
            self.checking_merge -= 1
            return _refusal(405, "Please try again later")
        if pull.merged:
            return _refusal(405, "The PR is already merged")
        if body.get("head_commit_id") not in (None, self.branches[pull.head]):
            return _refusal(409, "head out of date")
        self.merge(pull.number, 1)
        return httpx2.Response(200)

    def list_reviews(self, number: str, query: dict[str, list[str]]) -> httpx2.Response:
        return self._page([self._review(review) for review in self.pulls[int(number)].reviews], query)

    def create_review(self, number: str, body: dict[str, Any]) -> httpx2.Response:
        pull = self.pulls[int(number)]
        if pull.user == 1:
            return _refusal(422, "approve your own pull is not allowed")
        return _ok(self._review(self.review(pull.number, 1, body["event"], body["commit_id"], body["body"])))

    def list_comments(self, number: str, query: dict[str, list[str]]) -> httpx2.Response:
        pull = self.pulls.get(int(number))
        if pull is None:
            return _refusal(500, "")  # Gitea does so
        listed = [self._comment(c) for c in self.comments.values() if c.pull == pull.number]
        return _ok(listed, headers={"X-Total-Count": str(len(listed))})  # Gitea does not page these

    def create_comment(self, number: str, body: dict[str, Any]) -> httpx2.Response:
        pull = self.pulls[int(number)]
        if len(body["body"]) > self.comment_chars_max:
            return _refusal(422, "comment is too long")
        return _ok(self._comment(self.comments[self.say(pull.number, 1, body["body"])]), 201)

    def get_comment(self, comment_id: str, query: Any) -> httpx2.Response:
        return _ok(self._comment(self.comments[int(comment_id)]))

    def edit_comment(self, comment_id: str, body: dict[str, Any]) -> httpx2.Response:
        comment = self.comments[int(comment_id)]
        if len(body["body"]) > self.comment_chars_max:
            return _refusal(422, "comment is too long")
        comment.body, comment.updated = body["body"], self.clock.now_s
        return _ok(self._comment(comment))

    def delete_comment(self, comment_id: str, body: Any) -> httpx2.Response:
        del self.comments[int(comment_id)]
        return httpx2.Response(204)

    def add_reaction(self, comment_id: str, body: dict[str, Any]) -> httpx2.Response:
        reactions = self.comments[int(comment_id)].reactions
        there = (1, body["content"]) in reactions
        reactions.add((1, body["content"]))
        return _ok({"content": body["content"]}, 200 if there else 201)

    def create_status(self, sha: str, body: dict[str, Any]) -> httpx2.Response:
        if sha not in self.commits:
            return _refusal(500, "object does not exist")
        status = {"id": next(self._ids), "sha": sha, "status": body["state"], **body}
        self.statuses.append(status)
        return _ok(status, 201)

    def list_statuses(self, sha: str, query: dict[str, list[str]]) -> httpx2.Response:
        return self._page([s for s in reversed(self.statuses) if s["sha"] == sha], query)

    def get_commit(self, sha: str, query: Any) -> httpx2.Response:
        return _ok({"sha": sha}) if sha in self.commits else _refusal(404, "no such commit")

    def permission(self, login: str, query: Any) -> httpx2.Response:
        if self.permissions[1] != "admin":
            return _refusal(403, "Only admins can query all permissions")
        number = next((n for n, name in self.users.items() if name == login), None)
        if number is None:
            return _refusal(404, "user does not exist")
        return _ok({"permission": self.permissions[number], "user": self._user(number)})

    def list_teams(self, query: Any) -> httpx2.Response:
        if not self.organization:
            return _refusal(405, "repo is not owned by an organization")
        return _ok([{"id": number, "name": name} for number, (name, _) in self.teams.items()])

    def get_team(self, team: str, query: Any) -> httpx2.Response:
        return _ok({"id": int(team), "name": self.teams[int(team)][0]})

    def team_member(self, team: str, login: str, query: Any) -> httpx2.Response:
        members = self.teams[int(team)][1]
        number = next((n for n in members if self.users[n] == login), None)
        return _refusal(404, "not a member") if number is None else _ok(self._user(number))

    def list_hooks(self, query: dict[str, list[str]]) -> httpx2.Response:
        return self._page(list(self.hooks.values()), query)

    def create_hook(self, body: dict[str, Any]) -> httpx2.Response:
        number = next(self._ids)
        self.hooks[number] = {"id": number, **body}
        return _ok(self.hooks[number], 201)

    def edit_hook(self, hook: str, body: dict[str, Any]) -> httpx2.Response:
        self.hooks[int(hook)].update(body)
        return _ok(self.hooks[int(hook)])

    def delete_hook(self, hook: str, body: Any) -> httpx2.Response:
        del self.hooks[int(hook)]
        return httpx2.Response(204)

    def get_protection(self, branch: str, query: Any) -> httpx2.Response:
        return _ok(self.protections[branch])

    def create_protection(self, body: dict[str, Any]) -> httpx2.Response:
        self.protections[body["rule_name"]] = dict(body)
        return _ok(body, 201)

    def edit_protection(self, branch: str, body: dict[str, Any]) -> httpx2.Response:
        self.protections[branch].update(body)
        return _ok(self.protections[branch])

    # Shapes.

    def _page(self, items: list[dict[str, Any]], query: dict[str, list[str]]) -> httpx2.Response:
        size = min(int(query.get("limit", ["30"])[0]), self.page_size)
        start = (int(query.get("page", ["1"])[0]) - 1) * size
        return _ok(items[start : start + size], headers={"X-Total-Count": str(len(items))})

    def _user(self, number: int) -> dict[str, Any]:
        return {"id": number, "login": self.users.get(number, "Ghost")}

    def _pull(self, pull: FakePull) -> dict[str, Any]:
        gone = pull.head not in self.branches
        return {
            "id": 1000 + pull.number,
            "number": pull.number,
            "title": pull.title,
            "body": pull.body,
            "user": self._user(pull.user),
            "state": pull.state,
            "draft": False,
            "merged": pull.merged,
            "merge_commit_sha": pull.merge_sha,
            "merged_by": self._user(pull.merged_by) if pull.merged_by else None,
            "html_url": f"https://git.example/{self.owner}/{self.name}/pulls/{pull.number}",
            "updated_at": self.stamp(pull.updated),
            "comments": sum(c.pull == pull.number for c in self.comments.values()),
            "base": {"label": pull.base, "ref": pull.base, "sha": self.branches["main"], "repo_id": 1},
            "head": {
                "label": pull.head,
                "ref": f"refs/pull/{pull.number}/head" if gone else pull.head,
                "sha": self.branches.get(pull.head, "0" * 40),
                "repo_id": 2 if pull.fork else 1,
            },
        }

    def _comment(self, comment: FakeComment) -> dict[str, Any]:
        return {
            "id": comment.id,
            "body": comment.body,
            "user": self._user(comment.user),
            "created_at": self.stamp(comment.created),
            "updated_at": self.stamp(comment.updated),
            "issue_url": "",
            "pull_request_url": f"https://git.example/{self.owner}/{self.name}/pulls/{comment.pull}",
        }

    def _review(self, review: FakeReview) -> dict[str, Any]:
        return {
            "id": review.id,
            "user": self._user(review.user),
            "state": review.state,
            "commit_id": review.sha,
            "dismissed": review.dismissed,
            "body": review.body,
        }


def _ok(body: object, code: int = 200, headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.Response(code, json=body, headers=headers)


def _refusal(code: int, message: str) -> httpx2.Response:
    return httpx2.Response(code, json={"message": message, "url": "https://git.example/api/swagger"})


_N = r"(\d+)"
_W = r"([^/]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., httpx2.Response]], ...] = (
    ("GET", "user", FakeGitea.user),
    ("GET", "users/search", FakeGitea.search_users),
    ("GET", "REPO", FakeGitea.repo),
    ("GET", "REPO/pulls", FakeGitea.list_pulls),
    ("POST", "REPO/pulls", FakeGitea.create_pull),
    ("GET", f"REPO/pulls/{_N}", FakeGitea.get_pull),
    ("PATCH", f"REPO/pulls/{_N}", FakeGitea.edit_pull),
    ("POST", f"REPO/pulls/{_N}/merge", FakeGitea.merge_pull),
    ("GET", f"REPO/pulls/{_N}/reviews", FakeGitea.list_reviews),
    ("POST", f"REPO/pulls/{_N}/reviews", FakeGitea.create_review),
    ("GET", f"REPO/issues/{_N}/comments", FakeGitea.list_comments),
    ("POST", f"REPO/issues/{_N}/comments", FakeGitea.create_comment),
    ("GET", f"REPO/issues/comments/{_N}", FakeGitea.get_comment),
    ("PATCH", f"REPO/issues/comments/{_N}", FakeGitea.edit_comment),
    ("DELETE", f"REPO/issues/comments/{_N}", FakeGitea.delete_comment),
    ("POST", f"REPO/issues/comments/{_N}/reactions", FakeGitea.add_reaction),
    ("POST", f"REPO/statuses/{_W}", FakeGitea.create_status),
    ("GET", f"REPO/commits/{_W}/statuses", FakeGitea.list_statuses),
    ("GET", f"REPO/git/commits/{_W}", FakeGitea.get_commit),
    ("GET", f"REPO/collaborators/{_W}/permission", FakeGitea.permission),
    ("GET", "REPO/teams", FakeGitea.list_teams),
    ("GET", f"teams/{_N}", FakeGitea.get_team),
    ("GET", f"teams/{_N}/members/{_W}", FakeGitea.team_member),
    ("GET", "REPO/hooks", FakeGitea.list_hooks),
    ("POST", "REPO/hooks", FakeGitea.create_hook),
    ("PATCH", f"REPO/hooks/{_N}", FakeGitea.edit_hook),
    ("DELETE", f"REPO/hooks/{_N}", FakeGitea.delete_hook),
    ("GET", f"REPO/branch_protections/{_W}", FakeGitea.get_protection),
    ("POST", "REPO/branch_protections", FakeGitea.create_protection),
    ("PATCH", f"REPO/branch_protections/{_W}", FakeGitea.edit_protection),
)
