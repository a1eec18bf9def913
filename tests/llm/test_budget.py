"""The budget holds whatever a server claims and however requests overlap (I32)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.budget import DAY_S, Amount, Budget, Price, most, used
from llm.providers.provider import Message, Usage

PRICE = Price(Decimal(1), Decimal(2))
CHANGE, DAY = Amount(1_000, Decimal("0.002")), Amount(3_000, Decimal("0.005"))


def test_no_text_has_more_tokens_than_are_set_aside_for_it() -> None:
    aside = most([Message("user", "ä" * 10)], 5, PRICE)
    assert aside.tokens >= 20 + 5
    assert aside.money == PRICE.of(aside.tokens - 5, 5)


@pytest.mark.parametrize(
    "usage", [None, Usage(0, 0), Usage(10**9, 1), Usage(101, 0)], ids=["none", "nothing", "absurd", "too much"]
)
def test_a_count_that_cannot_be_is_booked_as_the_most(usage: Usage | None) -> None:
    aside = Amount(100, Decimal(1))
    assert used(usage, aside, PRICE) == aside
    assert used(Usage(40, 10), aside, PRICE) == Amount(50, PRICE.of(40, 10))


def test_a_change_and_a_day_have_bounds_of_their_own() -> None:
    budget = Budget(CHANGE, DAY)
    whole = Amount(1_000, Decimal("0.001"))
    assert budget.set_aside("a", whole, 0.0) and budget.set_aside("a", Amount(1), 0.0) is None
    assert budget.set_aside("b", whole, 0.0) and budget.set_aside("c", whole, 0.0)
    assert budget.set_aside("d", Amount(1), DAY_S - 1) is None
    assert budget.set_aside("d", whole, DAY_S)


def test_what_was_not_used_is_given_back_to_its_own_day_only() -> None:
    budget = Budget(Amount(1_000, Decimal(1)), Amount(1_000, Decimal(1)))
    old = budget.set_aside("a", Amount(1_000), 0.0)
    assert old and budget.set_aside("b", Amount(1_000), DAY_S)
    budget.settle(old, Amount())
    assert budget.set_aside("c", Amount(1), DAY_S) is None


MOVES = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 1_200),
        st.integers(0, 1_200),
        st.floats(0, DAY_S, allow_nan=False),
        st.booleans(),
    ),
    max_size=40,
)


@given(MOVES)
def test_no_order_of_requests_passes_a_bound(moves: list[tuple[str, int, int, float, bool]]) -> None:
    """Spending is counted here by hand: what was spent or is still under way, per change and since the day began."""
    budget, now_s, began_s = Budget(CHANGE, DAY), 0.0, float("-inf")
    spent: dict[str, int] = {}
    today = 0
    for change, tokens, really, later_s, ends in moves:
        now_s += later_s
        if now_s - began_s >= DAY_S:
            today, began_s = 0, now_s
        aside = budget.set_aside(change, Amount(tokens), now_s)
        if aside is None:
            assert spent.get(change, 0) + tokens > CHANGE.tokens or today + tokens > DAY.tokens
            continue
        used_tokens = min(really, tokens) if ends else tokens
        if ends:
            budget.settle(aside, Amount(used_tokens))
        spent[change] = spent.get(change, 0) + used_tokens
        today += used_tokens
        assert spent[change] <= CHANGE.tokens and today <= DAY.tokens


def test_the_bound_is_kept_to_the_token(report_n: Callable[..., None]) -> None:
    budget = Budget(CHANGE, DAY)
    taken = sum(1 for _ in range(2_000) if budget.set_aside("a", Amount(1), 0.0))
    assert taken == CHANGE.tokens
    report_n("I32 budget", 2_000)
