"""PURE: what GitLab writes as JSON (API v4), into the words of the contract. Raises the fault of the document.

Source of every field: the types of GitLab's own client, against which the tests hold each request and each answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime

from controller.forges.event_fields import agreed, branch_hint, named_by
from controller.forges.forge import Account, Approval, Comment, ForgeHint, Permission, PullRequest, PullState
from controller.forges.json_reader import Json

# Users that tokens of a project or group bring with them, service accounts, and GitLab's own.
_BOT = re.compile(r"(?:project|group)_\d+_bot(?:_\w+)?|service_account_\w+|ghost\d*|(?:\w+-)?bot", re.IGNORECASE)
_STATES = {
    "opened": PullState.OPEN,
    "locked": PullState.OPEN,  # while it is being merged
    "closed": PullState.CLOSED,
    "merged": PullState.MERGED,
}
DEVELOPER, MAINTAINER, GUEST = 30, 40, 10


def account(user: Json, own_id: int) -> Account:
    number, name = user["id"].number(), user["username"].text()
    return Account(str(number), name, bot=number == own_id or _BOT.fullmatch(name) is not None)


def merge_request(raw: Json, own_id: int) -> PullRequest | None:
    """None while it has no commit: there is nothing to look at yet."""
    if not raw["sha"].present:
        return None
    state = _state(raw)
    merged = state is PullState.MERGED
    merger = raw["merge_user"] if raw["merge_user"].present else raw["merged_by"]
    return PullRequest(
        number=raw["iid"].number(),
        title=raw["title"].text(),
        author=account(raw["author"].object(), own_id),
        base=raw["target_branch"].text(),
        head=raw["source_branch"].text(),
        head_sha=raw["sha"].text(),
        state=state,
        merge_sha=_merge_sha(raw) if merged else None,
        fork=not raw["source_project_id"].present
        or raw["source_project_id"].number() != raw["target_project_id"].number(),
        draft=raw["draft"].flag(),
        url=raw["web_url"].text(),
        merged_by=account(merger, own_id) if merged and merger.present else None,
        # Its stamp has milliseconds, but not every note moves it.
        updated=f"{raw['updated_at'].text()} {raw['user_notes_count'].integer()}",
    )


def _merge_sha(raw: Json) -> str:
    """Of a merge the merge commit, of a squash without one that, of a fast-forward the head itself."""
    return raw["merge_commit_sha"].text_or("") or raw["squash_commit_sha"].text_or("") or raw["sha"].text()


def _state(raw: Json) -> PullState:
    known = _STATES.get(raw["state"].text())
    if known is None:
        raise raw["state"].wrong("is an unknown word")
    return known


def note(raw: Json, own_id: int) -> Comment:
    created = raw["created_at"].text()
    return Comment(
        id=str(raw["id"].number()),
        author=account(raw["author"].object(), own_id),
        body=raw["body"].text(),
        created=created,
        edited=raw["updated_at"].text() != created,
    )


def approvals(raw: Json, versions: Iterable[Json], objecting: Collection[int], own_id: int) -> tuple[Approval, ...]:
    """GitLab tells when somebody approved, not which head: it is the last version pushed before. One whose moment or
    version is not told counts for nothing (I3)."""
    pushed = sorted((_moment(version["created_at"]), version["head_commit_sha"].text()) for version in versions)
    found = []
    for one in raw["approved_by"]:
        user = one["user"].object()
        given = _moment(one["approved_at"]) if one["approved_at"].present else None
        before = [sha for created, sha in pushed if given and created < given]
        if before and user["id"].number() not in objecting:
            found.append(Approval(account(user, own_id), before[-1], "", one["approved_at"].text()))
    return tuple(found)


def _moment(stamp: Json) -> datetime:
    """A server may tell the time of its own zone."""
    try:
        told = datetime.fromisoformat(stamp.text())
    except ValueError:
        raise stamp.wrong("is not a time") from None
    return told if told.tzinfo else told.replace(tzinfo=UTC)


def permission(raw: Json) -> Permission:
    """Of a member: access levels are numbers, and a custom role has the level that it was made from."""
    if raw["state"].text_or("active") != "active":
        return Permission.NONE
    level = raw["access_level"].integer()
    if level >= MAINTAINER:
        return Permission.ADMIN
    if level >= DEVELOPER:
        return Permission.WRITE
    return Permission.READ if level >= GUEST else Permission.NONE


_KINDS: Mapping[str, str] = {
    "Push Hook": "push",
    "Tag Push Hook": "tag_push",
    "Merge Request Hook": "merge_request",
    "Note Hook": "note",
    "Confidential Note Hook": "note",
}


def event_hint(event: str, payload: Json, project: str) -> ForgeHint | None:
    """What a webhook says to look at; None when it is of another project or of no interest. The event of the header
    and the kind of the body must agree."""
    kind = _KINDS.get(event)
    if kind is None:
        return None
    if payload["object_kind"].text() != kind:
        raise payload["object_kind"].wrong("and X-Gitlab-Event disagree")
    if payload["project"].object()["path_with_namespace"].text().lower() != project.lower():
        return None
    if kind == "push":
        return branch_hint(payload["ref"])
    if kind == "merge_request":
        said = payload["object_attributes"].object()
        return ForgeHint(pull=named_by(said["url"], said["iid"]))
    return _note_hint(payload) if kind == "note" else None


def _note_hint(payload: Json) -> ForgeHint | None:
    """`noteable_id` is the id of the merge request in the whole server, `iid` its number here."""
    said = payload["object_attributes"].object()
    if said["noteable_type"].text() != "MergeRequest":
        return None
    about = payload["merge_request"].object()
    agreed(said["noteable_id"], about["id"])
    return ForgeHint(pull=named_by(said["url"], about["iid"]))
