"""All the I/O with one API server: pooled connections, a time-out on every call, and every failure as one of the four
engine errors with redacted text (I28). Plain JSON in both directions: the typed models drop what they do not know.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config.config_exception import ConfigException

from engines.engine import Conflict, EngineError, Redact, Refused, Transient, Unclear
from engines.kubernetes.managed import MANAGER
from engines.kubernetes.settings import Settings

Json = Any
READ_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 10.0
_CONNECTIONS = 24
_WATCH_SILENCE_S = 90.0  # a bookmark comes about once a minute
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON = "application/json"
_load_file: Any = kube_config.load_kube_config
_load_service_account: Any = kube_config.load_incluster_config
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_IN_A_POD = "KUBERNETES_SERVICE_HOST"
# Server-side apply answers 500 to a body that its schema does not know.
_NEVER = re.compile(r"failed to create typed patch object|not declared in schema")
_WEBHOOK_DOWN = re.compile(r"(?i)failed (calling|to call) webhook|context deadline exceeded")


class NotFound(Conflict):
    """The object, or its whole kind, is not there (404)."""


class Expired(Transient):
    """The watch or list cannot go on from where it was (410): list again."""


class Denied(Refused):
    """Our rights do not reach so far (403)."""


class Invalid(Refused):
    """The server will never take this body (400, 422). `causes`: (field, text) as it tells them."""

    def __init__(self, message: str, causes: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.causes = causes


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request. `user`: who it is made as, empty for ourselves."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Json = None
    content_type: str = JSON
    accept: str = JSON
    user: str = ""

    @property
    def writes(self) -> bool:
        """True for a request that may change something."""
        return self.method != "GET" and self.params.get("dryRun") is None and not self.path.startswith("/apis/authoriz")


class Client:
    """One API server. Connects at the first call."""

    def __init__(self, settings: Settings, redact: Redact) -> None:
        self._settings = settings
        self._redact = redact
        self._api: ApiClient | None = None
        self._left: ApiClient | None = None  # the session before, with calls that may still be under way
        self._namespace = ""
        self._opening = asyncio.Lock()
        self._under_way: dict[str, asyncio.Task[Json]] = {}

    async def namespace(self) -> str:
        """Where inventories lie: as configured, else the context's namespace."""
        if self._settings.namespace:
            return self._settings.namespace
        await self._session()
        return self._namespace

    async def get(self, call: Call) -> Json:
        """JSON of a read (or of a write that is only tried: `dryRun`). Raises NotFound for 404."""
        return await self._send(call)

    async def object(self, call: Call) -> Json:
        """One object. Raises Transient for an answer that is none: absence would be told by a 404 only."""
        found = await self._send(call)
        if not _is_object(found):
            raise Transient(f"{call.path} was answered with something that is no object")
        return found

    async def write(self, op: str, call: Call) -> Json:
        """Answer of a mutating request, sent once for `op`. Raises Conflict for 409, Unclear for a lost answer."""
        task = asyncio.create_task(self._written(call), name=f"kubernetes {op}")
        self._under_way[op] = task
        task.add_done_callback(lambda t: self._forget(op, t))
        return await asyncio.shield(task)

    async def settled(self, op: str) -> None:
        """Returns when no request of `op` is under way any more (each is bounded by its time-out)."""
        if (task := self._under_way.get(op)) is not None:
            await asyncio.wait([task])

    async def watch(self, path: str, params: Mapping[str, str], user: str = "") -> AsyncIterator[Json]:
        """Events of one collection until the server ends it. Raises Expired for a version that is gone."""
        call = Call("GET", path, {**params, "watch": "true", "allowWatchBookmarks": "true"}, user=user)
        response = await self._answered(call, aiohttp.ClientTimeout(sock_read=_WATCH_SILENCE_S))
        try:
            async for line in response.content:
                if line.strip():
                    yield self._event(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._error(Transient, f"the watch of {path} broke: {error}") from None
        finally:
            response.close()

    async def close(self) -> None:
        """Gives the connections back."""
        for task in list(self._under_way.values()):
            task.cancel()
        for session in (self._api, self._left):
            if session is not None:
                await session.close()  # type: ignore[no-untyped-call] # the client has no types
        self._api = self._left = None

    def text(self, text: str) -> str:
        """`text` without secrets."""
        return self._redact(text)

    async def _written(self, call: Call) -> Json:
        found = await self._send(call)
        gone = call.method == "DELETE" and isinstance(found, dict) and found.get("status") == "Success"
        if not gone and not _is_object(found):
            raise Unclear(f"{call.path} was answered with something that is no object")
        return found

    def _forget(self, op: str, task: asyncio.Task[Json]) -> None:
        if self._under_way.get(op) is task:
            del self._under_way[op]
        if not task.cancelled():
            task.exception()

    async def _session(self) -> ApiClient:
        async with self._opening:
            if self._api is None:
                self._api = await self._connect()
            return self._api

    async def _connect(self) -> ApiClient:
        configuration = Configuration()
        configuration.connection_pool_maxsize = _CONNECTIONS
        configuration.retries = False  # who asks decides whether it is asked again
        try:
            await self._load(configuration)
        except (ConfigException, OSError, ValueError, KeyError, TypeError) as error:
            raise self._error(Refused, f"the cluster's configuration cannot be used: {error}") from None
        configuration.client_session_kwargs = {"trust_env": False}
        return ApiClient(configuration)

    async def _load(self, configuration: Configuration) -> None:
        settings = self._settings
        file, there = _default_file()
        file = settings.kubeconfig or file
        named = settings.kubeconfig or settings.context or there
        if settings.in_cluster or (not named and os.environ.get(_IN_A_POD)):
            _load_service_account(configuration)
            self._namespace = (_SERVICE_ACCOUNT / "namespace").read_text().strip()
            return
        loader = await _load_file(file, settings.context, configuration, persist_config=False)
        self._namespace = loader.current_context["context"].get("namespace") or "default"

    async def _send(self, call: Call) -> Json:
        used = await self._session()
        try:
            return await self._once(call)
        except _Unauthorized:
            # Nothing was done. A token that has run out may have a successor where it was read from.
            await self._reopen(used)
        try:
            return await self._once(call)
        except _Unauthorized:
            text = "the cluster does not accept our credentials; renew the kubeconfig or token of this target"
            raise self._error(Refused, text) from None

    async def _reopen(self, used: ApiClient) -> None:
        """A new session in place of `used`, once, whoever notices; others may still be in a call on the old one."""
        async with self._opening:
            if self._api is not used:
                return
            gone, self._left, self._api = self._left, used, None
        if gone is not None:
            await gone.close()  # type: ignore[no-untyped-call] # the client has no types

    async def _once(self, call: Call) -> Json:
        total_s = WRITE_TIMEOUT_S if call.writes else READ_TIMEOUT_S
        response = await self._answered(call, aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_TIMEOUT_S))
        lost = Unclear if call.writes else Transient
        try:
            content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._error(lost, f"{call.path}: the answer was lost: {error or type(error).__name__}") from None
        try:
            return orjson.loads(content)
        except ValueError:
            raise self._error(lost, f"{call.path}: the answer is no JSON or was cut short") from None

    async def _answered(self, call: Call, bound: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        api = await self._session()
        headers = {"Accept": call.accept, "Content-Type": call.content_type}
        if call.user:
            headers["Impersonate-User"] = call.user
        body = plain(call.body) if call.body is not None else None
        try:
            request = await api.param_serialize(
                call.method,
                call.path,
                query_params=list(call.params.items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await api.call_api(*request, _request_timeout=bound)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise self._error(Transient, f"the cluster cannot be reached: {error}") from None
        except (aiohttp.ClientError, ApiException, TimeoutError, OSError) as error:
            lost = Unclear if call.writes else Transient
            raise self._error(lost, f"{call.path}: no answer: {error or type(error).__name__}") from None
        response: aiohttp.ClientResponse = answer.response
        if response.status >= 400:
            raise await self._failure(call, response)
        return response

    async def _failure(self, call: Call, response: aiohttp.ClientResponse) -> Exception:
        try:
            status = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            status = {}
        status = status if isinstance(status, dict) else {}
        text = str(status.get("message") or f"{call.path} was answered with {response.status}")
        return self._classified(call, response.status, text, status, response.headers.get("Retry-After"))

    def _classified(self, call: Call, code: int, text: str, status: Json, retry_after: str | None) -> Exception:
        wait_s = float(retry_after) if retry_after and retry_after.isdigit() else None
        if code == 401:
            return _Unauthorized()
        if code in (400, 422):
            causes = (status.get("details") or {}).get("causes") or ()
            told = tuple((str(c.get("field", "")), self._redact(str(c.get("message", "")))) for c in causes)
            return Invalid(self._redact(text), told)
        if code == 409 and call.method == "GET":
            return self._error(Transient, text)  # a read conflicts with nothing: something on the way says so
        if code == 500 and _NEVER.search(text):
            return self._error(Refused, text)
        if code in _ERRORS:
            return self._error(_ERRORS[code], text)
        if code == 429 or code == 503 or _WEBHOOK_DOWN.search(text):
            return Transient(self._redact(text), wait_s)
        return self._error(Unclear if call.writes and code >= 500 else Transient if code >= 500 else Refused, text)

    def _event(self, line: bytes) -> Json:
        try:
            event = orjson.loads(line)
        except ValueError:
            raise self._error(Transient, "the watch told something that is no JSON") from None
        if event.get("type") == "ERROR":
            status = event.get("object") or {}
            kind = Expired if status.get("code") == 410 else Transient
            raise self._error(kind, str(status.get("message") or "the watch ended with an error"))
        return event

    def _error(self, kind: type[EngineError], text: str) -> EngineError:
        return kind(self._redact(text))


def _default_file() -> tuple[str, bool]:
    """Where kubectl looks, and whether something is there."""
    file = os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")
    return file, any(os.path.exists(f) for f in file.split(os.pathsep))


def _is_object(found: Json) -> bool:
    metadata = found.get("metadata") if isinstance(found, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("uid") and metadata.get("resourceVersion"))


class _Unauthorized(Exception):
    """401: nothing was done."""


_ERRORS: Mapping[int, type[EngineError]] = {403: Denied, 404: NotFound, 405: Refused, 409: Conflict, 410: Expired}


def plain(value: Any) -> Any:
    """JSON types only: exact numbers become numbers, tuples lists."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def apply_params(dry_run: bool = False) -> dict[str, str]:
    """The query of a server-side apply. Forced: what the blueprint says counts, and the plan has named whose it was."""
    params = {"fieldManager": MANAGER, "force": "true", "fieldValidation": "Strict"}
    return {**params, "dryRun": "All"} if dry_run else params
