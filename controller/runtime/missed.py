"""A pull request that was merged before anyone reviewed it: the scopes it touched, so that what came of them is told.

It clears nothing (I2): what a review would have had to list waits for a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.errors import InvalidInput
from controller.forges.forge import PullRequest
from controller.git.repository import Mirror
from controller.review.report import Review, ScopeReview
from controller.runtime.records import Reviewed
from controller.runtime.reviewing import Judged
from controller.runtime.source import RepositorySource


async def missed(repository: RepositorySource, pull: PullRequest, merge: str) -> Judged:
    """What stands in the place of a review of `pull`, which the commit `merge` brought in (it is in the mirror).
    Raises Unreachable when Git does not answer."""
    before, after = await _span(repository.mirror, pull.head_sha, merge)
    scopes = await _touched(repository, before, after)
    review = Review(tuple(ScopeReview(s) for s in scopes), pull.head_sha, before, unreviewed=True)
    return Judged(review, tuple(Reviewed(s, digest="", fingerprint="") for s in scopes))


async def _span(mirror: Mirror, head: str, merge: str) -> tuple[str, str]:
    """What the pull request brought in, from where it left the branch to its head. Of a head that the remote no
    longer gives away, and of one that was merged without a commit of its own, the merged commit alone."""
    parents = (await mirror.commit(merge)).parents
    parent = parents[0] if parents else merge
    if not await _there(mirror, head):
        return parent, merge
    return await mirror.merge_base(parent, head) or parent, head


async def _there(mirror: Mirror, commit: str) -> bool:
    try:
        await mirror.fetch(commits=[commit])
    except InvalidInput:  # a branch that is gone, replaced by a push, or squashed
        return await mirror.has(commit)
    return True


async def _touched(repository: RepositorySource, before: str, after: str) -> Sequence[str]:
    """Scopes with other content at `after`, by name."""
    was, now = await _contents(repository, before), await _contents(repository, after)
    return sorted(name for name, content in now.items() if was.get(name) != content)


async def _contents(repository: RepositorySource, revision: str) -> Mapping[str, str]:
    """Scope → content id at a revision; none where alma.yaml cannot be read."""
    try:
        config = await repository.config(revision)
    except InvalidInput:
        return {}
    return {s.name: await repository.content_id(revision, s) for s in config.scopes}
