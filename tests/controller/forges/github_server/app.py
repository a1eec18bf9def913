"""An App at GitHub: who it is by its public key, and the tokens of its installation."""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from tests.controller.forges.api import Call, NotFound, Routes, answer
from tests.controller.forges.github_server.refusals import refusal

if TYPE_CHECKING:
    from tests.controller.forges.github_server.server import GitHubServer

_LIVES_S = 3_600.0
_SIGNATURE_MOST_S = 600


@dataclass
class AppRegistration:
    """One App, installed on the one repository."""

    app_id: str
    key: RSAPublicKey
    permissions: dict[str, str]
    installed: bool = True
    tokens: dict[str, float] = field(default_factory=dict)  # → when it ends
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def lets_in(self, shown: str, path: str, wall_s: float) -> bool:
        """The App itself to its own paths, its tokens to all others."""
        if path == "app" or path.startswith("app/") or path.endswith("/installation"):
            return self._signed(shown, wall_s)
        return self.tokens.get(shown, 0.0) > wall_s

    def new_token(self, wall_s: float) -> tuple[str, float]:
        token, ends_s = f"ghs_{next(self._numbers):036d}", wall_s + _LIVES_S
        self.tokens[token] = ends_s
        return token, ends_s

    def _signed(self, token: str, wall_s: float) -> bool:
        head, _, signature = token.rpartition(".")
        try:
            self.key.verify(_decoded(signature), head.encode(), PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
        claims = json.loads(_decoded(head.split(".")[1]))
        ends_s = int(claims["exp"])
        return bool(claims["iss"] == self.app_id and claims["iat"] <= wall_s < ends_s <= wall_s + _SIGNATURE_MOST_S)


def get_app(server: GitHubServer, call: Call) -> httpx2.Response:
    return answer({"id": 77, "slug": server.users[1], "name": server.users[1], "events": []})


def installation(server: GitHubServer, call: Call) -> httpx2.Response:
    if not _app(server).installed:
        raise NotFound
    return answer({"id": 55, "app_id": 77, "app_slug": server.users[1], "events": []})


def access_token(server: GitHubServer, call: Call) -> httpx2.Response:
    if call.body.get("repositories") != [server.name]:
        return refusal(422, "There is at least one repository that does not exist or is not accessible")
    token, ends_s = _app(server).new_token(server.clock.wall())
    expires = datetime.fromtimestamp(ends_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return answer({"token": token, "expires_at": expires, "permissions": _app(server).permissions}, 201)


def _app(server: GitHubServer) -> AppRegistration:
    if server.app is None:
        raise NotFound
    return server.app


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


APP_ROUTES: Routes[GitHubServer] = (
    ("GET", "app", get_app),
    ("GET", "REPO/installation", installation),
    ("POST", r"app/installations/(\d+)/access_tokens", access_token),
)
