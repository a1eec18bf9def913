"""A GitHub App: it signs for itself with its key, and acts with a token of its installation that lives one hour.

Source: docs.github.com, "Authenticating as a GitHub App installation". A signature may be ten minutes old at most; the
token is asked for this one repository, so that it opens no other of the installation.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from datetime import datetime

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from controller.errors import InvalidInput
from controller.forges.address import RepositoryPath
from controller.forges.forge import Account, ForgeRefused
from controller.forges.github_payload import account
from controller.forges.github_repository import GitHubRepository
from controller.forges.http import ForgeHttp
from controller.forges.json_reader import Json

_BACKDATED_S = 60  # the clock of GitHub may be behind ours
_LIVES_S = 540
_RENEW_BEFORE_S = 300.0


class AppSignature:
    """What the App shows as itself: a JSON Web Token, signed with RS256 anew for each request."""

    def __init__(self, app_id: str, key: RSAPrivateKey, wall: Callable[[], float]) -> None:
        self._app_id = app_id
        self._key = key
        self._wall = wall

    async def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token()}"}

    def token(self) -> str:
        issued = int(self._wall()) - _BACKDATED_S
        claims = {"iat": issued, "exp": issued + _BACKDATED_S + _LIVES_S, "iss": self._app_id}
        signed = f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part(claims)}"
        return f"{signed}.{_encoded(self._key.sign(signed.encode(), PKCS1v15(), SHA256()))}"

    def secrets(self) -> tuple[str, ...]:
        return ()

    def refused(self) -> None:
        """The next request is signed anew anyway."""


def app_key(repository: str, app_id: str, pem: str, wall: Callable[[], float]) -> AppSignature:
    """Raises InvalidInput for anything but an RSA key in PEM; `\\n` in one line stands for the ends of its lines."""
    if not pem:
        raise InvalidInput(f"repository {repository}: forge.private_key is missing", hint="file:/path/to/key.pem")
    try:
        key = load_pem_private_key(pem.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise InvalidInput(f"repository {repository}: forge.private_key is no RSA key in PEM without a password")
    return AppSignature(app_id, key, wall)


class InstallationToken:
    """The App's token for one repository, renewed five minutes before its end. `permissions`: what it may do."""

    def __init__(self, http: ForgeHttp, root: tuple[str, ...], path: RepositoryPath, wall: Callable[[], float]) -> None:
        self._http = http
        self._root = root
        self._path = path
        self._wall = wall
        self._token = ""
        self._spent: tuple[str, ...] = ()
        self._ends_s = 0.0
        self._permissions: Mapping[str, str] = {}
        self._renewing = asyncio.Lock()

    async def headers(self) -> Mapping[str, str]:
        async with self._renewing:
            if not self._token or self._wall() > self._ends_s - _RENEW_BEFORE_S:
                await self._renew()
            return {"Authorization": f"Bearer {self._token}"}

    async def permissions(self) -> Mapping[str, str]:
        """Name → `read`, `write` or `admin`."""
        await self.headers()
        return self._permissions

    def secrets(self) -> tuple[str, ...]:
        return tuple(one for one in (*self._spent, self._token) if one)

    def refused(self) -> None:
        """Taken back before its end, as when the App is installed anew."""
        self._ends_s = 0.0

    async def close(self) -> None:
        await self._http.close()

    async def _renew(self) -> None:
        path = ("app", "installations", await self._installation(), "access_tokens")
        answer = await self._http.send("POST", *self._root, *path, body={"repositories": [self._path.name]})
        raw = self._http.read(answer)
        token, ends_s = raw["token"].text(), _seconds(raw["expires_at"])
        self._spent, self._token = (self._token,), token
        self._ends_s = ends_s
        self._permissions = {name: level.text() for name, level in raw["permissions"].items()}

    async def _installation(self) -> int:
        path = ("repos", self._path.owner, self._path.name, "installation")
        try:
            return self._http.read(await self._http.get(*self._root, *path))["id"].number()
        except ForgeRefused as refused:
            hint = f"install the App on {self._path}" if refused.code == 404 else refused.hint
            raise ForgeRefused(str(refused), hint=hint, code=refused.code) from None


class AppIdentity:
    """The user that an App's comments bear: `SLUG[bot]`."""

    def __init__(self, http: ForgeHttp, root: tuple[str, ...]) -> None:
        self._http = http
        self._root = root

    async def ask(self, repository: GitHubRepository) -> Account:
        slug = self._http.read(await self._http.get(*self._root, "app"))["slug"].text()
        raw = repository.read(await repository.http.get(*self._root, "users", f"{slug}[bot]"))
        return account(raw, own_id=raw["id"].number())


def _seconds(stamp: Json) -> float:
    try:
        return datetime.fromisoformat(stamp.text()).timestamp()
    except ValueError:
        raise stamp.wrong("is not a time") from None


def _part(claims: Mapping[str, object]) -> str:
    return _encoded(orjson.dumps(claims))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
