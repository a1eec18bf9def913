"""Only the first line of a comment commands, in a closed grammar (I6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.command import VERBS, Command, parse_command


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("/alma help", Command("help")),
        ("/alma", Command("help")),
        ("alma plan", Command("plan")),
        ("/alma plan -s prod", Command("plan", scopes=("prod",))),
        ("/alma plan --scope=prod\nthanks!", Command("plan", scopes=("prod",))),
        ("/alma confirm 4f0c1234", Command("confirm", ("4f0c1234",))),
        (
            '/alma pause -s prod --reason "too risky today" --until 2h',
            Command("pause", (), ("prod",), "too risky today", "2h"),
        ),
        ("  /alma status", Command("status")),
        ("/alma STATUS", Command("status")),
        ("/alma plna", Command("plna")),
        ("/alma as", Command("as")),
        ("/alma as medic", Command("troubleshoot", persona="medic")),
        ("/alma as Operator plan -s prod", Command("plan", scopes=("prod",), persona="operator")),
        ("/alma as architect council is it's so?", Command("council", text="is it's so?", persona="architect")),
        ("/alma as medic confirm 4f0c1234", Command("confirm", ("4f0c1234",), persona="medic")),
    ],
)
def test_a_command_is_read(body: str, expected: Command) -> None:
    assert parse_command(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        "please /alma confirm",
        "> /alma confirm",
        "hello\n/alma confirm",
        "```\n/alma confirm\n```",
        "    /alma confirm",
        "alma is a nice name",
        "/almaconfirm",
        "",
        "\n/alma confirm",
    ],
)
def test_prose_quotes_code_and_later_lines_never_command(body: str) -> None:
    assert parse_command(body) is None


@pytest.mark.parametrize(
    "body",
    [
        '/alma pause --reason "open',
        "/alma plan $(reboot)",
        "/alma plan -s",
        "/alma plan -s ../x;y",
        "/alma as root plan",
        "/alma as medic as medic",
    ],
)
def test_what_does_not_fit_is_said_and_not_done(body: str) -> None:
    command = parse_command(body)
    assert command is not None and command.wrong


@given(st.text(max_size=300))
def test_no_text_breaks_the_grammar(body: str) -> None:
    for text in (body, f"/alma {body}"):
        command = parse_command(text)
        if command is not None and not command.wrong and command.verb in VERBS:
            assert all(c.isprintable() for a in command.args for c in a)


@pytest.mark.parametrize(
    ("body", "text", "scopes"),
    [
        ('/alma troubleshoot it\'s full: "no space" left', 'it\'s full: "no space" left', ()),
        ("/alma suggest 'a shop' -s prod", "a shop", ("prod",)),
        ("/alma suggest", "", ()),
    ],
)
def test_a_verb_that_takes_words_takes_them_as_they_are(body: str, text: str, scopes: tuple[str, ...]) -> None:
    command = parse_command(body)
    assert command is not None and (command.text, command.scopes, command.wrong) == (text, scopes, "")


@pytest.mark.parametrize("body", ["/alma suggest " + "x" * 1001, "/alma suggest a\u202eb", "/alma suggest x -s"])
def test_words_that_are_too_long_or_hide_something_are_not_taken(body: str) -> None:
    command = parse_command(body)
    assert command is not None and command.wrong
