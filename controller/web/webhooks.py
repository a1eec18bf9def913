"""Webhook intake (I20, I42): size before reading, signature over the raw bytes, durable before 2xx, only a hint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from controller.errors import AlmaError, InvalidInput
from controller.forges.forge import Forge, ForgeHint, ForgeRefused
from controller.journal.journal import Journal
from controller.journal.projections import Entry
from controller.runtime.work_queue import Priority, WorkQueue

_log = structlog.get_logger("webhooks")
_BODY_BYTES_MAX = 5 * 1024 * 1024
_NOT_FOUND = JSONResponse({"error": "not found"}, 404)


class _TooLarge(Exception):
    """The body goes over the limit."""


@dataclass(frozen=True, slots=True)
class WebhookIntake:
    """Forges that have a webhook secret, by repository; the others have no route and are polled."""

    forges: Mapping[str, Forge]
    journal: Journal
    queue: WorkQueue
    refused: Callable[[str], None]  # counts refusals by reason

    async def receive(self, request: Request) -> Response:
        """202 once the hint is durable; 4xx for anything malformed; 503 when it cannot be made durable."""
        repository = request.path_params["repository"]
        forge = self.forges.get(repository)
        if forge is None:
            return _NOT_FOUND
        try:
            hint = forge.read_event(request.headers, await _body(request))
        except _TooLarge:
            return self._refuse("too large", 413)
        except ForgeRefused:
            return self._refuse("signature", 401)
        except InvalidInput:
            return self._refuse("malformed", 400)
        if hint is None:
            return JSONResponse({"accepted": False}, 202)
        try:
            entry = Entry("webhook.received", {"pull": hint.pull, "branch": hint.branch})
            await self.journal.append(f"webhook:{repository}", [entry])
        except AlmaError:
            return JSONResponse({"error": "not durable, send it again"}, 503)
        for key in _keys(repository, hint):
            self.queue.add(key, Priority.WEBHOOK)
        return JSONResponse({"accepted": True}, 202)

    def _refuse(self, reason: str, code: int) -> Response:
        self.refused(reason)
        _log.info("webhook refused", reason=reason)
        return JSONResponse({"error": reason}, code)


def _keys(repository: str, hint: ForgeHint) -> tuple[str, ...]:
    """What the hint says to look at. A pull request may have been merged: its repository is looked at too."""
    pull = (f"ipr:{repository}/{hint.pull}",) if hint.pull is not None else ()
    return (f"repo:{repository}", *pull)


async def _body(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > _BODY_BYTES_MAX:
        raise _TooLarge
    parts, total = [], 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > _BODY_BYTES_MAX:
            raise _TooLarge
        parts.append(chunk)
    return b"".join(parts)
