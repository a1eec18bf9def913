"""Who is asked, in which order, how often, and when no more."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from controller.telemetry import Metrics
from llm.budget import Amount, Budget, Price
from llm.providers.provider import Answer, Bounds, Failure, Message, NoAnswer, Usage
from llm.providers.scripted import ScriptedProvider
from llm.router import Route, Router, Told
from tests.controller.runtime.clocks import VirtualClock

ROOMY = Amount(10**6, Decimal(100))
BOUNDS = Bounds(100, 1_000, 5.0)
TASK = "narrate"


def prompt(text: str = "facts") -> Sequence[Message]:
    return (Message("system", "Explain."), Message("user", text))


class Scene:
    """A router over scripted providers, and the numbers it leaves."""

    def __init__(
        self,
        *providers: ScriptedProvider,
        order: Sequence[str] | None = None,
        prices: Sequence[int] = (),
        change: Amount = ROOMY,
        cached_max: int = 10,
    ) -> None:
        self.clock, self.metrics = VirtualClock(), Metrics()
        priced = [*prices, *[0] * len(providers)]
        routes = [Route(p, Price(Decimal(n), Decimal(n)), 5.0) for p, n in zip(providers, priced, strict=False)]
        tasks = {} if order is None else {TASK: order}
        self.router = Router(routes, tasks, Budget(change, ROOMY), self.clock, self.metrics, cached_max=cached_max)

    async def ask(self, text: str = "facts") -> Told | None:
        return await self.router.ask(TASK, "head", prompt(text), BOUNDS)

    def counted(self, provider: str, result: str) -> float:
        labels = {"provider": provider, "result": result}
        return self.metrics.registry.get_sample_value("llm_requests_total", labels) or 0.0


def one(name: str, *answers: str | Answer | NoAnswer) -> ScriptedProvider:
    return ScriptedProvider(*answers, name=name, model=f"{name}-model")


async def test_the_first_that_answers_is_enough() -> None:
    first, second = one("a", "yes"), one("b", "no")
    scene = Scene(first, second)
    assert await scene.ask() == Told("yes", "a", "a-model")
    assert second.asked == []


@pytest.mark.parametrize("failure", list(Failure))
async def test_one_that_fails_is_followed_by_the_next(failure: Failure) -> None:
    scene = Scene(one("a", NoAnswer(failure)), one("b", "yes"))
    assert await scene.ask() == Told("yes", "b", "b-model")
    assert (scene.counted("a", failure.value), scene.counted("b", "ok")) == (1, 1)


async def test_none_that_answers_is_no_error() -> None:
    assert await Scene(one("a", NoAnswer(Failure.EMPTY)), one("b", NoAnswer(Failure.GARBAGE))).ask() is None


async def test_a_task_has_its_own_order_and_asks_no_one_else() -> None:
    a, b, c = one("a", "a"), one("b", NoAnswer(Failure.EMPTY)), one("c", "c")
    told = await Scene(a, b, c, order=("b", "c")).ask()
    assert told and told.provider == "c" and a.asked == []


async def test_without_an_order_the_cheapest_is_asked_first() -> None:
    told = await Scene(one("dear", "x"), one("cheap", "y"), prices=(3, 1)).ask()
    assert told and told.provider == "cheap"


async def test_the_same_prompt_is_asked_once() -> None:
    provider = one("a", "yes", "later")
    scene = Scene(provider)
    first, again = await scene.ask(), await scene.ask()
    assert first == Told("yes", "a", "a-model") and again == Told("yes", "a", "a-model", cached=True)
    assert len(provider.asked) == 1 and scene.counted("a", "cached") == 1
    other = await scene.ask("other facts")
    assert other and (other.text, other.cached) == ("later", False)


@pytest.mark.parametrize("most", [0, 1, 3])
async def test_the_cache_holds_no_more_than_it_may(most: int) -> None:
    provider = one("a", "yes")
    scene = Scene(provider, cached_max=most)
    for number in range(5):
        await scene.ask(f"facts {number}")
    for number in reversed(range(5)):
        await scene.ask(f"facts {number}")
    assert scene.counted("a", "cached") == most


async def test_one_that_fails_three_times_is_left_alone_and_then_tried_once() -> None:
    provider = one("a", NoAnswer(Failure.TIMEOUT))
    scene = Scene(provider)
    for number in range(10):
        await scene.ask(f"{number}")
    assert len(provider.asked) == 3 and scene.counted("a", "paused") == 7
    scene.clock.passed_s += 30
    for number in range(10):
        await scene.ask(f"{number}")
    assert len(provider.asked) == 4
    scene.clock.passed_s += 59
    await scene.ask()
    assert len(provider.asked) == 4, "the pause doubled"
    scene.clock.passed_s += 1
    await scene.ask()
    assert len(provider.asked) == 5


async def test_one_that_is_back_is_as_good_as_new() -> None:
    provider = one("a", *[NoAnswer(Failure.FAILED)] * 3, "yes", NoAnswer(Failure.FAILED), "yes")
    scene = Scene(provider)
    for number in range(3):
        await scene.ask(f"{number}")
    scene.clock.passed_s += 30
    assert await scene.ask("a") and await scene.ask("b") is None and await scene.ask("c")


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(NoAnswer(Failure.LIMITED, 7.0), 7.0), (NoAnswer(Failure.LIMITED), 30.0), (NoAnswer(Failure.DENIED), 900.0)],
)
async def test_a_stated_pause_is_kept_at_once(error: NoAnswer, seconds: float) -> None:
    provider = one("a", error)
    scene = Scene(provider)
    await scene.ask()
    scene.clock.passed_s += seconds - 0.5
    await scene.ask()
    assert len(provider.asked) == 1
    scene.clock.passed_s += 0.5
    await scene.ask()
    assert len(provider.asked) == 2


async def test_over_the_budget_no_one_is_asked() -> None:
    provider = one("a", "yes")
    scene = Scene(provider, change=Amount(100, Decimal(1)))
    assert await scene.ask() is None
    assert provider.asked == [] and scene.counted("a", "over_budget") == 1


async def test_what_costs_nothing_may_go_on_where_the_money_is_spent() -> None:
    scene = Scene(one("paid", "x"), one("own", "y"), order=("paid", "own"), prices=(10,), change=Amount(10**6))
    told = await scene.ask()
    assert told and told.provider == "own"


async def test_no_answer_without_a_model_having_run_costs_nothing() -> None:
    aside = Amount(200, Decimal(1))
    scene = Scene(one("a", NoAnswer(Failure.UNREACHABLE)), one("b", "yes"), change=aside)
    assert await scene.ask()
    spent = Scene(one("a", NoAnswer(Failure.TIMEOUT)), one("b", "yes"), change=aside)
    assert await spent.ask() is None and spent.counted("b", "over_budget") == 1


async def test_tokens_are_counted_up_to_what_was_asked_for() -> None:
    scene = Scene(one("a", Answer("x", Usage(10, 50)), Answer("y", Usage(10, 10**6))))
    await scene.ask("1")
    await scene.ask("2")
    assert scene.metrics.registry.get_sample_value("llm_tokens_generated_total") == 50 + BOUNDS.tokens
    assert scene.metrics.registry.get_sample_value("llm_request_duration_seconds_count") == 2
