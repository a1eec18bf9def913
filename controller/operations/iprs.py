"""Pull requests of any forge: list, show, open, comment, approve, merge, close. On `local` these are the forge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from controller.errors import InvalidInput, RefusedByPolicy
from controller.forges.forge import Account, Comment, Forge, PullRequest
from controller.journal.projections import Document, Entry
from controller.operations.access import Actor
from controller.operations.context import Context
from controller.operations.rights import require_right
from controller.plan.codec import from_json, to_json
from controller.review.markdown import comment as review_comment
from controller.review.plan_text import plan_text
from controller.review.report import Review
from controller.runtime.records import IprRecord
from controller.runtime.work_queue import Priority

Json = Any
_ASKED_KEPT = 20


@runtime_checkable
class Personal(Protocol):
    """A forge that knows the people of this machine (the built-in one): they act there in their own name."""

    async def comment(self, number: int, account: Account, body: str) -> Comment: ...

    async def approve(self, number: int, head_sha: str, body: str, account: Account = ...) -> None: ...

    async def merge(self, number: int, head_sha: str, account: Account = ...) -> None: ...


@dataclass(frozen=True, slots=True)
class PullDesk:
    """Forges by repository name."""

    about: Context
    forges: Mapping[str, Forge]

    async def list(self, actor: Actor, repository: str | None) -> Json:
        """Every pull request the forges tell of, newest first."""
        found = []
        for name, forge in self._chosen(repository).items():
            require_right(actor, self.about.rules(name), "ipr list")
            for pull in await forge.pulls():
                found.append({"repository": name, **_pull(pull)})
        return {"format": "alma.iprs/v1", "iprs": found}

    async def show(self, actor: Actor, repository: str | None, number: int, full: bool) -> Json:
        """The pull request and what ALMA says on it; `full`: every change of every plan, nothing folded or cut."""
        name, forge, pull = await self._one(actor, repository, number, "ipr show")
        record = await self.about.records.get(IprRecord, f"{name}/{number}")
        stored = await self.about.records.journal.document("review", f"{name}/{number}")
        review = from_json(Review, stored) if stored else None
        comments = [to_json(c) for c in await forge.comments(number)]
        ours = next((c["body"] for c in comments if record and c["id"] == record.comment_id), "")
        body = review_comment(review, None, "", limit=10**9) if full and review and not ours else ours
        plans = [plan_text(p) for p in review.plans] if full and review else []
        return {
            "format": "alma.ipr/v1",
            "repository": name,
            **_pull(pull),
            "comment": body,
            "comments": comments,
            "plans": plans,
            "final": bool(record and record.final),
            "runs": list(record.runs) if record else [],
        }

    async def open(self, actor: Actor, repository: str | None, branch: str, title: str) -> Json:
        """A pull request of a branch that is already pushed."""
        name, forge = self._single(repository)
        require_right(actor, self.about.rules(name), "ipr open")
        pull = await forge.open_pull(branch, title, f"Opened by {actor.shown}.")
        await self._asked(actor, name, pull, "open")
        self._look(name, pull.number)
        return {"repository": name, **_pull(pull)}

    async def comment(self, actor: Actor, repository: str | None, number: int, body: str) -> Json:
        """A comment in the actor's own name; only where people of this machine are known to the forge."""
        name, forge, _ = await self._one(actor, repository, number, "ipr comment")
        if not isinstance(forge, Personal):
            raise RefusedByPolicy(
                f"comments of {name} are written at its forge ({forge.kind})", hint="write it on the pull request"
            )
        written = await forge.comment(number, _account(actor), body)
        self._look(name, number)
        return {"repository": name, "number": number, "comment": written.id}

    async def approve(self, actor: Actor, repository: str | None, number: int) -> Json:
        name, forge, pull = await self._one(actor, repository, number, "ipr approve")
        await self._asked(actor, name, pull, "approve")
        body = f"approved by {_named(actor)}"
        if isinstance(forge, Personal):
            await forge.approve(number, pull.head_sha, body, _account(actor))
        else:
            await forge.approve(number, pull.head_sha, body)
        self._look(name, number)
        return {"repository": name, "number": number, "approved": pull.head_sha}

    async def merge(self, actor: Actor, repository: str | None, number: int) -> Json:
        """Merge if the head is still the one looked at now."""
        name, forge, pull = await self._one(actor, repository, number, "ipr merge")
        await self._asked(actor, name, pull, "merge")
        if isinstance(forge, Personal):
            await forge.merge(number, pull.head_sha, _account(actor))
        else:
            await forge.merge(number, pull.head_sha)
        self.about.queue.add(f"repo:{name}", Priority.PERSON)
        return {"repository": name, "number": number, "merged": pull.head_sha}

    async def close(self, actor: Actor, repository: str | None, number: int) -> Json:
        name, forge, pull = await self._one(actor, repository, number, "ipr close")
        await self._asked(actor, name, pull, "close")
        await forge.close_pull(number)
        self._look(name, number)
        return {"repository": name, "number": number, "closed": True}

    async def _asked(self, actor: Actor, name: str, pull: PullRequest, verb: str) -> None:
        """Who asked is durable before the forge hears of it in our own name, and told in our comment."""
        record = await self.about.records.get(IprRecord, f"{name}/{pull.number}")
        record = record or IprRecord(name, pull.number, state=pull.state)
        ask = f"{verb} of {pull.head_sha[:8]} by {_named(actor)}"
        asked = record if ask in record.asked else replace(record, asked=(*record.asked, ask)[-_ASKED_KEPT:])
        if verb == "open" and actor.shown not in record.requested_by:
            asked = replace(asked, requested_by=(*record.requested_by, actor.shown))
        if verb == "approve":  # once more is another approval: for what the comment shows now
            asked = replace(asked, approvals=tuple(a for a in record.approvals if a.account != actor.id))
        told = Entry("ipr.asked", {"by": actor.id, "verb": verb, "number": pull.number, "head": pull.head_sha})
        document = Document("ipr", record.key, to_json(asked))
        await self.about.records.journal.append(f"ipr:{record.key}", [told], [document])

    def _chosen(self, repository: str | None) -> Mapping[str, Forge]:
        if repository is None:
            return self.forges
        if repository not in self.forges:
            raise InvalidInput(f"no repository {repository}; known: {', '.join(self.forges) or 'none'}")
        return {repository: self.forges[repository]}

    def _single(self, repository: str | None) -> tuple[str, Forge]:
        chosen = self._chosen(repository)
        if len(chosen) != 1:
            raise InvalidInput(f"say which repository: {', '.join(chosen) or 'none is configured'}", hint="-R NAME")
        return next(iter(chosen.items()))

    async def _one(
        self, actor: Actor, repository: str | None, number: int, verb: str
    ) -> tuple[str, Forge, PullRequest]:
        name, forge = self._single(repository)
        require_right(actor, self.about.rules(name), verb)
        pull = await forge.pull(number)
        if pull is None:
            raise InvalidInput(f"{name} has no pull request {number}", hint="alma ipr list")
        return name, forge, pull

    def _look(self, name: str, number: int) -> None:
        self.about.queue.add(f"ipr:{name}/{number}", Priority.PERSON)


def _account(actor: Actor) -> Account:
    return Account(actor.id, actor.shown)


def _named(actor: Actor) -> str:
    """`alice (os:alice)`."""
    return f"{actor.shown} ({actor.id})"


def _pull(pull: PullRequest) -> dict[str, Json]:
    data: dict[str, Json] = to_json(pull)
    return data
