"""What the servers of the GitHub and GitLab APIs share: a request taken apart, answers, pages, routes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

import httpx2

Json = dict[str, Any]
S = TypeVar("S")


@dataclass(frozen=True)
class Call:
    """One request: the parts of its path that vary, its query and its body."""

    values: tuple[str, ...]
    query: Mapping[str, str]
    body: Json
    headers: Mapping[str, str]

    @property
    def number(self) -> int:
        """The first part that varies, where it is a number."""
        return int(self.values[0])


Handler = Callable[[S, Call], httpx2.Response]
Routes = Sequence[tuple[str, str, Handler[S]]]


class NotFound(Exception):
    """The handler knows no such thing."""


def dispatched(
    server: S, routes: Routes[S], request: httpx2.Request, path: str, query: Mapping[str, list[str]]
) -> httpx2.Response | None:
    """The answer of the route, or None where there is none."""
    for method, pattern, handler in routes:
        found = re.fullmatch(pattern, path)
        if found and method == request.method:
            body = json.loads(request.content) if request.content else {}
            flat = {key: values[-1] for key, values in query.items()}
            values = tuple(unquote(group) for group in found.groups())
            return handler(server, Call(values, flat, body, request.headers))
    return None


def answer(body: object, code: int = 200, headers: Mapping[str, str] | None = None) -> httpx2.Response:
    return httpx2.Response(code, json=body, headers=headers)


def paged(items: Sequence[object], call: Call, url: str, *, most: int = 100) -> httpx2.Response:
    """One page of a list, with the `Link` that tells whether more follow."""
    size = min(int(call.query.get("per_page", "30")), most)
    page = int(call.query.get("page", "1"))
    rest = len(items) - page * size
    link = {"Link": f'<{url}?page={page + 1}&per_page={size}>; rel="next"'} if rest > 0 else {}
    return answer(list(items[(page - 1) * size : page * size]), headers=link)


def conditional(request: httpx2.Request, made: httpx2.Response) -> httpx2.Response:
    """An answer with its tag, or 304 where the caller has it already."""
    if request.method != "GET" or made.status_code != 200:
        return made
    tag = f'W/"{hashlib.sha256(made.content + made.headers.get("Link", "").encode()).hexdigest()}"'
    if request.headers.get("If-None-Match") == tag:
        return httpx2.Response(304, headers={"ETag": tag})
    made.headers["ETag"] = tag
    return made
