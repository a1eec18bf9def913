"""Which provider answers: by task, health and cost, each once, until one does or the budget ends."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.runtime.clock import Clock
from controller.telemetry import Metrics
from llm.breaker import Breaker
from llm.budget import Amount, Budget, Price, most, used
from llm.providers.provider import FREE, Answer, Bounds, Message, NoAnswer, Provider


@dataclass(slots=True)
class Route:
    """A provider with its price and health."""

    provider: Provider
    price: Price
    timeout_s: float
    breaker: Breaker = field(default_factory=Breaker)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer and whose it is. `cached`: the same prompt was answered before."""

    text: str
    provider: str
    model: str
    cached: bool = False


class Router:
    """Asks the providers of a task in their order; remembers answers by the content of the prompt."""

    def __init__(
        self,
        routes: Sequence[Route],
        tasks: Mapping[str, Sequence[str]],
        budget: Budget,
        clock: Clock,
        metrics: Metrics,
        *,
        cached_max: int,
    ) -> None:
        self._routes = {r.provider.name: r for r in routes}
        self._tasks, self._budget, self._clock, self._metrics = tasks, budget, clock, metrics
        self._cache: OrderedDict[str, Told] = OrderedDict()
        self._cached_max = cached_max

    async def ask(self, task: str, change: str, messages: Sequence[Message], bounds: Bounds) -> Told | None:
        """The first answer that comes, or None when nobody gives one. `change`: whose budget it is. Never raises for
        what a provider does."""
        key = _key(task, messages, bounds)
        known = self._cache.get(key)
        if known is not None:
            self._cache.move_to_end(key)
            self._metrics.count("llm_requests", known.provider, "cached")
            return Told(known.text, known.provider, known.model, cached=True)
        for route in self._order(task):
            answer = await self._one(route, change, messages, bounds)
            if answer is not None:
                told = Told(answer.text, route.provider.name, route.provider.model)
                self._keep(key, told)
                return told
        return None

    async def close(self) -> None:
        for route in self._routes.values():
            await route.provider.close()

    def _order(self, task: str) -> Sequence[Route]:
        """As configured for the task; else the cheapest first, as listed where prices are equal."""
        if task in self._tasks:
            return [self._routes[name] for name in self._tasks[task]]
        return sorted(self._routes.values(), key=lambda r: r.price.prompt + r.price.completion)

    async def _one(self, route: Route, change: str, messages: Sequence[Message], bounds: Bounds) -> Answer | None:
        name, began_s = route.provider.name, self._clock.now_s()
        if not route.breaker.lets(began_s):
            self._metrics.count("llm_requests", name, "paused")
            return None
        asked = most(messages, bounds.tokens, route.price)
        aside = self._budget.set_aside(change, asked, began_s)
        if aside is None:
            self._metrics.count("llm_requests", name, "over_budget")
            return None
        spent, result = asked, "cancelled"  # what was sent may be billed, however it ends
        own = Bounds(bounds.tokens, bounds.characters, min(bounds.timeout_s, route.timeout_s))
        try:
            answer = await route.provider.complete(messages, own)
            result, spent = "ok", used(answer.usage, asked, route.price)
            route.breaker.worked()
            self._metrics.count("llm_tokens_generated", by=_generated(answer, bounds))
            return answer
        except NoAnswer as error:
            result, spent = error.failure.value, Amount() if error.failure in FREE else asked
            route.breaker.failed(error, self._clock.now_s())
            return None
        finally:
            self._budget.settle(aside, spent)
            self._metrics.count("llm_requests", name, result)
            self._metrics.observe("llm_request_duration_seconds", self._clock.now_s() - began_s)

    def _keep(self, key: str, told: Told) -> None:
        self._cache[key] = told
        if len(self._cache) > self._cached_max:
            self._cache.popitem(last=False)


def _key(task: str, messages: Sequence[Message], bounds: Bounds) -> str:
    content = [task, bounds.tokens, [[m.role, m.text] for m in messages]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _generated(answer: Answer, bounds: Bounds) -> int:
    """Tokens of the answer: the server's count, not above what was asked for."""
    return min(answer.usage.completion_tokens, bounds.tokens) if answer.usage else 0
