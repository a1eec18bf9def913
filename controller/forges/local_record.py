"""PURE: one pull request of the built-in forge as the store keeps it, and what a look at the branches makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import cast

from controller.forges.forge import Account, Approval, Comment, PullRequest, PullState

# Whoever may push to the remote may open a pull request there; who that was, Git does not tell (its author fields
# authorise nothing, I47).
PUSHER = Account("git", "whoever pushed")
BOT = Account("alma", "alma", bot=True)


@dataclass(frozen=True, slots=True)
class Record:
    """Where the tracked branch stood when the pull request was found (`since`), and when it was last seen unmerged
    (`base_tip`). `gone`: closed because the
    branch was deleted, so the branch coming back opens it again. `version` grows with every change."""

    number: int
    branch: str
    title: str
    body: str
    author: Account
    head_sha: str
    since: str
    base_tip: str
    state: PullState = PullState.OPEN
    merge_sha: str | None = None
    merged_by: Account | None = None
    gone: bool = False
    approvals: tuple[Approval, ...] = ()
    version: int = 0

    def changed(self, **fields: object) -> Record:
        """With these fields, one version on; itself if it already reads so."""
        after = replace(self, **fields)  # type: ignore[arg-type]  # the keys are this class's own fields
        return self if after == self else replace(after, version=self.version + 1)

    def pull(self, base: str, comments: int) -> PullRequest:
        return PullRequest(
            number=self.number,
            title=self.title,
            author=self.author,
            base=base,
            head=self.branch,
            head_sha=self.head_sha,
            state=self.state,
            merge_sha=self.merge_sha,
            merged_by=self.merged_by,
            updated=f"{self.version}.{comments}",
        )


def record_to_json(record: Record) -> dict[str, object]:
    return cast(dict[str, object], asdict(record))


def record_from_json(raw: Mapping[str, object]) -> Record:
    """The inverse of `record_to_json`. The store is ours: what does not fit is a damaged store, and raises."""
    fields = dict(raw)
    approvals = cast(list[Mapping[str, object]], fields.pop("approvals"))
    merged_by = fields.pop("merged_by")
    return Record(
        author=account_from_json(fields.pop("author")),
        merged_by=account_from_json(merged_by) if merged_by else None,
        state=PullState(str(fields.pop("state"))),
        approvals=tuple(
            Approval(account_from_json(a["account"]), str(a["head_sha"]), str(a["body"])) for a in approvals
        ),
        **fields,  # type: ignore[arg-type]  # written by record_to_json from the same class
    )


def account_from_json(raw: object) -> Account:
    return Account(**cast(dict[str, object], raw))  # type: ignore[arg-type]  # written by asdict from the same class


def comment_to_json(comment: Comment, reactions: tuple[str, ...]) -> dict[str, object]:
    return {**asdict(comment), "reactions": list(reactions)}


def comment_from_json(raw: Mapping[str, object]) -> tuple[Comment, tuple[str, ...]]:
    """The comment and our reactions to it."""
    fields = dict(raw)
    reactions = cast(list[str], fields.pop("reactions"))
    author = account_from_json(fields.pop("author"))
    return Comment(author=author, **fields), tuple(reactions)  # type: ignore[arg-type]  # as above


def current_by_branch(records: tuple[Record, ...]) -> dict[str, Record]:
    """The newest record of each branch; an older one is merged and stays as it is."""
    return {record.branch: record for record in sorted(records, key=lambda record: record.number)}
