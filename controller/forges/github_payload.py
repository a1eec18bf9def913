"""PURE: what GitHub writes as JSON, into the words of the contract. Raises the fault of the document.

Source of every field: GitHub's OpenAPI description, against which the tests hold each request and each answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from email.utils import parsedate_to_datetime

from controller.forges.event_fields import agreed, branch_hint, named_by
from controller.forges.forge import Account, Approval, Comment, ForgeHint, Permission, PullRequest, PullState
from controller.forges.json_reader import Json

_GHOST = Account("0", "ghost", bot=True)  # GitHub writes null for the author of what a deleted account left
_VERDICTS = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})
# `maintain` and `triage` are told as `write` and `read`, a custom role as the base it was made from.
_PERMISSIONS = {
    "none": Permission.NONE,
    "read": Permission.READ,
    "write": Permission.WRITE,
    "admin": Permission.ADMIN,
}
_PULL_EVENTS = frozenset({"pull_request", "pull_request_review", "pull_request_review_comment"})


def account(user: Json, own_id: int) -> Account:
    """Apps have users of the type `Bot`."""
    if not user.present:
        return _GHOST
    number = user["id"].number()
    return Account(str(number), user["login"].text(), bot=number == own_id or user["type"].text_or("") == "Bot")


def pull_request(raw: Json, own_id: int, fresh: str) -> PullRequest:
    """Of a list or by number: the same, but that a list does not say who merged. `fresh` goes into the stamp of one
    that changed within the last moments."""
    head, base = raw["head"].object(), raw["base"].object()
    merged = raw["merged_at"].present
    updated = raw["updated_at"].text()
    return PullRequest(
        number=raw["number"].number(),
        title=raw["title"].text(),
        author=account(raw["user"], own_id),
        base=base["ref"].text(),
        head=head["ref"].text(),
        head_sha=head["sha"].text(),
        state=_state(raw, merged),
        merge_sha=raw["merge_commit_sha"].text() if merged else None,
        fork=_repository_id(head) != _repository_id(base),
        draft=raw["draft"].flag(),
        url=raw["html_url"].text(),
        merged_by=account(raw["merged_by"], own_id) if merged and raw["merged_by"].present else None,
        updated=f"{updated} {fresh}".rstrip(),
    )


def age_s(stamp: Json, date: str) -> float:
    """Seconds from `stamp` to the moment of the answer, its header `Date`; 0 where it has none."""
    try:
        changed = datetime.fromisoformat(stamp.text())
    except ValueError:
        raise stamp.wrong("is not a time") from None
    try:
        return (parsedate_to_datetime(date) - changed).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0


def comment(raw: Json, own_id: int) -> Comment:
    """What an App writes in a person's name is no word of that person (I6)."""
    created = raw["created_at"].text()
    author = account(raw["user"], own_id)
    if raw["performed_via_github_app"].present:
        author = Account(author.id, author.login, bot=True)
    return Comment(
        id=str(raw["id"].number()),
        author=author,
        body=raw["body"].text_or(""),
        created=created,
        edited=raw["updated_at"].text() != created,
    )


def comment_number(raw: Json) -> int:
    """The pull request that a comment is on: comment ids are one sequence for all of them."""
    tail = raw["issue_url"].text().rstrip("/").rsplit("/", 1)[-1]
    if not tail.isdecimal():
        raise raw["issue_url"].wrong("does not end in a number")
    return int(tail)


def approvals(reviews: Iterable[Json], own_id: int) -> tuple[Approval, ...]:
    """Each account's last word, where that is an approval nobody dismissed."""
    last: dict[int, Json] = {}
    for review in sorted(reviews, key=lambda raw: raw["id"].number()):
        if review["user"].present and review["state"].text() in _VERDICTS:
            last[review["user"]["id"].number()] = review
    standing = [raw for raw in last.values() if raw["state"].text() == "APPROVED" and raw["commit_id"].present]
    return tuple(
        Approval(
            account(raw["user"], own_id), raw["commit_id"].text(), raw["body"].text_or(""), str(raw["id"].number())
        )
        for raw in standing
    )


def permission(raw: Json) -> Permission:
    """What GitHub calls the access mode. An unknown word is malformed, never a guess (I3)."""
    known = _PERMISSIONS.get(raw["permission"].text())
    if known is None:
        raise raw["permission"].wrong("is an unknown word")
    return known


def event_hint(event: str, payload: Json, repository: str) -> ForgeHint | None:
    """What a webhook says to look at; None when it is of another repository or of no interest."""
    if not payload["repository"].present:
        return None  # of an App or an organization as a whole
    if payload["repository"].object()["full_name"].text().lower() != repository.lower():
        return None
    if event == "push":
        return branch_hint(payload["ref"])
    if event in _PULL_EVENTS:
        pull = payload["pull_request"].object()
        number = named_by(pull["url"], pull["number"])
        return ForgeHint(pull=agreed(payload["number"], pull["number"]) if event == "pull_request" else number)
    if event == "issue_comment":
        return _comment_hint(payload)
    return None


def _comment_hint(payload: Json) -> ForgeHint | None:
    """An issue bears `pull_request` only if it is one."""
    issue, comment = payload["issue"].object(), payload["comment"].object()
    if not issue["pull_request"].present:
        return None
    issue["pull_request"].object()
    if comment_number(comment) != issue["number"].number():
        raise issue["number"].wrong("and the comment's issue_url disagree")
    return ForgeHint(pull=issue["number"].number())


def _repository_id(side: Json) -> int:
    """0 for a fork that was deleted."""
    return side["repo"].object()["id"].number() if side["repo"].present else 0


def _state(raw: Json, merged: bool) -> PullState:
    if merged:
        return PullState.MERGED
    return PullState.OPEN if raw["state"].text() == "open" else PullState.CLOSED
