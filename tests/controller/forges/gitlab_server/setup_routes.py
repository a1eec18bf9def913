"""Webhooks and protected branches: what only the set-up touches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from tests.controller.forges.api import Call, NotFound, Routes, answer, paged
from tests.controller.forges.gitlab_server import shapes

if TYPE_CHECKING:
    from tests.controller.forges.gitlab_server.server import GitLabServer


def list_hooks(server: GitLabServer, call: Call) -> httpx2.Response:
    return paged([_shown(hook) for hook in server.hooks.values()], call, f"{server.url}/hooks")


def create_hook(server: GitLabServer, call: Call) -> httpx2.Response:
    number = server.new_id()
    server.hooks[number] = {"id": number, **call.body}
    return answer(_shown(server.hooks[number]), 201)


def edit_hook(server: GitLabServer, call: Call) -> httpx2.Response:
    if call.number not in server.hooks:
        raise NotFound
    server.hooks[call.number].update(call.body)
    return answer(_shown(server.hooks[call.number]))


def delete_hook(server: GitLabServer, call: Call) -> httpx2.Response:
    del server.hooks[call.number]
    return httpx2.Response(204)


def get_protected(server: GitLabServer, call: Call) -> httpx2.Response:
    if call.values[0] not in server.protected:
        raise NotFound
    return answer(server.protected[call.values[0]])


def protect(server: GitLabServer, call: Call) -> httpx2.Response:
    name = call.body["name"]
    server.protected[name] = {"id": 1, "name": name}
    return answer(server.protected[name], 201)


def edit_project(server: GitLabServer, call: Call) -> httpx2.Response:
    server.pipelines_must_succeed = call.body["only_allow_merge_if_pipeline_succeeds"]
    return answer(shapes.project(server))


def _shown(hook: dict[str, object]) -> dict[str, object]:
    """The token is never shown again."""
    return {key: value for key, value in hook.items() if key != "token"}


SETUP_ROUTES: Routes[GitLabServer] = (
    ("GET", "PROJECT/hooks", list_hooks),
    ("POST", "PROJECT/hooks", create_hook),
    ("PUT", r"PROJECT/hooks/(\d+)", edit_hook),
    ("DELETE", r"PROJECT/hooks/(\d+)", delete_hook),
    ("GET", "PROJECT/protected_branches/([^/]+)", get_protected),
    ("POST", "PROJECT/protected_branches", protect),
    ("PUT", "PROJECT", edit_project),
)
