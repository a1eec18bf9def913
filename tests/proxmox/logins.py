"""Who is calling: tickets with their CSRF tokens, and API tokens."""

from __future__ import annotations

import hashlib
import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import unquote

from tests.proxmox.faults import ApiError
from tests.proxmox.messages import Request
from tests.proxmox.permissions import Login
from tests.proxmox.world import World

_TICKET_LIFE_S = 7200


def refused(reason: str) -> ApiError:
    """A 401: plain text, no JSON."""
    return ApiError(401, reason, plain=True)


def _signed(world: World, text: str) -> str:
    return hmac.new(world.secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def ticket_for(world: World, userid: str) -> str:
    """A ticket that is good for two hours; it outlives restarts."""
    plain = f"PVE:{userid}:{int(world.now_s):08X}"
    return f"{plain}::{_signed(world, plain)}"


def csrf_for(world: World, userid: str) -> str:
    """The token every changing call with a ticket must carry."""
    stamp = f"{int(world.now_s):08X}"
    return f"{stamp}:{_signed(world, f'{stamp}:{userid}')}"


def ticket_user(world: World, ticket: str) -> str | None:
    """The user of a good ticket; None if it is forged or too old."""
    plain, _, signature = ticket.partition("::")
    parts = plain.split(":")
    if len(parts) != 3 or not hmac.compare_digest(signature.encode(), _signed(world, plain).encode()):
        return None
    age_s = world.now_s - int(parts[2], 16)
    return parts[1] if -300 < age_s < _TICKET_LIFE_S else None


def identify(world: World, request: Request) -> Login:
    """The login of a request. Raises the 401 of the API; a ticket beats a token."""
    ticket = _ticket(request)
    if ticket is not None:
        return _by_ticket(world, request, ticket)
    header = request.headers.get("authorization", "")
    if header.startswith(("PVEAPIToken=", "PVEAPIToken ")):
        return _by_token(world, header[len("PVEAPIToken=") :])
    raise refused("No ticket")


def _ticket(request: Request) -> str | None:
    try:
        cookie = SimpleCookie(request.headers.get("cookie", "")).get("PVEAuthCookie")
    except CookieError:
        cookie = None
    header = request.headers.get("authorization", "")
    if cookie is None and header.startswith("PVEAuthCookie="):
        return unquote(header[len("PVEAuthCookie=") :])
    return None if cookie is None else unquote(cookie.value)


def _by_ticket(world: World, request: Request, ticket: str) -> Login:
    userid = ticket_user(world, ticket)
    if userid is None:
        raise refused("permission denied - invalid PVE ticket")
    if request.verb != "GET" and request.upload is None:
        _check_csrf(world, userid, request.headers.get("csrfpreventiontoken", ""))
    _check_user(world, userid)
    return Login(userid)


def _check_csrf(world: World, userid: str, token: str) -> None:
    stamp, _, signature = token.partition(":")
    if not hmac.compare_digest(signature.encode(), _signed(world, f"{stamp}:{userid}").encode()):
        raise refused("Permission denied - invalid csrf token")


def _by_token(world: World, text: str) -> Login:
    name, equals, secret = text.replace(":", "=", 1).partition("=") if "=" not in text else text.partition("=")
    userid, mark, tokenid = name.partition("!")
    if not equals or not mark:
        raise refused("no API token id found")
    _check_user(world, userid)
    token = world.users[userid].tokens.get(tokenid)
    if token is None:
        raise refused(f"no such token '{tokenid}' for user '{userid}'")
    if token.expire_s and token.expire_s <= world.now_s:
        raise refused(f"token '{name}' access expired")
    if not hmac.compare_digest(token.secret.encode(), secret.encode()):
        raise refused("invalid token value!")
    return Login(userid, tokenid)


def _check_user(world: World, userid: str) -> None:
    user = world.users.get(userid)
    if user is None:
        raise refused(f"no such user ('{userid}')")
    if not user.enable:
        raise refused(f"user '{userid}' is disabled")
    if user.expire_s and user.expire_s <= world.now_s:
        raise refused(f"user '{userid}' access expired")
