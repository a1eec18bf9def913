"""What lies in a journal comes back as it was, and what a secret is worth is in no public form."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.blueprint.value import Output, Secret, Text
from controller.plan.codec import from_json, public_json, to_json
from controller.plan.resource import Claim, ClaimKind, Masked, ObjectKey
from controller.plan.step import Expect, Phase, Prior, Sealed, Step

text = st.text(max_size=5)
markers = (
    st.builds(Secret, text, st.none() | text)
    | st.builds(Output, text, text)
    | st.builds(Masked, st.none() | text)
    | st.builds(Sealed, text)
    | st.builds(Text, st.tuples(text, st.builds(Secret, text), st.builds(Output, text, text)))
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | text
    | markers
    | st.decimals(allow_nan=False)
    | st.dates()
)
keys = st.text(alphabet="abc.", min_size=1, max_size=4)
values = st.recursive(leaves, lambda v: st.lists(v, max_size=3).map(tuple) | st.dictionaries(keys, v, max_size=3))
steps = st.builds(
    Step,
    st.sampled_from(Phase),
    st.builds(ObjectKey, text, text),
    st.builds(Expect, st.booleans(), st.none() | text, st.dictionaries(keys, values, max_size=2)),
    st.dictionaries(keys, values, max_size=3),
    st.booleans(),
)


@given(steps)
def test_a_step_comes_back_from_its_bytes(step: Step) -> None:
    assert from_json(Step, orjson.loads(orjson.dumps(to_json(step)))) == step


@given(st.frozensets(st.builds(Claim, st.sampled_from(ClaimKind), text, text), max_size=4))
def test_equal_sets_give_equal_text(claims: frozenset[Claim]) -> None:
    assert to_json(claims) == to_json(frozenset(sorted(claims, reverse=True)))


def test_a_newer_version_reads_an_older_journal_and_the_reverse() -> None:
    assert from_json(Prior, {"uid": "u", "invented": 1}) == Prior("u")
    assert from_json(Prior, {}) == Prior()


def test_the_public_form_of_a_secret_is_its_reference() -> None:
    shown = public_json({"a": Secret("env:A", "hash"), "b": [Text(("x", Secret("env:B", "hash")))]})
    assert "hash" not in str(shown) and "env:A" in str(shown) and "env:B" in str(shown)


def test_exact_numbers_and_dates_stay_exact() -> None:
    value = {"d": Decimal("0.1"), "on": date(2026, 3, 1)}
    assert from_json(Prior, to_json(Prior(state=value))).state == value


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        to_json(object())


def test_a_value_that_looks_like_a_tag_is_still_a_value_to_a_digest() -> None:
    assert public_json({"$secret": "plain text"}) == {"$secret": "plain text"}
    assert public_json({"a": (Secret("env:X", "hash"),)}) == {"a": [{"$secret": "env:X"}]}
