"""All the I/O with one Docker host: bounded threads, a time-out on every call, and every failure as one of the four
engine errors with redacted text (I28).

The SDK is synchronous, so its session lives in a thread pool of its own. A call whose awaiting task was cancelled goes
on in its thread; `settled` waits for it, so that nobody asks "did it act?" while it still may.
"""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import docker
import requests
from docker.errors import DockerException
from docker.tls import TLSConfig

from engines.docker.unix_socket import SocketAdapter
from engines.engine import Conflict, EngineError, Redact, Refused, Transient, Unclear

Json = Any
T = TypeVar("T")
READ_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 60.0
SILENCE_TIMEOUT_S = 60.0  # of a stream: a pull that says nothing for so long has failed
_THREADS = 12  # more than steps in flight, so that a stop with a long grace holds no reading up
_CONNECTIONS = _THREADS + 4
_PULLS = 3
_ALREADY = 304  # to a start or stop: it stands so already
_API_MAX = "1.47"  # the newest API this engine was written for
_NOT_SENT = (ConnectionRefusedError, FileNotFoundError, PermissionError, requests.exceptions.ConnectTimeout)


class NotFound(Conflict):
    """The object is not there (404)."""


class Taken(Conflict):
    """The host answered 409: a name in use, a state that forbids it."""


class Failed(Transient):
    """The host answered a write with an error of its own (5xx): it is over, `find` tells whether it acted."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a host is and how to get in. `host` is what users reach published ports by."""

    url: str
    host: str
    local: bool
    tls: tuple[str, str, str] | None = None  # CA, certificate, key: paths


@dataclass(slots=True)
class Call:
    """One HTTP request. A body is JSON, or bytes that are sent as a tar archive."""

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = READ_TIMEOUT_S

    @property
    def writes(self) -> bool:
        """True for a request that may change something."""
        return self.method not in ("GET", "HEAD")


class Client:
    """One Docker host. Connects at the first call."""

    def __init__(self, address: Address, redact: Redact) -> None:
        self.address = address
        self._redact = redact
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")
        self._pulls = ThreadPoolExecutor(_PULLS, thread_name_prefix="docker-pull")
        self._api: docker.APIClient | None = None
        self._version: str | None = None
        self._lock = threading.Lock()
        self._under_way: dict[str, asyncio.Future[Json]] = {}

    async def get(
        self, path: str, params: Mapping[str, str | int] | None = None, headers: Mapping[str, str] | None = None
    ) -> Json:
        """JSON of a read. Raises NotFound for 404, Transient for anything that may pass."""
        return await self.run(lambda: self._json(Call("GET", path, params or {}, headers=headers or {})))

    async def inspect(self, path: str, key: str = "Id") -> Mapping[str, Json]:
        """One object of the host, which must have `key`: anything else answered nothing (Transient), as absence would
        be told by a 404 only."""
        found = await self.get(path)
        if not isinstance(found, dict) or found.get(key) is None:
            raise Transient(f"{path} was answered with something that is no such object")
        return found

    async def get_bytes(self, path: str, params: Mapping[str, str | int]) -> bytes:
        """Raw content of a read; the errors of `get`."""
        return await self.run(lambda: self._send(Call("GET", path, params)).content)

    async def ask(self, call: Call) -> bytes:
        """Body of a call that changes nothing worth an op (an exec of a probe)."""
        return await self.run(lambda: self._send(call).content)

    async def write(self, op: str, call: Call) -> Json:
        """Answer of a mutating request sent once for `op`; None where the host says nothing. Raises Taken for 409,
        Failed for 5xx, Unclear when the answer was lost."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, lambda: self._json(call))
        self._under_way[op] = future
        future.add_done_callback(lambda f: self._forget(op, f))
        return await asyncio.shield(future)

    async def settled(self, op: str) -> None:
        """Returns when no request of `op` is in a thread any more (each is bounded by its time-out)."""
        if (future := self._under_way.get(op)) is not None:
            await asyncio.wait([future])

    async def run(self, work: Callable[[], T]) -> T:
        """Runs `work` in this host's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def start_pull(self, work: Callable[[], None]) -> None:
        """Runs `work` beside all other calls."""
        self._pulls.submit(work)

    def stream(self, call: Call, opened: Callable[[requests.Response], None] | None = None) -> Iterator[Json]:
        """The JSON lines of a long answer, in the calling thread. Silence for longer than the call's time-out is
        Transient."""
        response = self._send(call, stream=True)
        if opened:
            opened(response)
        try:
            for line in response.iter_lines(chunk_size=512):
                if line:
                    yield json.loads(line)
        except (requests.RequestException, ValueError, OSError, AttributeError) as error:
            raise self._error(Transient, f"the stream of {call.path} broke: {_root(error)}") from None
        finally:
            response.close()

    async def close(self) -> None:
        """Gives the threads back. A request in flight ends by its own time-out."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pulls.shutdown(wait=False, cancel_futures=True)
        if self._api is not None:
            self._api.close()

    def text(self, text: str) -> str:
        """`text` without secrets, as the binding's redaction leaves it."""
        return self._redact(text)

    def _forget(self, op: str, future: asyncio.Future[Json]) -> None:
        if self._under_way.get(op) is future:
            del self._under_way[op]
        if not future.cancelled():
            future.exception()

    def _session(self) -> docker.APIClient:
        with self._lock:
            if self._api is None:
                self._api = self._connect()
            return self._api

    def _connect(self) -> docker.APIClient:
        """A session without a word to the host yet: the SDK's own first call would leak a socket when it fails."""
        where = self.address
        try:
            tls = TLSConfig(client_cert=where.tls[1:], ca_cert=where.tls[0]) if where.tls else False
            api = docker.APIClient(where.url, version=_API_MAX, timeout=30, tls=tls, max_pool_size=_CONNECTIONS)
        except DockerException as error:
            raise self._error(Refused, f"{where.url} cannot be used: {_root(error)}") from None
        api.trust_env = False
        if where.local:
            api.mount("http+docker://", SocketAdapter(where.url.replace("unix:", "http+unix:"), 30, 4, _CONNECTIONS))
        return api

    def _version_of(self, api: docker.APIClient) -> str:
        """The newest API that both know, asked once."""
        if self._version is None:
            call = Call("GET", "/version")
            response = self._request(api, f"{api.base_url}/version", call, stream=False)
            try:
                told = str(json.loads(response.content)["ApiVersion"])
                self._version = min(told, _API_MAX, key=lambda v: tuple(int(n) for n in v.split(".")))
            except (ValueError, KeyError, TypeError):
                raise self._error(Transient, f"{self.address.url} did not tell its version") from None
        return self._version

    def _json(self, call: Call) -> Json:
        content = self._send(call).content
        if not content:
            if not call.writes:
                raise self._error(Transient, f"{call.path}: an empty answer")
            return None
        try:
            return json.loads(content)
        except ValueError:
            lost = Unclear if call.writes else Transient
            raise self._error(lost, f"{call.path}: the answer is no JSON or was cut short") from None

    def _send(self, call: Call, *, stream: bool = False) -> requests.Response:
        api = self._session()
        url = f"{api.base_url}/v{self._version_of(api)}{urllib.parse.quote(call.path, safe='/:@')}"
        return self._request(api, url, call, stream=stream)

    def _request(self, api: docker.APIClient, url: str, call: Call, *, stream: bool) -> requests.Response:
        headers = dict(call.headers)
        data = call.body
        if call.body is not None and not isinstance(call.body, bytes):
            data = json.dumps(call.body)
            headers["Content-Type"] = "application/json"
        elif call.body is not None:
            headers["Content-Type"] = "application/x-tar"
        try:
            response = api.request(
                call.method,
                url,
                params=dict(call.params),
                data=data,
                headers=headers,
                timeout=(10, call.timeout_s),
                stream=stream,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            raise self._lost(call, error) from None
        if response.status_code >= 300 and response.status_code != _ALREADY:
            raise self._answered(call, response)
        return response

    def _lost(self, call: Call, error: Exception) -> EngineError:
        """No answer. Surely not sent → Transient; a write that may have arrived → Unclear."""
        root = _root(error)
        if isinstance(root, PermissionError):
            return self._error(Refused, f"no right to use {self.address.url}: {root}")
        if isinstance(root, _NOT_SENT) or not call.writes:
            return self._error(Transient, f"Docker at {self.address.url} does not answer: {root}")
        return self._error(Unclear, f"{call.method} {call.path}: the answer was lost: {root}")

    def _answered(self, call: Call, response: requests.Response) -> EngineError:
        said = _message(response)
        status = response.status_code
        if status < 400:
            return self._error(Refused, f"{self.address.url} answers with a redirect ({status}), which is not followed")
        if status in (401, 403) and "registry" not in said:
            return self._error(Refused, f"{call.method} {call.path} is forbidden: {said}")
        if status == 404:
            return self._error(NotFound, said)
        if status == 409:
            return self._error(Taken, said)
        if status == 429 or (status in (502, 503, 504) and not call.writes):
            return Transient(self._redact(said), _retry_after_s(response))
        if status in (502, 503, 504):
            return (
                self._error(Unclear, said) if status != 503 else Transient(self._redact(said), _retry_after_s(response))
            )
        if status >= 500:
            return self._error(Failed, said)
        return self._error(Refused, said)

    def _error(self, kind: type[EngineError], text: str) -> EngineError:
        return kind(self._redact(text))


def _message(response: requests.Response) -> str:
    try:
        said = json.loads(response.content)["message"]
    except (ValueError, KeyError, TypeError, requests.RequestException):
        said = response.reason or ""
    return str(said).strip()[:4096] or f"HTTP {response.status_code}"


def _retry_after_s(response: requests.Response) -> float | None:
    said = response.headers.get("Retry-After", "")
    return float(said) if said.isdigit() else None


def _root(error: BaseException) -> BaseException:
    """The innermost cause: requests wraps urllib3, urllib3 wraps the socket's error."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = [a for a in error.args if isinstance(a, BaseException)]
        reason = getattr(error, "reason", None)
        following = reason if isinstance(reason, BaseException) else (inner[0] if inner else error.__cause__)
        if following is None or isinstance(error, requests.exceptions.ConnectTimeout):
            return error
        error = following
    return error
