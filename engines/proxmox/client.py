"""All the I/O with one Proxmox VE cluster: bounded threads, a time-out on every call, and every failure as one of the
four engine errors with redacted text (I28).

The SDK is synchronous, so its session lives in a thread pool of its own. A call whose awaiting task was cancelled goes
on in its thread; `settled` waits for it, so that nobody asks "did it act?" while it still may.

The API says what went wrong in the text of a 500, so code and text are read together: a lock or a lost quorum passes, a
stale digest is a conflict, a missing guest is gone; 595 to 599 come from the node in between and may hide a call that
was carried out.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests
from proxmoxer import ProxmoxAPI
from proxmoxer.core import ResourceException
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from engines.engine import Conflict, EngineError, Redact, Refused, Transient, Unclear
from engines.proxmox.settings import Settings

Json = Any
READ_TIMEOUT_S = 30.0  # until the answer begins, and between two pieces of it
BODY_TIMEOUT_S = 30.0  # until all of it is there, however small the pieces
_THREADS = 8
_PIECE_BYTES = 65_536
_NOT_SENT = (ConnectionRefusedError, PermissionError, requests.exceptions.ConnectTimeout, requests.exceptions.SSLError)


class NotFound(Conflict):
    """What the call is about is not there."""


class Taken(Conflict):
    """The name or id is in use."""


class Stale(Conflict):
    """The configuration has changed since its digest was read."""


class Locked(Transient):
    """Somebody works on it: a lock file, a lock in its configuration, or no quorum."""


class Failed(Transient):
    """The cluster answered a write with an error of its own: it is over, `find` tells whether it acted."""


# The first that matches counts. The texts are those of PVE 8.4 and 9.
_TEXTS: tuple[tuple[re.Pattern[str], type[EngineError]], ...] = (
    (re.compile(r"checksum mismatch \(file change|detected modified configuration"), Stale),
    (
        re.compile(r"got timeout|got lock request timeout|is locked \(|no quorum|cluster not ready|locked command"),
        Locked,
    ),
    (re.compile(r"replication running\?"), Locked),
    (re.compile(r"already exists|already defined|already in use|is already a pool member|belongs already"), Taken),
    (re.compile(r"volume '?\S+'? does not exist|storage '\S+' does not exist|pool '\S+' does not exist$"), Refused),
    (re.compile(r"does not exist|no such resource|[Nn]o such job|not HA managed|no rule at position"), NotFound),
)


# What every row of a list, and every object, must tell: without it an answer is none, and nothing is taken for absent.
_ROWS: Mapping[str, str] = {
    "backup": "id",
    "cluster/resources": "type",
    "content": "volid",
    "ha/resources": "sid",
    "log": "t",
    "pending": "key",
    "pools": "poolid",
    "rules": "pos",
    "snapshot": "name",
    "tasks": "upid",
}
_OBJECTS: Mapping[str, str] = {"current": "status", "status": "status"}


@dataclass(slots=True)
class Call:
    """One request. `path` is below `/api2/json`; its parts are quoted already (`at`)."""

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """True for a request that may change something."""
        return self.method != "GET"


def at(*parts: str | int) -> str:
    """A path of these parts, each quoted: no name can lead to another path. Raises ValueError for `.` and `..`."""
    if any(str(p) in ("", ".", "..") for p in parts):
        raise ValueError(f"{parts} is no path")
    return "/" + "/".join(quote(str(p), safe=":@!") for p in parts)


class Client:
    """One cluster. Connects at the first call."""

    def __init__(self, settings: Settings, redact: Redact) -> None:
        self.settings = settings
        self.calls = 0
        self._redact = redact
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="proxmox")
        self._api: ProxmoxAPI | None = None
        self._lock = threading.Lock()
        self._under_way: dict[str, asyncio.Future[Json]] = {}

    async def get(self, path: str, **params: str | int) -> Json:
        """Data of a read. Raises NotFound, Transient for anything that may pass, Refused without the right to read."""
        return await self._run(Call("GET", path, params))

    async def rows(self, path: str, **params: str | int) -> list[Mapping[str, Json]]:
        """A list of objects that tell who they are; anything else answered nothing (Transient): an empty list means
        that there are none."""
        found = await self.get(path, **params)
        told = _named(_ROWS, path)
        if not isinstance(found, list) or not all(isinstance(row, dict) and (not told or told in row) for row in found):
            raise Transient(f"{path} was answered with something that is no list of these objects")
        return found

    async def object(self, path: str, **params: str | int) -> Mapping[str, Json]:
        """One object; the errors of `rows`."""
        found = await self.get(path, **params)
        told = _named(_OBJECTS, path)
        if not isinstance(found, dict) or (told and told not in found):
            raise Transient(f"{path} was answered with something that is no such object")
        return found

    async def write(self, op: str, call: Call) -> Json:
        """Answer of a mutating request sent once for `op`: a UPID, a text, an object or None. Raises Stale, Taken,
        NotFound, Locked, Failed, Refused, or Unclear when the answer was lost."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, lambda: self._send(call))
        self._under_way[op] = future
        future.add_done_callback(lambda f: self._forget(op, f))
        return await asyncio.shield(future)

    async def settled(self, op: str) -> None:
        """Returns when no request of `op` is in a thread any more (each is bounded by its time-out)."""
        if (future := self._under_way.get(op)) is not None:
            await asyncio.wait([future])

    async def close(self) -> None:
        """Gives the threads back. A request in flight ends by its own time-out."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._api is not None:
            self._session().close()

    def text(self, text: str) -> str:
        """`text` without secrets, as the binding's redaction leaves it."""
        return self._redact(text)

    async def _run(self, call: Call) -> Json:
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: self._send(call))

    def _forget(self, op: str, future: asyncio.Future[Json]) -> None:
        if self._under_way.get(op) is future:
            del self._under_way[op]
        if not future.cancelled():
            future.exception()

    def _connected(self) -> ProxmoxAPI:
        with self._lock:
            if self._api is None:
                self._api = self._connect()
            return self._api

    def _connect(self) -> ProxmoxAPI:
        """A session without a word to the cluster yet."""
        s = self.settings
        api = ProxmoxAPI(
            s.host,
            port=s.port,
            user=s.user,
            token_name=s.token_name,
            token_value=s.secret,
            # With a fingerprint the adapter compares the certificate itself: no authority need have signed it.
            verify_ssl=False if s.fingerprint else (s.ca or True),
            timeout=READ_TIMEOUT_S,
        )
        session: requests.Session = api._store["session"]
        session.trust_env = False
        session.mount("https://", _Pinned(s.fingerprint))
        return api

    def _session(self) -> requests.Session:
        session: requests.Session = self._connected()._store["session"]
        return session

    def _send(self, call: Call) -> Json:
        self.calls += 1
        resource = self._connected()(call.path.split("/")[1:])
        verb = getattr(resource, call.method.lower())
        try:
            found = verb(**call.params)
        except ResourceException as error:
            raise self._answered(call, error) from None
        except (requests.RequestException, OSError, KeyError, ValueError, TypeError) as error:
            raise self._lost(call, error) from None
        if isinstance(found, dict) and isinstance(found.get("errors"), bytes):
            raise self._lost(call, ValueError("the answer is not whole"))
        return found

    def _lost(self, call: Call, error: Exception) -> EngineError:
        """No answer, or none that can be read. Surely not sent → Transient; a write that may have arrived → Unclear."""
        root = _root(error)
        if isinstance(root, requests.exceptions.SSLError) or "certificate" in str(root).lower():
            return self._error(Refused, f"{self._where} shows a certificate that is not the configured one: {root}")
        if isinstance(root, _NOT_SENT) or not call.writes:
            return self._error(Transient, f"Proxmox VE at {self._where} does not answer: {root}")
        return self._error(Unclear, f"{call.method} {call.path}: the answer was lost: {root}")

    def _answered(self, call: Call, error: ResourceException) -> EngineError:
        status = int(error.status_code)
        said = f"{call.method} {call.path}: {_said(error)}"
        if status == 401:
            # Nothing of a failed login is echoed (I28).
            return Refused(f"{self._where} does not take the API token of this target; renew it or correct `token`")
        if status in (400, 403, 501, 506):
            kind = Taken if "already exists" in said else NotFound if "No such job" in said else Refused
            return self._error(kind, said)
        if status == 429 or (status == 503 and not call.writes):
            return self._error(Transient, said)
        if status == 500:
            known = next((kind for text, kind in _TEXTS if text.search(said)), None)
            return self._error(known or (Failed if call.writes else Transient), said)
        return self._error(Unclear if call.writes else Transient, f"{said} ({status})")

    @property
    def _where(self) -> str:
        return f"https://{self.settings.host}:{self.settings.port}"

    def _error(self, kind: type[EngineError], text: str) -> EngineError:
        return kind(self._redact(text)[:4096])


class _Pinned(HTTPAdapter):
    """As many connections as threads; with a fingerprint, only to who shows that certificate. An answer is read to its
    end here, because the time-out of the library begins anew with every byte."""

    def __init__(self, fingerprint: str | None) -> None:
        self._fingerprint = fingerprint
        super().__init__(pool_connections=1, pool_maxsize=_THREADS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """urllib3 compares the certificate before a word is sent."""
        if self._fingerprint:
            kwargs["assert_fingerprint"] = self._fingerprint
        super().init_poolmanager(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Raises requests' Timeout for an answer that is not all there in time."""
        response = super().send(*args, **kwargs)
        response._content = _whole(response)
        return response


def _whole(response: requests.Response) -> bytes:
    end_s = time.monotonic() + BODY_TIMEOUT_S
    pieces = []
    try:
        while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
            pieces.append(piece)
            if time.monotonic() > end_s:
                raise requests.exceptions.ReadTimeout(f"the answer is not all there after {BODY_TIMEOUT_S:g} s")
    except HTTPError as error:
        raise requests.exceptions.ConnectionError(error) from None
    except BaseException:
        response.close()
        raise
    return b"".join(pieces)


def _named(table: Mapping[str, str], path: str) -> str | None:
    """What `table` says of the end of a path, the longer one first."""
    *_, before, last = path.split("/")
    return table.get(f"{before}/{last}") or table.get(last)


def _said(error: ResourceException) -> str:
    errors = error.errors
    if isinstance(errors, Mapping) and errors and not isinstance(errors.get("errors"), bytes):
        listed = "; ".join(f"{key}: {str(text).strip()}" for key, text in sorted(errors.items()))
        return f"{str(error.content).partition(' - {')[0].strip()} {listed}"
    return str(error.content or error.status_message or f"HTTP {error.status_code}").partition(" - {")[0].strip()


def _root(error: BaseException) -> BaseException:
    """The innermost cause: requests wraps urllib3, urllib3 wraps the socket's error."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = [a for a in error.args if isinstance(a, BaseException)]
        reason = getattr(error, "reason", None)
        following = reason if isinstance(reason, BaseException) else (inner[0] if inner else error.__cause__)
        if following is None or isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
            return error
        error = following
    return error
