"""A small JSON client, one per forge. It never retries a write, never follows a redirect, never sends a request
before the permitted moment, and lets no secret into an error.

Callers see `Answer`, `ForgeUnavailable` (later) and `ForgeRefused` (never), nothing else.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

import httpx2
import orjson

from controller.errors import InvalidInput
from controller.forges.credential import Credential
from controller.forges.forge import ForgeBinding, ForgeRefused, ForgeUnavailable
from controller.forges.json_reader import Json, parse
from controller.forges.pacing import Gate, WriteTurn, remaining, stated_delay_s
from controller.forges.paging import Paging, stated_total
from controller.redact import Redactor
from controller.token_bucket import TokenBucket

REQUEST_S = 30.0  # each wait on the network
REQUEST_TOTAL_S = 60.0  # a whole request: a forge that sends a byte a second is down
ANSWER_BYTES_MAX = 64 * 2**20
PAGE_SIZE = 50
PAGES_MAX = 1_000
READ_TRIES = 3
_INNER_WAIT_S = 2.0
_ETAGS_MAX = 256
_ETAG_BODY_BYTES_MAX = 2**20
_OUTAGE_CODES = frozenset({408, 425, 502, 503, 504})
_GATES_MAX = 1_000
_PACE_LEAST_S = 0.01  # a wait that a clock cannot tell from none would never end
_TOLD = ("message", "error", "errors")  # where the forges put it


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was not an error; `headers` have lower-case names."""

    code: int
    headers: Mapping[str, str]
    body: bytes


class ForgeHttp:
    """Requests below one base URL with one credential."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        secrets: Iterable[str],
        binding: ForgeBinding,
        *,
        write_gap_s: float,
        credential: Credential | None = None,
        paging: Paging | None = None,
        ca_file: str = "",
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._binding = binding
        kept = tuple(secrets)
        self._credential = credential
        self._paging = paging or Paging()
        self._redactor = Redactor(lambda: (*kept, *(credential.secrets() if credential else ())))
        # Without the environment: no proxy and no .netrc stands between us and the configured host (I43).
        self._client = httpx2.AsyncClient(
            headers={"Accept": "application/json", "User-Agent": "alma", **headers},
            timeout=REQUEST_S,
            follow_redirects=False,
            trust_env=False,
            transport=transport or httpx2.AsyncHTTPTransport(verify=_trust(base_url, ca_file)),
        )
        self._gate = Gate()
        self._path_gates: OrderedDict[str, Gate] = OrderedDict()
        self._turn = WriteTurn(write_gap_s, binding.clock, binding.sleep)
        self._writing = asyncio.Lock()
        self._bucket = TokenBucket(binding.per_minute, binding.burst, binding.clock)
        self._pacing = asyncio.Lock()  # whoever asked first gets the next token
        self._etags: OrderedDict[str, Answer] = OrderedDict()

    def __repr__(self) -> str:
        return f"ForgeHttp({self._base!r})"

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, *segments: str | int, query: Mapping[str, str] | None = None) -> Answer:
        """Read; tried again a few times while the forge stumbles, answered from memory when nothing changed."""
        url = self._url(segments, query)
        for _ in range(READ_TRIES - 1):
            try:
                return await self._read(url)
            except ForgeUnavailable as unavailable:
                if unavailable.retry_after_s > _INNER_WAIT_S:
                    raise
                await self._binding.sleep(unavailable.retry_after_s)
        return await self._read(url)

    async def find(self, *segments: str | int, query: Mapping[str, str] | None = None) -> Answer | None:
        """`get`, or None for a 404."""
        try:
            return await self.get(*segments, query=query)
        except ForgeRefused as refused:
            if refused.code == 404:
                return None
            raise

    async def send(self, method: str, *segments: str | int, body: object = None) -> Answer:
        """Write, once, after every write before it. ForgeUnavailable may mean that it acted: look before repeating."""
        url = self._url(segments, None)
        async with self._writing:
            await self._turn.wait()
            try:
                return await self._request(method, url, content=None if body is None else orjson.dumps(body))
            finally:
                self._turn.done()

    async def pages(
        self, *segments: str | int, query: Mapping[str, str] | None = None, whole: bool = True
    ) -> tuple[Json, ...]:
        """Every item of a list, each once."""
        answers = await self.answers(*segments, query=query, whole=whole)
        return tuple({item["id"].integer(): item for answer in answers for item in self.read(answer)}.values())

    async def answers(
        self, *segments: str | int, query: Mapping[str, str] | None = None, whole: bool = True
    ) -> tuple[Answer, ...]:
        """Every page of a list whose items have an `id`. A server may ignore paging or use smaller pages. `whole`: a
        list shorter than the count the forge itself states is no answer (I9)."""
        answers: list[Answer] = []
        found: set[int] = set()
        for page in range(1, PAGES_MAX + 1):
            asked = {**(query or {}), "page": str(page), self._paging.size_key: str(PAGE_SIZE)}
            answer = await self.get(*segments, query=asked)
            answers.append(answer)
            known, total = len(found), stated_total(answer.headers)
            found.update(item["id"].integer() for item in self.read(answer))
            whole_now = total is not None and len(found) >= total
            if len(found) == known or whole_now or self._paging.is_last(answer.headers):
                break
        if whole and total is not None and len(found) < total:
            raise self._unreadable("the list was cut short")
        return tuple(answers)

    def read(self, answer: Answer) -> Json:
        """The answer's JSON. Whatever is not where it belongs is ForgeUnavailable: half an answer is none."""
        return parse(answer.body, self._unreadable)

    def _unreadable(self, why: str) -> ForgeUnavailable:
        return ForgeUnavailable(self._redact(f"{self._base}: unreadable answer: {why}"), retry_after_s=5.0)

    async def _read(self, url: str) -> Answer:
        kept = self._etags.get(url)
        extra = {"If-None-Match": kept.headers["etag"]} if kept else {}
        answer = await self._request("GET", url, extra)
        if answer.code == 304 and kept:
            self._etags.move_to_end(url)
            # The moment is that of the new look: what is as fresh as a second may change once more within it.
            return replace(kept, headers={**kept.headers, "date": answer.headers.get("date", "")})
        self._keep(url, answer)
        return answer

    def _keep(self, url: str, answer: Answer) -> None:
        self._etags.pop(url, None)
        if "etag" in answer.headers and len(answer.body) <= _ETAG_BODY_BYTES_MAX:
            self._etags[url] = answer
            if len(self._etags) > _ETAGS_MAX:
                self._etags.popitem(last=False)

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> Answer:
        self._check_gates(url)
        await self._paced()
        self._check_gates(url)  # again: one that left meanwhile may have closed it
        shown = await self._credential.headers() if self._credential else {}
        typed = {"Content-Type": "application/json"} if content is not None else {}
        try:
            async with asyncio.timeout(REQUEST_TOTAL_S):
                answer = await self._exchange(method, url, {**shown, **(headers or {}), **typed}, content)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError) as failure:
            self._binding.on_request("error")
            self._gate.down(self._binding.clock(), None, self._binding.jitter())
            raise self._unavailable(url, f"no answer ({type(failure).__name__}: {failure})") from None
        self._binding.on_request(str(answer.code))
        return self._judged(method, url, answer)

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        async with self._client.stream(method, url, headers=dict(headers), content=content) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise ForgeRefused(f"{self._shown(url)}: the answer is larger than {ANSWER_BYTES_MAX >> 20} MiB")
            return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, bytes(body))

    def _judged(self, method: str, url: str, answer: Answer) -> Answer:
        """The answer if it is one, else the error it stands for; closes the gates it closes."""
        now_s, jitter = self._binding.clock(), self._binding.jitter()
        stated_s = stated_delay_s(answer.headers, self._binding.wall())
        left = remaining(answer.headers)
        if left is not None:
            self._binding.on_remaining(left)
        if _is_limit(answer):
            self._gate.limited(now_s, stated_s, jitter)
            raise self._unavailable(url, "its rate limit is used up", answer.code)
        if answer.code in _OUTAGE_CODES:
            self._gate.down(now_s, stated_s, jitter)
            raise self._unavailable(url, f"answered {answer.code}", answer.code)
        if answer.code >= 500:
            self._path_gate(url).down(now_s, stated_s, jitter)
            raise self._unavailable(url, f"answered {answer.code}", answer.code)
        if self._gate.outages:
            self._bucket.drain()  # all that waited for its end would leave at once (B6)
        self._gate.open()
        self._path_gates.pop(url, None)
        if left == 0 and stated_s is not None:
            self._gate.close_for(now_s, stated_s)
        if 200 <= answer.code < 300 or answer.code == 304:
            return answer
        raise self._refused(method, url, answer)

    async def _paced(self) -> None:
        """Returns when one more request may leave."""
        async with self._pacing:
            while not self._bucket.take():
                await self._binding.sleep(max(_PACE_LEAST_S, self._bucket.wait_s()))
        self._binding.on_tokens(self._bucket.tokens)

    def _redact(self, text: str) -> str:
        """One line without secrets, at most 4 KiB (I28)."""
        return self._redactor(" ".join(text.split()))

    def _check_gates(self, url: str) -> None:
        now_s = self._binding.clock()
        path_gate = self._path_gates.get(url)
        if self._gate.left_s(now_s) or (path_gate and path_gate.left_s(now_s)):
            raise self._unavailable(url, "not asked: it is not the time yet")

    def _path_gate(self, url: str) -> Gate:
        """A 500 is a fault of one page, not of the forge: the others go on."""
        gate = self._path_gates.setdefault(url, Gate())
        if len(self._path_gates) > _GATES_MAX:
            self._path_gates.popitem(last=False)
        return gate

    def _unavailable(self, url: str, why: str, code: int | None = None) -> ForgeUnavailable:
        now_s = self._binding.clock()
        path_gate = self._path_gates.get(url, self._gate)
        wait_s = max(self._gate.left_s(now_s), path_gate.left_s(now_s))
        return ForgeUnavailable(self._redact(f"{self._shown(url)}: {why}"), wait_s, code=code)

    def _refused(self, method: str, url: str, answer: Answer) -> ForgeRefused:
        what = f"{method} {self._shown(url)}: answered {answer.code}"
        if 300 <= answer.code < 400:
            # A credential never follows a redirect (I43); a renamed repository is told to the person instead.
            hint = "the repository or the forge moved: write its new address in the configuration"
            return ForgeRefused(self._redact(f"{what}, moved"), hint=hint, code=answer.code)
        if answer.code == 401:
            if self._credential:
                self._credential.refused()
            return ForgeRefused(self._redact(what), hint="the token is wrong or expired", code=401)  # I28: no echo
        return ForgeRefused(self._redact(f"{what} {_message(answer)}".rstrip()), code=answer.code)

    def _url(self, segments: tuple[str | int, ...], query: Mapping[str, str] | None) -> str:
        parts = [str(segment) for segment in segments]
        if any(part in {"", ".", ".."} for part in parts):
            raise ForgeRefused("a name in the request is empty or a path of its own")
        path = "/".join(quote(part, safe="") for part in parts)
        return str(httpx2.URL(f"{self._base}/{path}", params=query)) if query else f"{self._base}/{path}"

    def _shown(self, url: str) -> str:
        return url.split("?", 1)[0]


def _trust(base_url: str, ca_file: str) -> ssl.SSLContext:
    """The machine's certificates, or only those of `ca_file`. Loading them takes 20 ms; plain http to this machine
    needs none, and gets a context that trusts nobody."""
    if base_url.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError):
        raise InvalidInput(f"forge.ca: {ca_file} holds no certificate that can be read") from None


def _is_limit(answer: Answer) -> bool:
    if answer.code == 429:
        return True
    if answer.code != 403:
        return False
    return (
        "retry-after" in answer.headers
        or remaining(answer.headers) == 0
        or b"rate limit" in answer.body[:65_536].lower()
    )


def _message(answer: Answer) -> str:
    """What the forge says of its refusal, in any of its ways: hostile text, redacted by the caller."""
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return ""
    told = [document[key] for key in _TOLD if key in document] if isinstance(document, dict) else []
    return " ".join(one if isinstance(one, str) else orjson.dumps(one).decode() for one in told)
