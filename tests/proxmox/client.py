"""A client for the emulator's own tests: says what it wants in one line, and keeps the reason of an error."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, reason of the status line, and the JSON body (empty if there was none)."""

    status: int
    reason: str
    body: Mapping[str, Any]

    @property
    def data(self) -> Any:
        """What the call answered; None for an error."""
        return self.body.get("data")

    @property
    def errors(self) -> Mapping[str, str]:
        """The faults of a 400 by parameter."""
        found: Mapping[str, str] = self.body.get("errors", {})
        return found


class Client:
    """Calls one emulator as one login."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, authority: bytes = b"") -> None:
        self.url = url
        trust = ssl.create_default_context(cadata=authority.decode()) if authority else True
        self.http = httpx2.Client(base_url=url, headers=dict(headers or {}), timeout=10, verify=trust)

    def close(self) -> None:
        """Ends the connections."""
        self.http.close()

    def call(self, verb: str, path: str, /, **params: Any) -> Answer:
        """One call; GET and DELETE put the parameters in the query."""
        in_query = verb in ("GET", "DELETE")
        query, form = (params, None) if in_query else (None, params)
        return answer(self.http.request(verb, f"/api2/json{path}", params=query, data=form))

    def get(self, path: str, /, **params: Any) -> Any:
        """The data of a GET that must succeed."""
        return good(self.call("GET", path, **params))

    def post(self, path: str, /, **params: Any) -> Any:
        """The data of a POST that must succeed."""
        return good(self.call("POST", path, **params))

    def put(self, path: str, /, **params: Any) -> Any:
        """The data of a PUT that must succeed."""
        return good(self.call("PUT", path, **params))

    def delete(self, path: str, /, **params: Any) -> Any:
        """The data of a DELETE that must succeed."""
        return good(self.call("DELETE", path, **params))

    def control(self, what: str, /, **values: Any) -> None:
        """Sets or breaks something behind the API."""
        response = self.http.post(f"/__control/{what}", json=values)
        assert response.status_code == 200, response.text

    def advance(self, seconds: float) -> None:
        """Lets emulated seconds pass."""
        self.control("clock", advance_s=seconds)

    def task(self, upid: str) -> Any:
        """The status of a task."""
        return self.get(f"/nodes/{upid.split(':')[1]}/tasks/{upid}/status")

    def done(self, upid: str) -> str:
        """The exit status of a task that must have ended."""
        task = self.task(upid)
        assert task["status"] == "stopped", task
        return str(task["exitstatus"])

    def ok(self, upid: str) -> None:
        """Fails unless the task has ended well."""
        assert self.done(upid) == "OK"

    def log(self, upid: str, /, **params: Any) -> list[str]:
        """The lines of a task log, one page unless told otherwise."""
        rows = self.get(f"/nodes/{upid.split(':')[1]}/tasks/{upid}/log", **params)
        return [row["t"] for row in rows]


def answer(response: httpx2.Response) -> Answer:
    """What a test looks at."""
    kind = response.headers.get("content-type", "")
    body = response.json() if "json" in kind and response.content else {}
    return Answer(response.status_code, response.reason_phrase, body)


def good(reply: Answer) -> Any:
    """The data of an answer that must be a success."""
    assert reply.status == 200, (reply.status, reply.reason, reply.body)
    return reply.data


def logged_in(url: str, userid: str = "root@pam", password: str = "emulator", authority: bytes = b"") -> Client:
    """A client with a ticket and its CSRF token. `authority`: who signed the server's certificate (PEM)."""
    plain = Client(url, authority=authority)
    ticket = plain.post("/access/ticket", username=userid, password=password)
    plain.close()
    headers = {"Cookie": f"PVEAuthCookie={ticket['ticket']}", "CSRFPreventionToken": ticket["CSRFPreventionToken"]}
    return Client(url, headers, authority)


def with_token(url: str, name: str, secret: str) -> Client:
    """A client with an API token."""
    return Client(url, {"Authorization": f"PVEAPIToken={name}={secret}"})
