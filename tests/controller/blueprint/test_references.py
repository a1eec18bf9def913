"""`${…}` and `{secret: …}` become markers; every name in them is checked."""

from __future__ import annotations

from decimal import Decimal

import pytest

from controller.blueprint.references import Names, interpreted, secret
from controller.blueprint.value import Output, Secret, Text, Value

NAMES = Names(
    scope="prod",
    blueprint="shop",
    own=frozenset({"db", "web"}),
    ids={"prod/shop/db": None, "prod/shop/web": None, "prod/base/net": None, "prod/mail/smtp": None},
    values={
        "domain": "example.org",
        "cpu": 4,
        "ratio": Decimal("1.50"),
        "on": True,
        "none": None,
        "list": ("a", "b"),
        "password": Secret("env:PW"),
        "url": Text(("x", Secret("env:PW"))),
        "trap": "${values.domain}",
    },
    outputs={"net": frozenset({"address"})},
)
DB, NET = Output("prod/shop/db", "address"), Output("prod/base/net", "id")


def read(value: Value) -> tuple[Value, list[str]]:
    problems: list[str] = []
    result = interpreted(value, NAMES, "specs", lambda path, message: problems.append(f"{path}: {message}"))
    return result, problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain $HOME $ {x} $$", "plain $HOME $ {x} $$"),
        ("${values.domain}", "example.org"),
        ("www.${values.domain}/", "www.example.org/"),
        ("${values.cpu}", 4),
        ("${values.cpu} cores", "4 cores"),
        ("x${values.ratio}", "x1.50"),
        ("x${values.on}", "xtrue"),
        ("${values.none}", None),
        ("${values.list}", ("a", "b")),
        ("${values.absent:-12}", 12),
        ("${values.absent:-010}", "010"),
        ("${values.absent:-}", None),
        ("a${values.absent:-b:-c}d", "ab:-cd"),
        ("${values.domain:-other}", "example.org"),
        ("${values.trap}", "${values.domain}"),
        ("${values.trap}!", "${values.domain}!"),
        ("$${HOME}", "${HOME}"),
        ("a $${b} $${c", "a ${b} ${c"),
        ("${resources.db.outputs.address}", DB),
        ("${resources.shop/db.outputs.address}", DB),
        ("${resources.base/net.outputs.id}", NET),
        ("${scopes.net.outputs.address}", Output("scopes/net", "address")),
        ("http://${resources.db.outputs.address}:80", Text(("http://", DB, ":80"))),
        (
            "${resources.db.outputs.address}${values.domain}$${x}${resources.base/net.outputs.id}",
            Text((DB, "example.org${x}", NET)),
        ),
        ("${values.password}", Secret("env:PW")),
        ("pw=${values.password};", Text(("pw=", Secret("env:PW"), ";"))),
        ("a${values.url}b", Text(("ax", Secret("env:PW"), "b"))),
    ],
)
def test_references_in_text_become_what_they_name(text: str, expected: object) -> None:
    assert read(text) == (expected, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${HOME}", "write $${ for a literal ${"),
        ("${", "without its }"),
        ("a ${values.domain", "without its }"),
        ("${values.a${values.b}}", "without its }"),
        ("${}", "is no reference"),
        ("${values.}", "is no reference"),
        ("${resources.db.address}", "is no reference"),
        ("${values.domian}", "no value domian; did you mean domain?; add it to values of scope prod in alma.yaml"),
        ("${resources.webb.outputs.x}", "no resource webb; did you mean web?"),
        ("${resources.smtp.outputs.x}", "no resource smtp in blueprint shop; did you mean mail/smtp?"),
        ("${resources.base/nett.outputs.x}", "no resource base/nett; did you mean base/net?"),
        ("${scopes.other.outputs.x}", "scope prod does not depend on other; add it to depends_on in alma.yaml"),
        ("${scopes.net.outputs.adress}", "no output of scope net named adress; did you mean address?"),
        ("a${values.list}", "is no text and cannot stand inside text"),
        ("a${values.none}", "is no text and cannot stand inside text"),
        ("${values.absent:-.nan}", "put it in quotes"),
        ("${values.x\u202e}", "${values.x\\u{202e}} is no reference"),
    ],
)
def test_a_reference_to_nothing_is_a_mistake_that_says_what_to_write(text: str, expected: str) -> None:
    value, problems = read(text)
    assert value is None and len(problems) == 1
    assert expected in problems[0]


def test_maps_and_lists_are_read_at_every_depth_and_say_where_a_mistake_is() -> None:
    value, problems = read({"env": {"A": "${values.domain}", "B": ("x", {"secret": "env:PW"}, "${nope}")}, "n": 1})
    assert value == {"env": {"A": "example.org", "B": ("x", Secret("env:PW"), None)}, "n": 1}
    assert [p.partition(" ")[0] for p in problems] == ["specs.env.B.2:"]


def test_what_holds_no_reference_is_not_copied() -> None:
    value = {"env": {"A": "b"}, "ports": ("80:80", {"c": 1})}
    assert read(value)[0] is value


@pytest.mark.parametrize("reference", ["env:APP_PW", "env:_x1", "file:/etc/alma/secrets/db"])
def test_secrets_are_references(reference: str) -> None:
    assert secret(reference) == Secret(reference)
    assert read({"a": {"secret": reference}}) == ({"a": Secret(reference)}, [])


@pytest.mark.parametrize(
    "reference",
    [
        "hunter2",
        "env:",
        "env:1A",
        "env:A B",
        "env:A=b",
        "file:relative",
        "file:/a/../b",
        "file:/a b",
        "file:/a\n",
        "ENV:A",
        "",
    ],
)
def test_a_secret_that_is_no_reference_is_refused_without_repeating_it(reference: str) -> None:
    value, problems = read({"a": {"secret": reference}})
    assert value == {"a": None}
    assert problems == [
        "specs.a: a secret is a reference, env:NAME, file:/PATH or sops:PATH#KEY, never the value itself"
    ]


def test_a_secret_store_that_comes_later_says_so() -> None:
    assert "vault: secrets are not available yet" in read({"a": {"secret": "vault:path#key"}})[1][0]


def test_a_map_that_only_looks_like_a_secret_is_a_map() -> None:
    for value in ({"secret": {"secretName": "x"}}, {"secret": "text", "other": 1}, {"secret": 5}):
        assert read({"a": value}) == ({"a": value}, [])


@pytest.mark.parametrize("tag", ["$secret", "$output", "$text", "$masked", "$sealed", "$decimal"])
def test_a_map_that_the_journal_would_read_as_a_marker_is_refused(tag: str) -> None:
    assert "is reserved" in read({"a": {tag: {"ref": "env:X"}}})[1][0]
    assert read({"a": {tag: 1, "b": 2}})[1] == []


def test_a_reference_in_a_key_is_a_mistake() -> None:
    assert "references stand in values, not in keys" in read({"${values.domain}": 1})[1][0]
