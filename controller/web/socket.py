"""The controller's socket (STATE/alma.sock, 0660): one JSON line in, JSON lines out. The peer's uid is who asks."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from controller.errors import AlmaError, InvalidInput
from controller.operations.access import Actor, os_actor

_log = structlog.get_logger("socket")
_LINE_BYTES_MAX = 1024 * 1024
_IDLE_S = 30.0

Json = Any
Call = Callable[[Actor, str, Mapping[str, Json]], Awaitable[Json]]


async def serve_socket(path: Path, call: Call) -> asyncio.Server:
    """Listen at `path`; each connection asks once. An older socket file that nobody listens on is replaced: the state
    lock, held by the caller, says that there is no other controller."""
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, at start
    before = os.umask(0o117)
    try:
        return await asyncio.start_unix_server(lambda r, w: _answer(r, w, call), path=str(path), limit=_LINE_BYTES_MAX)
    except OSError as e:  # longer than the kernel takes (107 bytes), or a folder that may not be written
        raise InvalidInput(f"cannot listen on {path}: {e}", hint="choose a shorter or writable --state") from e
    finally:
        os.umask(before)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, call: Call) -> None:
    try:
        line = await asyncio.wait_for(reader.readline(), _IDLE_S)
        reply = await _reply(writer, line, call)
        writer.write(json.dumps(reply, default=str).encode() + b"\n")
        await writer.drain()
    except (TimeoutError, ConnectionError, ValueError) as e:
        _log.info("socket request ended early", reason=type(e).__name__)
    finally:
        writer.close()


async def _reply(writer: asyncio.StreamWriter, line: bytes, call: Call) -> Mapping[str, Json]:
    try:
        request = json.loads(line)
        verb, args = str(request["verb"]), dict(request.get("args") or {})
    except (ValueError, KeyError, TypeError):
        return {"error": {"message": "a request is one JSON line with verb and args", "hint": "", "exit_code": 3}}
    try:
        return {"result": await call(peer_of(writer), verb, args)}
    except AlmaError as e:
        return {"error": {"message": str(e), "hint": e.hint, "exit_code": e.exit_code}}
    except Exception:
        _log.exception("defect in an operation", verb=verb[:40])
        return {"error": {"message": "the controller has a defect here; its log says more", "hint": "", "exit_code": 1}}


def peer_of(writer: asyncio.StreamWriter) -> Actor:
    """Who is at the other end, from the kernel (SO_PEERCRED), never from the request."""
    connection: socket.socket = writer.get_extra_info("socket")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, gid = struct.unpack("3i", raw)
    return actor_of_uid(uid, gid)


def actor_of_uid(uid: int, gid: int) -> Actor:
    """An OS user with all their groups; the controller's own uid is admin."""
    try:
        user = pwd.getpwuid(uid).pw_name
        groups = {g.gr_name for g in grp.getgrall() if user in g.gr_mem}
    except KeyError:
        user, groups = str(uid), set()
    try:
        groups.add(grp.getgrgid(gid).gr_name)
    except KeyError:
        groups.add(str(gid))
    return os_actor(user, groups, controller=uid == os.getuid())
