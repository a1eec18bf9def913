"""What only the emulator has: `/__control/…` sets the clock, breaks things, and plays the other people of a cluster.

| call | body | what |
|---|---|---|
| GET world | | the whole state |
| GET ledger | | `{calls, changes}`: how many calls came, and every changing one that was accepted, secrets left out |
| POST clock | advance_s | lets emulated time pass |
| POST settings | any field of `world.Settings` | task lengths, lags, quorum |
| POST faults | a fault; DELETE removes all | see below |
| POST node | name, online | a node dies or boots |
| POST guest | vmid, and of: node, running, agent, config, lock, delete | somebody else changed a guest behind the API |
| POST lock | path, hold_s | somebody holds a lock file |
| POST restart | down_s | the API daemon is away: connections end without an answer, workers go on |
| POST user | userid, password, second_factor | a login with a password |

Faults: `{"on": "task", "type": "qmclone", "id": "9000", "kind": "fail" | "hang" | "die" | "warn" | "slow", "text",
"at": "start" | "end", "length_s", "count", "lines", "times"}` and `{"on": "call", "method", "path", "kind": "status" |
"drop" | "delay" | "reset" | "cut" | "slow" | "body", "status", "reason", "after": true, "delay_s", "body", "times"}`.
`path` is a regular expression of the path behind `/api2/json`; `after` means: do the work, then lose the answer. The
last four always do the work: the connection ends in the middle of the answer, its JSON does, it comes byte by byte
(`delay_s` between two), or `body` comes instead. `skip`: so many calls are left alone first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from tests.proxmox.calls import Call
from tests.proxmox.messages import Reply, Request
from tests.proxmox.schema import Method
from tests.proxmox.timeline import node_down, node_up
from tests.proxmox.world import User, World

PREFIX = "/__control/"

Values = Mapping[str, Any]


def answer(world: World, request: Request) -> Reply:
    """Carries out one control call: `{"data": null}`, or 400 with what is wrong."""
    what = request.path[len(PREFIX) :]
    if (request.verb, what) == ("GET", "world"):
        return Reply(200, "OK", orjson.dumps({"data": world}, option=orjson.OPT_NON_STR_KEYS))
    if (request.verb, what) == ("GET", "ledger"):
        return Reply(200, "OK", orjson.dumps({"data": {"calls": world.calls, "changes": world.ledger}}))
    if (request.verb, what) == ("DELETE", "faults"):
        world.faults.clear()
        return _done()
    work = _WORK.get(what)
    if work is None:
        return Reply(404, "no such control", b"", "text/plain")
    try:
        work(world, orjson.loads(request.raw or b"{}"))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        return Reply(400, "bad control call", f"{type(error).__name__}: {error}".encode(), "text/plain")
    return _done()


def _done() -> Reply:
    return Reply(200, "OK", b'{"data":null}')


def _clock(world: World, values: Values) -> None:
    world.skew_s += float(values["advance_s"])


def _settings(world: World, values: Values) -> None:
    for name, value in values.items():
        getattr(world.settings, name)
        setattr(world.settings, name, value)


def _faults(world: World, values: Values) -> None:
    if values["on"] not in ("task", "call"):
        raise ValueError("`on` is task or call")
    world.faults.append(dict(values))


def _node(world: World, values: Values) -> None:
    node = world.nodes[values["name"]]
    if values["online"] and not node.online:
        node_up(world, node)
    elif not values["online"] and node.online:
        node_down(world, node)


def _guest(world: World, values: Values) -> None:
    vmid = int(values["vmid"])
    if values.get("delete"):
        del world.guests[vmid]
        world.volumes = [volume for volume in world.volumes if volume.vmid != vmid]
        return
    guest = world.guests[vmid]
    guest.node = values.get("node", guest.node)
    guest.agent = values.get("agent", guest.agent)
    guest.running = bool(values.get("running", guest.running))
    for key, value in {**values.get("config", {}), **({"lock": values["lock"]} if "lock" in values else {})}.items():
        if value is None:
            guest.config.pop(key, None)
        else:
            guest.config[key] = str(value)


def _lock(world: World, values: Values) -> None:
    world.held_locks[values["path"]] = world.now_s + float(values["hold_s"])


def _restart(world: World, values: Values) -> None:
    world.down_until_s = world.now_s + float(values["down_s"])


def _user(world: World, values: Values) -> None:
    user = world.users.setdefault(values["userid"], User(values["userid"]))
    user.password = values.get("password", user.password)
    user.second_factor = values.get("second_factor", user.second_factor)


_WORK: Mapping[str, Callable[[World, Values], None]] = {
    "clock": _clock,
    "settings": _settings,
    "faults": _faults,
    "node": _node,
    "guest": _guest,
    "lock": _lock,
    "restart": _restart,
    "user": _user,
}


def entry(world: World, method: Method, call: Call, result: Any) -> dict[str, Any]:
    """One line of the ledger: who changed what, and the task or text it was answered with."""
    secret = ("password", "cipassword", "value", "keyring", "encryption-key")
    params = {key: value for key, value in call.params.items() if key not in secret}
    told = result if isinstance(result, str) else None
    return {
        "at_s": world.now_s,
        "login": call.login.name,
        "verb": method.verb,
        "path": method.path,
        "params": params,
        "result": told,
    }


def take_call_fault(world: World, request: Request) -> dict[str, Any] | None:
    """The fault that befalls this call, used up once."""
    path = re.sub(r"^/api2/\w+", "", request.path)
    for fault in world.faults:
        if fault["on"] != "call" or fault.get("method", request.verb) != request.verb:
            continue
        if re.fullmatch(str(fault.get("path", ".*")), path):
            if int(fault.get("skip", 0)) > 0:
                fault["skip"] -= 1
                continue
            fault["times"] = int(fault.get("times", 1)) - 1
            if fault["times"] <= 0:
                world.faults.remove(fault)
            return fault
    return None


# The answer of a call that was carried out, spoilt on its way.
_AT_THE_WIRE: Mapping[str, Callable[[Mapping[str, Any], Reply], Reply]] = {
    "reset": lambda _, reply: replace(reply, drop=True, sent=max(1, len(reply.body) // 2)),
    "cut": lambda _, reply: replace(reply, body=reply.body[: max(1, len(reply.body) - 2)]),
    "slow": lambda fault, reply: replace(reply, byte_s=float(fault["delay_s"])),
    "body": lambda fault, reply: replace(reply, body=str(fault["body"]).encode()),
}


def comes_first(fault: Mapping[str, Any]) -> bool:
    """True if the call must not be carried out."""
    return not fault.get("after") and fault["kind"] not in ("delay", *_AT_THE_WIRE)


def faulty(fault: Mapping[str, Any], reply: Reply | None = None) -> Reply:
    """What the client gets instead of `reply`, the answer of a call that was carried out."""
    if fault["kind"] == "delay" and reply is not None:
        return replace(reply, delay_s=float(fault["delay_s"]))
    if fault["kind"] in _AT_THE_WIRE and reply is not None:
        return _AT_THE_WIRE[fault["kind"]](fault, reply)
    if fault["kind"] == "drop":
        return Reply(0, "", b"", drop=True)
    status = int(fault.get("status", 596))
    reason = str(fault.get("reason", "Connection timed out" if status == 596 else "emulated"))
    body = b"" if status >= 590 else orjson.dumps({"data": None, "message": f"{reason}\n"})
    return Reply(status, reason, body, delay_s=float(fault.get("delay_s", 0.0)))
