"""One call from request to answer, in the order of the API: login, method, rights, forwarding, parameters, work."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from tests.proxmox import control
from tests.proxmox.calls import Call, Extended
from tests.proxmox.catalogue import ACTIONS, ROUTES, ha_round
from tests.proxmox.faults import VERIFICATION_FAILED, ApiError, died
from tests.proxmox.logins import identify
from tests.proxmox.messages import Reply, Request
from tests.proxmox.permissions import Login, check_method
from tests.proxmox.schema import Method, load_schema
from tests.proxmox.store import Store
from tests.proxmox.timeline import settle
from tests.proxmox.verifier import normalised, verify
from tests.proxmox.world import World, fresh_world

_BASES = {"/api2/json": False, "/api2/extjs": True}
_WORLD = Login("", None)


class Emulator:
    """Answers requests against one world. Not thread-safe: call it from one loop.

    `clock` gives seconds since the epoch; the world adds what the control endpoint skipped ahead.
    """

    def __init__(
        self, clock: Callable[[], float], *, version: str = "9.1", seed: str = "1", store: Store | None = None
    ) -> None:
        self._clock = clock
        self._store = store
        saved = store.load() if store is not None else None
        self.world: World = saved or fresh_world(version, seed, clock())
        self._schema = load_schema(self.world.version)
        self.defects: list[str] = []

    def answer(self, request: Request) -> Reply:
        """The answer; the state it left is on disk before this returns."""
        try:
            return self._answer(request)
        except Exception:
            # Our own fault must not look like one of the API: the client meets a dead connection, the test this list.
            self.defects.append(f"{request.verb} {request.path}\n{traceback.format_exc()}")
            return Reply(0, "", b"", drop=True)

    def _answer(self, request: Request) -> Reply:
        happened = self._settle()
        reply = self._reply(request)
        happened |= self._settle()
        if self._store is not None and (happened or request.verb != "GET"):
            self._store.save(self.world)
        return reply

    def _settle(self) -> bool:
        return settle(self.world, ACTIONS, ha_round, self._clock() + self.world.skew_s)

    def _reply(self, request: Request) -> Reply:
        if request.path.startswith(control.PREFIX):
            return control.answer(self.world, request)
        if self.world.down_until_s > self.world.now_s:
            return Reply(0, "", b"", drop=True)
        self.world.calls += 1
        fault = control.take_call_fault(self.world, request)
        if fault is not None and control.comes_first(fault):
            return control.faulty(fault)
        reply = self._api(request)
        return reply if fault is None else control.faulty(fault, reply)

    def _api(self, request: Request) -> Reply:
        base = next((base for base in _BASES if request.path.startswith(f"{base}/")), None)
        if base is None:
            return Reply(404, f"no such file '{request.path}'", b"", "text/plain")
        try:
            return success(self._result(request, request.path[len(base) :]), extjs=_BASES[base])
        except ApiError as error:
            delay_s = self.world.settings.unauthorised_delay_s if error.status == 401 else 0.0
            return failure(error, extjs=_BASES[base], delay_s=delay_s)

    def _result(self, request: Request, path: str) -> Any:
        found = self._schema.find(request.verb, path)
        login = self._login(request, found)
        if found is None:
            raise ApiError(501, f"Method '{request.verb} {path}' not implemented", plain=True)
        method, in_path = found
        # The server core passes an upload on by the name of its file.
        uploaded = {"filename": request.upload[0]} if request.upload is not None else {}
        params = _merged(in_path, {**request.query, **request.form, **uploaded})
        if login.token is not None and not method.body.get("allowtoken", 1):
            raise forbidden_to_tokens(path)
        if login is not _WORLD:
            check_method(self.world, login, method.body.get("permissions"), params)
        self._forward(method, params)
        errors = verify(method, params)
        if errors:
            raise ApiError(400, VERIFICATION_FAILED, errors)
        call = Call(self.world, login, normalised(method, params), ACTIONS, request.upload)
        result = self._work(method, call)
        if method.verb != "GET" and login is not _WORLD:
            self.world.ledger.append(control.entry(self.world, method, call, result))
        return result

    def _login(self, request: Request, found: tuple[Method, Mapping[str, str]] | None) -> Login:
        permissions = found[0].body.get("permissions") if found is not None else None
        if permissions is not None and permissions.get("user") == "world":
            return _WORLD
        return identify(self.world, request)

    def _forward(self, method: Method, params: Mapping[str, Any]) -> None:
        """A call for another node goes through the one we talk to: a dead one is found before parameters are read."""
        name = params.get("node")
        if name is None or method.body.get("proxyto") != "node":
            return
        name = next(iter(self.world.nodes)) if name == "localhost" else name
        if name not in self.world.nodes:
            if re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?", str(name)) is None:
                return  # the check of parameters says what is wrong
            text = f"hostname lookup '{name}' failed - failed to get address info for: {name}: "
            raise died(f"{text}Name or service not known")
        if not self.world.nodes[name].online:
            raise ApiError(595, "No route to host", plain=True)

    def _work(self, method: Method, call: Call) -> Any:
        handler = ROUTES.get((method.verb, method.path))
        if handler is None:
            raise ApiError(501, f"'{method.verb} {method.path}' is not part of this emulator", plain=True)
        if method.verb != "GET" and not self.world.settings.quorate and method.body.get("protected"):
            raise died("cluster not ready - no quorum?")
        return handler(call)


def forbidden_to_tokens(path: str) -> ApiError:
    """A call that only a ticket may make."""
    return ApiError(403, f"URI '{path}' not available with API token, need proper ticket.")


def _merged(in_path: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    conflicts = {key: value for key, value in in_path.items() if key in given and given[key] != value}
    if conflicts:
        text = "duplicate parameter (already defined in URI) with conflicting values!"
        raise ApiError(400, VERIFICATION_FAILED, dict.fromkeys(conflicts, text))
    return {**given, **in_path}


def success(result: Any, *, extjs: bool) -> Reply:
    """`{"data": …}` with what stands beside it."""
    extended = result if isinstance(result, Extended) else Extended(result)
    body: dict[str, Any] = {"data": extended.data, **extended.beside}
    if extjs:
        body["success"] = 1
    return Reply(200, "OK", orjson.dumps(body))


def failure(error: ApiError, *, extjs: bool, delay_s: float = 0.0) -> Reply:
    """The reason in the status line and, but for the server core's own errors, in the JSON body, too."""
    if error.plain and not extjs:
        return Reply(error.status, error.reason, b"", "text/plain", delay_s=delay_s)
    body: dict[str, Any] = {"data": None, "message": f"{error.reason}\n"}
    if error.errors:
        body["errors"] = dict(error.errors)
    if extjs:
        return Reply(200, "OK", orjson.dumps({**body, "success": 0, "status": error.status}))
    return Reply(error.status, error.reason, orjson.dumps(body), delay_s=delay_s)
