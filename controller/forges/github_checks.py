"""A check run with notes at the lines of a pull request: beside statuses, and only where a GitHub App may write it.

Source: docs.github.com, "REST API endpoints for check runs": only Apps write them, 50 annotations fit into one request,
and an update adds to those that are there. GitHub shows the newest run of a name.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import orjson

from controller.forges.forge import Annotation
from controller.forges.github_repository import GitHubRepository
from controller.forges.status import full_sha

NAME = "alma"
_EACH_MOST = 50
_ALL_MOST = 250
_KEPT = 1_000


class GitHubChecks:
    """The check runs of one repository."""

    def __init__(self, repository: GitHubRepository) -> None:
        self._repository = repository
        self._written: OrderedDict[str, str] = OrderedDict()  # commit → what stands there

    async def write(self, sha: str, summary: str, failed: bool, annotations: Sequence[Annotation]) -> None:
        """One completed run on `sha`. The same again is not written again, by another process neither."""
        full_sha(sha)
        if not await self._may():
            return
        shown = annotations[:_ALL_MOST]
        left_out = len(annotations) - len(shown)
        told = f"{summary}\n\n{left_out} more are in the comment only." if left_out else summary
        mark = _mark(told, failed, shown)
        if self._written.get(sha) == mark or await self._stands(sha, mark):
            self._remember(sha, mark)
            return
        await self._post(sha, mark, told, failed, shown)
        self._remember(sha, mark)

    async def _may(self) -> bool:
        installation = self._repository.installation
        return installation is not None and (await installation.permissions()).get("checks") in ("write", "admin")

    async def _stands(self, sha: str, mark: str) -> bool:
        """Whether the newest run of ours says exactly this, and was written to its end."""
        answer = await self._repository.get("commits", sha, "check-runs", query={"check_name": NAME, "per_page": "100"})
        runs = list(self._repository.read(answer)["check_runs"])
        newest = max(runs, key=lambda raw: raw["id"].number(), default=None)
        if newest is None:
            return False
        return (newest["external_id"].text_or(""), newest["status"].text()) == (mark, "completed")

    async def _post(self, sha: str, mark: str, summary: str, failed: bool, notes: Sequence[Annotation]) -> None:
        first, *more = list(_parts(notes)) or [()]
        ended = {"status": "completed", "conclusion": "failure" if failed else "success"}
        begun = {"name": NAME, "head_sha": sha, "external_id": mark, "output": _output(summary, first)}
        state = {"status": "in_progress"} if more else ended
        answer = await self._repository.send("POST", "check-runs", body={**begun, **state})
        number = self._repository.read(answer)["id"].number()
        for index, part in enumerate(more, 1):
            state = ended if index == len(more) else {"status": "in_progress"}
            body = {"output": _output(summary, part), **state}
            await self._repository.send("PATCH", "check-runs", number, body=body)

    def _remember(self, sha: str, mark: str) -> None:
        self._written[sha] = mark
        if len(self._written) > _KEPT:
            self._written.popitem(last=False)


def _parts(notes: Sequence[Annotation]) -> Iterator[Sequence[Annotation]]:
    for start in range(0, len(notes), _EACH_MOST):
        yield notes[start : start + _EACH_MOST]


def _output(summary: str, notes: Sequence[Annotation]) -> dict[str, object]:
    return {"title": "ALMA", "summary": summary, "annotations": [_annotation(n) for n in notes]}


def _annotation(note: Annotation) -> dict[str, object]:
    lines = {"path": note.path, "start_line": note.line, "end_line": note.line}
    return {**lines, "annotation_level": note.level, "title": note.title, "message": note.message}


def _mark(summary: str, failed: bool, notes: Sequence[Annotation]) -> str:
    text = orjson.dumps([summary, failed, [_annotation(n) for n in notes]])
    return hashlib.sha256(text).hexdigest()[:32]
