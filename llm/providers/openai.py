"""Any endpoint that speaks the protocol of OpenAI's chat completions: OpenAI, Groq, the Hugging Face router, Ollama,
vLLM, llama.cpp.

Answers are streamed, so that size and time are bounded while they come, not afterwards.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import httpx2
import openai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from llm.providers.fence import AnswerTooLarge, FencedTransport
from llm.providers.provider import Answer, Bounds, Endpoint, Failure, Message, NoAnswer, Usage

_RETRY_AFTER_S_MAX = 3600.0
_PIECES_BESIDE = 50  # pieces without text: the role, the usage, signs of life
_NO_KEY = "none"  # the library wants one; the fence takes it off again
_TOKENS_MAX = 2**31


class OpenAiProvider:
    """One model at one endpoint. Opens no connection before it is asked."""

    def __init__(self, endpoint: Endpoint, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._endpoint = endpoint
        fence = FencedTransport(
            endpoint.base_url,
            has_key=bool(endpoint.api_key),
            inner=transport or httpx2.AsyncHTTPTransport(verify=_trust(endpoint.base_url)),
        )
        # Nothing from the environment: no proxy, no other host, no organisation (I43).
        http = httpx2.AsyncClient(transport=fence, follow_redirects=False, trust_env=False, timeout=None)
        self._client = AsyncOpenAI(
            api_key=endpoint.api_key or _NO_KEY, base_url=endpoint.base_url, max_retries=0, http_client=http
        )

    def __repr__(self) -> str:
        return f"OpenAiProvider({self._endpoint!r})"

    @property
    def name(self) -> str:
        return self._endpoint.name

    @property
    def model(self) -> str:
        return self._endpoint.model

    async def complete(self, messages: Sequence[Message], bounds: Bounds) -> Answer:
        try:
            async with asyncio.timeout(bounds.timeout_s):
                return await self._streamed(messages, bounds)
        except TimeoutError:
            raise NoAnswer(Failure.TIMEOUT) from None
        except NoAnswer:
            raise
        except Exception as error:  # the library builds its types from a hostile answer and may raise whatever it likes
            raise _no_answer(error) from None

    async def close(self) -> None:
        await self._client.close()

    async def _streamed(self, messages: Sequence[Message], bounds: Bounds) -> Answer:
        stream = await self._client.chat.completions.create(
            model=self._endpoint.model,
            messages=[_param(m) for m in messages],
            max_tokens=bounds.tokens,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        parts: list[str] = []
        size, usage, most_pieces = 0, None, 2 * bounds.tokens + _PIECES_BESIDE
        async with stream:
            async for chunk in stream:
                usage = _usage(chunk) or usage
                parts.append(_text(chunk))
                size += len(parts[-1])
                if size > bounds.characters or len(parts) > most_pieces:
                    raise NoAnswer(Failure.TOO_LARGE)
        text = "".join(parts).strip()
        if not text:
            raise NoAnswer(Failure.EMPTY)
        return Answer(text, usage)


def _param(message: Message) -> ChatCompletionMessageParam:
    if message.role == "system":
        return {"role": "system", "content": message.text}
    return {"role": "user", "content": message.text}


def _text(chunk: ChatCompletionChunk) -> str:
    """The text of one piece; "" for one without. The library checks no types, so every step is looked at."""
    content = chunk.choices[0].delta.content if chunk.choices else None
    if content is not None and not isinstance(content, str):
        raise NoAnswer(Failure.GARBAGE)
    return content or ""


def _usage(chunk: ChatCompletionChunk) -> Usage | None:
    told = chunk.usage
    if told is None:
        return None
    counts = (told.prompt_tokens, told.completion_tokens)
    if not all(type(n) is int and 0 <= n < _TOKENS_MAX for n in counts):
        raise NoAnswer(Failure.GARBAGE)
    return Usage(*counts)


def _no_answer(error: Exception) -> NoAnswer:
    """What went wrong, without a word of what the server said (I28)."""
    if _caused_by(error, AnswerTooLarge):
        return NoAnswer(Failure.TOO_LARGE)
    if isinstance(error, openai.APIStatusError):
        return _judged(error.response)
    if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
        return NoAnswer(Failure.TIMEOUT)
    if _caused_by(error, httpx2.DecodingError):
        return NoAnswer(Failure.GARBAGE)
    if isinstance(error, openai.APIConnectionError | httpx2.TransportError | OSError):
        return NoAnswer(Failure.UNREACHABLE)
    return NoAnswer(Failure.GARBAGE)


def _caused_by(error: BaseException | None, kind: type[Exception]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__
    return False


def _judged(response: httpx2.Response) -> NoAnswer:
    code = response.status_code
    if code == 429:
        return NoAnswer(Failure.LIMITED, _retry_after_s(response.headers.get("retry-after", "")))
    if code in (401, 403) or 300 <= code < 400:
        return NoAnswer(Failure.DENIED)
    return NoAnswer(Failure.FAILED)


def _retry_after_s(text: str) -> float | None:
    """Seconds; None for a date or nonsense. Never longer than an hour: the server does not switch itself off."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return None
    return min(float(text), _RETRY_AFTER_S_MAX)


def _trust(base_url: str) -> ssl.SSLContext:
    """The machine's certificates; plain http to this machine gets a context that trusts nobody."""
    if base_url.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context()
