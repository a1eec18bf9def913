"""Notes, reactions and statuses at GitLab."""

from __future__ import annotations

from controller.forges.forge import Account, Comment, ForgeRefused, Reaction, Status, StatusState
from controller.forges.gitlab_payload import note
from controller.forges.gitlab_project import GitLabProject
from controller.forges.gitlab_text import without_quick_actions

_NAMES = {Reaction.EYES: "eyes", Reaction.DONE: "thumbsup", Reaction.CONFUSED: "confused"}
_ERROR = "error: "
# GitLab has no state for what is neither right nor wrong; the words say it.
_STATES = {
    StatusState.PENDING: "pending",
    StatusState.SUCCESS: "success",
    StatusState.FAILURE: "failed",
    StatusState.ERROR: "failed",
}


class GitLabNotes:
    """The notes of one project's merge requests; a `CommentApi`."""

    def __init__(self, project: GitLabProject) -> None:
        self._project = project

    async def own(self) -> Account:
        return await self._project.own()

    async def all(self, number: int) -> tuple[Comment, ...]:
        """Without those that GitLab writes itself about what people do."""
        own_id = await self._project.own_id()
        query = {"order_by": "created_at", "sort": "asc"}
        raws = await self._project.pages("merge_requests", number, "notes", query=query)
        notes = [note(raw, own_id) for raw in raws if not raw["system"].flag()]
        return tuple(sorted(notes, key=lambda one: int(one.id)))

    async def find(self, number: int, comment_id: str) -> Comment | None:
        answer = await self._project.find("merge_requests", number, "notes", comment_id)
        return None if answer is None else note(self._project.read(answer), await self._project.own_id())

    async def post(self, number: int, body: str) -> Comment:
        text = {"body": without_quick_actions(body)}
        answer = await self._project.send("POST", "merge_requests", number, "notes", body=text)
        return note(self._project.read(answer), await self._project.own_id())

    async def edit(self, number: int, comment_id: str, body: str) -> bool:
        return await self._still_there("PUT", number, comment_id, {"body": without_quick_actions(body)})

    async def delete(self, number: int, comment_id: str) -> bool:
        return await self._still_there("DELETE", number, comment_id)

    async def react(self, number: int, to: Comment, reaction: Reaction) -> None:
        try:
            path = ("merge_requests", number, "notes", to.id, "award_emoji")
            await self._project.send("POST", *path, body={"name": _NAMES[reaction]})
        except ForgeRefused as refused:
            # GitLab says 404 for the second of a kind by one account.
            if refused.code != 404 or "already been taken" not in str(refused):
                raise

    async def _still_there(self, method: str, number: int, comment_id: str, body: object = None) -> bool:
        try:
            await self._project.send(method, "merge_requests", number, "notes", comment_id, body=body)
        except ForgeRefused as refused:
            if refused.code != 404:
                raise
            return False
        return True


class GitLabStatuses:
    """The statuses of one project's commits; a `StatusApi`."""

    def __init__(self, project: GitLabProject) -> None:
        self._project = project

    async def post(self, sha: str, status: Status) -> None:
        wanted = {"name": status.context, "state": _STATES[status.state], "description": described(status)}
        target = {"target_url": status.url} if status.url else {}
        try:
            await self._project.send("POST", "statuses", sha, body={**wanted, **target})
        except ForgeRefused as refused:
            # A status that is pending cannot become pending: GitLab keeps the words it has until the state changes.
            if refused.code != 400 or "cannot transition" not in str(refused).lower():
                raise

    async def shows(self, sha: str, status: Status) -> bool:
        query = {"all": "true", "name": status.context}
        listed = await self._project.pages("repository", "commits", sha, "statuses", query=query)
        newest = max(listed, key=lambda raw: raw["id"].number(), default=None)
        if newest is None:
            return False
        shown = (newest["status"].text(), newest["description"].text_or(""), newest["target_url"].text_or(""))
        return shown == (_STATES[status.state], described(status), status.url or "")


def described(status: Status) -> str:
    """Its words; an error is told in them."""
    return f"{_ERROR}{status.description}" if status.state is StatusState.ERROR else status.description
