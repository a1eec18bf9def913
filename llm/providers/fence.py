"""The last thing before a request to a model leaves this machine, and the first that its answer meets.

Whatever the library above does, a request goes to the configured origin, bears only the headers listed here, and its
answer is not read beyond a size (I32, I43).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

ANSWER_BYTES_MAX = 2**19  # 500 tokens streamed one by one, with 350 bytes around each, are a third of it
_HEADERS = frozenset({"host", "accept", "authorization", "content-length", "content-type"})


class AnswerTooLarge(httpx2.TransportError):
    """More bytes than any answer we ask for."""


class FencedTransport(httpx2.AsyncBaseTransport):
    """Lets requests through to one origin. `has_key` False: no credential is sent at all."""

    def __init__(self, base_url: str, *, has_key: bool, inner: httpx2.AsyncBaseTransport) -> None:
        self._origin = _origin(httpx2.URL(base_url))
        self._headers = _HEADERS if has_key else _HEADERS - {"authorization"}
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if _origin(request.url) != self._origin:
            raise httpx2.UnsupportedProtocol("not the configured host", request=request)
        request.headers = httpx2.Headers([(k, v) for k, v in request.headers.items() if k.lower() in self._headers])
        request.headers["user-agent"] = "alma"
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            # Not asked for, and a few bytes could become many.
            await response.aclose()
            raise httpx2.DecodingError("an encoded answer", request=request)
        assert isinstance(response.stream, httpx2.AsyncByteStream), "an asynchronous transport answers with one"
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Bounded(response.stream, request),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._stream, self._request = stream, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > ANSWER_BYTES_MAX:
                raise AnswerTooLarge("the answer is too large", request=self._request)
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
