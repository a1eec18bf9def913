"""Webhooks and branch protection: what only the set-up touches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from tests.controller.forges.api import Call, NotFound, Routes, answer, paged
from tests.controller.forges.github_server.refusals import refusal

if TYPE_CHECKING:
    from tests.controller.forges.github_server.server import GitHubServer


def list_hooks(server: GitHubServer, call: Call) -> httpx2.Response:
    return paged([_shown(hook) for hook in server.hooks.values()], call, f"{server.url}/hooks")


def create_hook(server: GitHubServer, call: Call) -> httpx2.Response:
    number = server.new_id()
    server.hooks[number] = {"id": number, "type": "Repository", **call.body}
    return answer(_shown(server.hooks[number]), 201)


def edit_hook(server: GitHubServer, call: Call) -> httpx2.Response:
    if call.number not in server.hooks:
        raise NotFound
    server.hooks[call.number].update(call.body)
    return answer(_shown(server.hooks[call.number]))


def delete_hook(server: GitHubServer, call: Call) -> httpx2.Response:
    del server.hooks[call.number]
    return httpx2.Response(204)


def get_protection(server: GitHubServer, call: Call) -> httpx2.Response:
    if server.protection is None:
        return refusal(404, "Branch not protected")
    return answer(server.protection)


def put_protection(server: GitHubServer, call: Call) -> httpx2.Response:
    server.protection = {"required_status_checks": call.body["required_status_checks"]}
    return answer({})


def patch_checks(server: GitHubServer, call: Call) -> httpx2.Response:
    assert server.protection is not None
    server.protection["required_status_checks"] = call.body
    return answer({**call.body, "url": server.url, "contexts_url": server.url, "checks": []})


def add_checks(server: GitHubServer, call: Call) -> httpx2.Response:
    assert server.protection is not None
    checks = server.protection["required_status_checks"]
    assert isinstance(checks, dict)
    checks["contexts"] = sorted({*checks["contexts"], *call.body["contexts"]})
    return answer(checks["contexts"])


def _shown(hook: dict[str, object]) -> dict[str, object]:
    """The secret is never shown again."""
    config = hook["config"]
    assert isinstance(config, dict)
    return {**hook, "config": {**config, "secret": "********"}}


_PROTECTION = "REPO/branches/([^/]+)/protection"
SETUP_ROUTES: Routes[GitHubServer] = (
    ("GET", "REPO/hooks", list_hooks),
    ("POST", "REPO/hooks", create_hook),
    ("PATCH", r"REPO/hooks/(\d+)", edit_hook),
    ("DELETE", r"REPO/hooks/(\d+)", delete_hook),
    ("GET", _PROTECTION, get_protection),
    ("PUT", _PROTECTION, put_protection),
    ("PATCH", f"{_PROTECTION}/required_status_checks", patch_checks),
    ("POST", f"{_PROTECTION}/required_status_checks/contexts", add_checks),
)
