"""What models may use per change and per day: tokens, and money at the configured prices (I32).

The most a request can use is set aside before it is sent; what it used is booked after. So no bound is ever passed,
whatever the server claims and however many requests are under way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from llm.providers.provider import Message, Usage

DAY_S = 86_400.0
_CHANGES_MAX = 10_000
_MESSAGE_TOKENS = 16  # what a protocol adds around each turn
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """Money per million tokens, in the currency of the budget."""

    prompt: Decimal = Decimal(0)
    completion: Decimal = Decimal(0)

    def of(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / _MILLION


@dataclass(frozen=True, slots=True)
class Amount:
    """Tokens and money."""

    tokens: int = 0
    money: Decimal = Decimal(0)

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.money + other.money)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.tokens - other.tokens, self.money - other.money)

    def within(self, bound: Amount) -> bool:
        return self.tokens <= bound.tokens and self.money <= bound.money


def most(messages: Sequence[Message], answer_tokens: int, price: Price) -> Amount:
    """The most a request can use. No tokenizer makes more tokens of a text than it has bytes."""
    prompt = sum(len(m.text.encode()) + _MESSAGE_TOKENS for m in messages)
    return Amount(prompt + answer_tokens, price.of(prompt, answer_tokens))


def used(usage: Usage | None, aside: Amount, price: Price) -> Amount:
    """What to book: the server's count where it is plausible, else all that was set aside."""
    if usage is None:
        return aside
    told = Amount(usage.prompt_tokens + usage.completion_tokens, price.of(usage.prompt_tokens, usage.completion_tokens))
    return told if told.tokens > 0 and told.within(aside) else aside


@dataclass(frozen=True, slots=True)
class Aside:
    """What a request may use at most, taken from one change and one day."""

    change: str
    amount: Amount
    day: int


class Budget:
    """Books of one process. A day begins with its first request; times are monotonic seconds given by the caller."""

    def __init__(self, change: Amount, day: Amount) -> None:
        self._change_bound, self._day_bound = change, day
        self._changes: OrderedDict[str, Amount] = OrderedDict()
        self._today, self._day, self._day_began_s = Amount(), 0, float("-inf")

    def set_aside(self, change: str, amount: Amount, now_s: float) -> Aside | None:
        """Take `amount` for a request about `change`; None, and nothing taken, where it does not fit."""
        if now_s - self._day_began_s >= DAY_S:
            self._today, self._day, self._day_began_s = Amount(), self._day + 1, now_s
        of_change, today = self._changes.get(change, Amount()) + amount, self._today + amount
        if not (of_change.within(self._change_bound) and today.within(self._day_bound)):
            return None
        self._book(change, of_change)
        self._today = today
        return Aside(change, amount, self._day)

    def settle(self, aside: Aside, spent: Amount) -> None:
        """Give back what a request did not use; to its own day only, if that is not over."""
        rest = aside.amount - spent
        if aside.change in self._changes:
            self._book(aside.change, self._changes[aside.change] - rest)
        if aside.day == self._day:
            self._today = self._today - rest

    def _book(self, change: str, amount: Amount) -> None:
        self._changes[change] = amount
        self._changes.move_to_end(change)
        if len(self._changes) > _CHANGES_MAX:
            self._changes.popitem(last=False)
