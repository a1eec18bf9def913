"""The webhooks of GitHub and GitLab, as small as they are read, with the headers that let them in."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from controller.forges.forge import Forge, ForgeHint
from tests.controller.forges.fake_forge import SECRET
from tests.controller.forges.fake_gitea import FakeGitea
from tests.controller.forges.fake_repository import FakeRepository
from tests.controller.forges.github_server.server import GitHubServer
from tests.controller.forges.gitlab_server.server import GitLabServer

Json = dict[str, Any]


def github_headers(event: str, body: bytes) -> dict[str, str]:
    """What GitHub sends, with the weaker signature beside."""
    sha1 = hmac.new(SECRET.encode(), body, "sha1").hexdigest()
    return {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-Hub-Signature": f"sha1={sha1}",
        "X-Hub-Signature-256": f"sha256={digest(body)}",
    }


def gitlab_headers(event: str, body: bytes) -> dict[str, str]:
    return {"X-Gitlab-Event": event, "X-Gitlab-Token": SECRET, "Idempotency-Key": "1"}


def gitea_headers(event: str, body: bytes) -> dict[str, str]:
    return {"X-Gitea-Event": event, "X-Gitea-Signature": digest(body)}


def digest(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, "sha256").hexdigest()


@dataclass(frozen=True)
class Kind:
    """One forge's webhooks: event → a small payload, and the hint that it gives."""

    server: Callable[..., FakeRepository]
    headers: Callable[[str, bytes], dict[str, str]]
    shown: str  # the header that lets in
    payloads: Mapping[str, Json]
    hints: Mapping[str, ForgeHint]

    def forge(self, full_name: str = "ops/infra", **config: object) -> Forge:
        server = self.server(full_name=full_name)
        return server.forge(server.binding(**config))


HUB = {"full_name": "ops/infra"}
LAB = {"path_with_namespace": "ops/infra"}
HUB_API = "https://api.github.com/repos/ops/infra"
_PULL_OF_HUB = {"number": 7, "url": f"{HUB_API}/pulls/7"}
_SEVEN = ForgeHint(pull=7)
KINDS = {
    "github": Kind(
        GitHubServer,
        github_headers,
        "X-Hub-Signature-256",
        {
            "push": {"ref": "refs/heads/main", "repository": HUB},
            "pull_request": {"number": 7, "pull_request": _PULL_OF_HUB, "repository": HUB},
            "pull_request_review": {"pull_request": _PULL_OF_HUB, "repository": HUB},
            "issue_comment": {
                "issue": {"number": 7, "pull_request": {"url": f"{HUB_API}/pulls/7"}},
                "comment": {"issue_url": f"{HUB_API}/issues/7"},
                "repository": HUB,
            },
        },
        {
            "push": ForgeHint(branch="main"),
            "pull_request": _SEVEN,
            "pull_request_review": _SEVEN,
            "issue_comment": _SEVEN,
        },
    ),
    "gitlab": Kind(
        GitLabServer,
        gitlab_headers,
        "X-Gitlab-Token",
        {
            "Push Hook": {"object_kind": "push", "ref": "refs/heads/main", "project": LAB},
            "Merge Request Hook": {
                "object_kind": "merge_request",
                "object_attributes": {"iid": 7, "url": "https://git.example/ops/infra/-/merge_requests/7"},
                "project": LAB,
            },
            "Note Hook": {
                "object_kind": "note",
                "object_attributes": {"noteable_type": "MergeRequest", "noteable_id": 9_007},
                "merge_request": {"id": 9_007, "iid": 7},
                "project": LAB,
            },
        },
        {"Push Hook": ForgeHint(branch="main"), "Merge Request Hook": _SEVEN, "Note Hook": _SEVEN},
    ),
}
# What a real Gitea sends is read in test_webhook.
GITEA = Kind(
    FakeGitea,
    gitea_headers,
    "X-Gitea-Signature",
    {
        "push": {"ref": "refs/heads/main", "repository": HUB},
        "pull_request": {"number": 7, "pull_request": {"number": 7}, "repository": HUB},
        "issue_comment": {"comment": {}, "issue": {"number": 7}, "is_pull": True, "repository": HUB},
    },
    {"push": ForgeHint(branch="main"), "pull_request": _SEVEN, "issue_comment": _SEVEN},
)
EVENTS = [(kind, event) for kind, entry in KINDS.items() for event in entry.payloads]


def encoded(payload: object) -> bytes:
    return json.dumps(payload).encode()


def read(kind: Kind, forge: Forge, event: str, payload: object) -> ForgeHint | None:
    body = orjson.dumps(payload)
    return forge.read_event(kind.headers(event, body), body)
