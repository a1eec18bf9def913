"""PURE: what Gitea and Forgejo write as JSON, into the words of the contract. Raises the fault of the document."""

from __future__ import annotations

from collections.abc import Iterable

from controller.forges.event_fields import agreed, branch_hint
from controller.forges.forge import Account, Approval, Comment, ForgeHint, Permission, PullRequest, PullState
from controller.forges.json_reader import Json

_VERDICTS = frozenset({"APPROVED", "REQUEST_CHANGES"})
_PERMISSIONS = {
    "none": Permission.NONE,
    "read": Permission.READ,
    "write": Permission.WRITE,
    "admin": Permission.ADMIN,
    "owner": Permission.ADMIN,
}
_PULL_EVENTS = frozenset({"pull_request", "pull_request_approved", "pull_request_rejected", "pull_request_comment"})


def account(user: Json, own_id: int) -> Account:
    """Ids below 1 are the forge's own: its ghost of a deleted user, its actions."""
    number = user["id"].integer()
    return Account(str(number), user["login"].text(), bot=number == own_id or number < 1)


def pull_request(raw: Json, own_id: int) -> PullRequest:
    head, base = raw["head"].object(), raw["base"].object()
    merged = raw["merged"].flag()
    return PullRequest(
        number=raw["number"].number(),
        title=raw["title"].text(),
        author=account(raw["user"].object(), own_id),
        base=base["ref"].text(),
        head=_head_branch(head),
        head_sha=head["sha"].text(),
        state=_state(raw, merged),
        merge_sha=raw["merge_commit_sha"].text() if merged else None,
        fork=head["repo_id"].integer() != base["repo_id"].integer(),
        draft=raw["draft"].flag(),
        url=raw["html_url"].text(),
        merged_by=account(raw["merged_by"], own_id) if merged and raw["merged_by"].present else None,
        # Its stamp has whole seconds; a second comment within one must show too.
        updated=f"{raw['updated_at'].text()} {raw['comments'].integer()}",
    )


def comment(raw: Json, own_id: int) -> Comment:
    created = raw["created_at"].text()
    return Comment(
        id=str(raw["id"].number()),
        author=account(raw["user"].object(), own_id),
        body=raw["body"].text(),
        created=created,
        edited=raw["updated_at"].text() != created,
    )


def approvals(reviews: Iterable[Json], own_id: int) -> tuple[Approval, ...]:
    """Each account's last word, where that is an approval nobody dismissed."""
    last: dict[int, Json] = {}
    for review in sorted(reviews, key=lambda raw: raw["id"].number()):
        if review["user"].present and review["state"].text() in _VERDICTS:
            last[review["user"]["id"].integer()] = review
    standing = [raw for raw in last.values() if raw["state"].text() == "APPROVED" and not raw["dismissed"].flag()]
    return tuple(
        Approval(
            account(raw["user"], own_id), raw["commit_id"].text(), raw["body"].text_or(""), str(raw["id"].number())
        )
        for raw in standing
    )


def permission(raw: Json) -> Permission:
    """What the forge calls the access mode. An unknown word is malformed, never a guess (I3)."""
    known = _PERMISSIONS.get(raw["permission"].text())
    if known is None:
        raise raw["permission"].wrong("is an unknown word")
    return known


def event_hint(event: str, payload: Json, repository: str) -> ForgeHint | None:
    """What a webhook says to look at; None when it is of another repository or of no interest. A field that is
    repeated must agree with itself: what disagrees is malformed."""
    full_name = payload["repository"].object()["full_name"].text()
    if full_name.lower() != repository.lower():
        return None
    if event == "push":
        return branch_hint(payload["ref"])
    if event in _PULL_EVENTS:
        return ForgeHint(pull=agreed(payload["number"], payload["pull_request"].object()["number"]))
    if event == "issue_comment":
        return _comment_hint(payload)
    return None


def _comment_hint(payload: Json) -> ForgeHint | None:
    payload["comment"].object()
    number, pull = payload["issue"].object()["number"], payload["pull_request"]
    if not payload["is_pull"].flag():
        return None
    return ForgeHint(pull=agreed(number, pull.object()["number"]) if pull.present else number.number())


def _head_branch(head: Json) -> str:
    """A branch that is gone leaves `refs/pull/N/head` as its ref; the label still bears its name."""
    return head["label"].text_or("") or head["ref"].text()


def _state(raw: Json, merged: bool) -> PullState:
    if merged:
        return PullState.MERGED
    return PullState.OPEN if raw["state"].text() == "open" else PullState.CLOSED
