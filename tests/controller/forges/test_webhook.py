"""D18, E7, E8: what a webhook may say and how it must be signed. The payloads were recorded from a real Gitea."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import math
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from controller.errors import InvalidInput
from controller.forges.forge import ForgeHint, ForgeRefused
from controller.forges.gitea import GiteaForge
from controller.forges.webhook import BODY_BYTES_MAX, check_signature
from tests.controller.forges.fake_forge import SECRET
from tests.controller.forges.fake_gitea import FakeGitea
from tests.controller.forges.mutants import BODIES, MISSING, REPLACEMENTS, places, with_change

Report = Callable[..., None]
PAYLOADS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "payloads" / "gitea.json").read_text())
FULL_NAME: str = PAYLOADS["push"]["repository"]["full_name"]
NUMBER: int = PAYLOADS["pull_request"]["number"]
PULL = ForgeHint(pull=NUMBER)
HINTS = {
    "push": ForgeHint(branch=PAYLOADS["push"]["ref"].removeprefix("refs/heads/")),
    "pull_request": PULL,
    "issue_comment": PULL,
    "pull_request_approved": PULL,
}


@pytest.fixture
def forge() -> GiteaForge:
    return FakeGitea(full_name=FULL_NAME).forge()


def digest(body: bytes, secret: str = SECRET, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), body, algorithm).hexdigest()


def signed(event: str, body: bytes) -> dict[str, str]:
    """The headers that Gitea 1.26 sends."""
    return {
        "X-Gitea-Delivery": "b34bd9ab-9d5f-4d3a-8e43-3b1d1df9a7c4",
        "X-Gitea-Event": event,
        "X-Gitea-Signature": digest(body),
        "X-Gogs-Event": event,
        "X-Gogs-Signature": digest(body),
        "X-Hub-Signature": f"sha1={digest(body, algorithm='sha1')}",
        "X-Hub-Signature-256": f"sha256={digest(body)}",
        "X-GitHub-Event": event,
    }


def encoded(payload: object) -> bytes:
    return json.dumps(payload).encode()


def read(forge: GiteaForge, event: str, payload: object) -> ForgeHint | None:
    body = encoded(payload)
    return forge.read_event(signed(event, body), body)


@pytest.mark.parametrize("event", PAYLOADS)
def test_a_recorded_webhook_says_what_to_look_at(forge: GiteaForge, event: str) -> None:
    assert read(forge, event, PAYLOADS[event]) == HINTS[event]


def test_a_webhook_of_forgejo_is_read_too(forge: GiteaForge) -> None:
    body = encoded(PAYLOADS["push"])
    headers = {"x-forgejo-event": "push", "x-forgejo-signature": digest(body)}
    assert forge.read_event(headers, body) == HINTS["push"]


@pytest.mark.parametrize(
    ("event", "change"),
    [
        ("push", {"ref": "refs/tags/v1"}),
        ("issue_comment", {"is_pull": False}),
        ("release", {}),
        ("push", {"repository": {"full_name": "ops/other"}}),
    ],
)
def test_what_is_valid_and_not_for_us_says_nothing(forge: GiteaForge, event: str, change: dict[str, Any]) -> None:
    assert read(forge, event, {**PAYLOADS.get(event, PAYLOADS["push"]), **change}) is None


def test_the_repository_is_compared_without_case(forge: GiteaForge) -> None:
    assert read(forge, "push", {**PAYLOADS["push"], "repository": {"full_name": FULL_NAME.upper()}}) == HINTS["push"]


@pytest.mark.parametrize("event", PAYLOADS)
def test_any_field_may_be_anything_and_no_wrong_hint_comes_of_it(
    forge: GiteaForge, event: str, report_n: Report
) -> None:
    points, wrong = 0, []
    for path in places(PAYLOADS[event]):
        for new in (*REPLACEMENTS, MISSING):
            try:
                hint = read(forge, event, with_change(PAYLOADS[event], path, new))
            except (InvalidInput, ForgeRefused):
                hint = None
            points += 1
            if hint not in (None, HINTS[event]):
                wrong.append((path, new, hint))
    report_n("D18 gitea", points, len(wrong))
    assert wrong == []
    assert points >= 1_250


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("event", PAYLOADS)
def test_a_signed_body_that_is_no_such_document_is_invalid(forge: GiteaForge, event: str, body: bytes) -> None:
    with pytest.raises(InvalidInput):
        forge.read_event(signed(event, body), body)


@pytest.mark.parametrize("event", ["", "PUSH", "push\n", "../push", "x" * 10_000])
def test_an_unknown_event_says_nothing(forge: GiteaForge, event: str) -> None:
    assert read(forge, event, PAYLOADS["push"]) is None


@pytest.mark.parametrize("names", [(), ("x-github-event",), ("x-gitlab-event",)])
def test_without_an_event_of_this_forge_it_is_invalid(forge: GiteaForge, names: tuple[str, ...]) -> None:
    body = encoded(PAYLOADS["push"])
    with pytest.raises(InvalidInput):
        forge.read_event({"x-gitea-signature": digest(body), **dict.fromkeys(names, "push")}, body)


def test_two_events_that_disagree_are_invalid(forge: GiteaForge) -> None:
    body = encoded(PAYLOADS["push"])
    with pytest.raises(InvalidInput):
        forge.read_event({**signed("push", body), "X-Forgejo-Event": "issue_comment"}, body)


def bad_signatures(body: bytes) -> dict[str, dict[str, str]]:
    """Ways not to be us. The event header is right in all of them."""
    right, other = digest(body), digest(body, "another repository's secret")
    values = {
        "empty": "",
        "blank": " ",
        "wrong": "0" * 64,
        "of another secret": other,
        "of an empty secret": digest(body, ""),
        "of another body": digest(body + b" "),
        "truncated": right[:-1],
        "half": right[:32],
        "one letter": right[:1],
        "longer": right + "0",
        "twice": f"{right}, {right}",
        "right and wrong": f"{right},{other}",
        "upper case": right.upper(),
        "one bit off": f"{int(right[0], 16) ^ 1:x}{right[1:]}",
        "quoted": f'"{right}"',
        "space before": f" {right}",
        "sha1 said": f"sha1={digest(body, algorithm='sha1')}",
        "sha1 bare": digest(body, algorithm="sha1"),
        "sha512": digest(body, algorithm="sha512"),
        "prefix alone": "sha256=",
        "prefix twice": f"sha256=sha256={right}",
        "base64": "cmlnaHQ=",
        "not ascii": "ä" * 64,
        "surrogate": "\ud800" * 64,
        "nul": right + "\0",
        "a megabyte": "a" * 2**20,
        "plain hash": hashlib.sha256(body).hexdigest(),
        "the secret itself": SECRET,
    }
    alone = {f"{name} alone": {"X-Gitea-Signature": value} for name, value in values.items()}
    beside = {
        f"{name} beside a right one": {"X-Gitea-Signature": right, "X-Hub-Signature-256": value}
        for name, value in values.items()
    }
    elsewhere = {
        "none": {},
        "sha1 only": {"X-Hub-Signature": f"sha1={digest(body, algorithm='sha1')}"},
        "gitlab's token": {"X-Gitlab-Token": SECRET},
        "authorization": {"Authorization": SECRET},
    }
    return {**alone, **beside, **elsewhere}


def test_only_the_secret_of_this_repository_opens_the_door(forge: GiteaForge, report_n: Report) -> None:
    body = encoded(PAYLOADS["push"])
    cases = bad_signatures(body)
    refused = 0
    for headers in cases.values():
        with pytest.raises(ForgeRefused) as refusal:
            forge.read_event({"X-Gitea-Event": "push", **headers}, body)
        text = f"{refusal.value} {refusal.value.hint}"
        refused += not any(len(v) > 6 and v in text for v in (*headers.values(), SECRET, digest(body)))
    report_n("E7 gitea", len(cases), len(cases) - refused)
    assert refused == len(cases) >= 50


def test_a_signature_that_came_twice_is_refused(forge: GiteaForge) -> None:
    body = encoded(PAYLOADS["push"])
    for first, second in (("0" * 64, digest(body)), (digest(body), "0" * 64)):
        headers = Headers(
            raw=[(b"x-gitea-event", b"push"), *((b"x-gitea-signature", v.encode()) for v in (first, second))]
        )
        with pytest.raises(ForgeRefused):
            forge.read_event(headers, body)


def test_without_a_secret_every_webhook_is_refused() -> None:
    gitea = FakeGitea(full_name=FULL_NAME)
    forge = gitea.forge(gitea.binding(webhook_secret=""))
    body = encoded(PAYLOADS["push"])
    for headers in ({}, {"X-Gitea-Signature": digest(body, "")}, {"X-Gitea-Signature": ""}):
        with pytest.raises(ForgeRefused):
            forge.read_event({"X-Gitea-Event": "push", **headers}, body)


def test_a_body_above_the_limit_is_refused_before_it_is_hashed_or_copied(forge: GiteaForge) -> None:
    body = b" " * (BODY_BYTES_MAX + 1)
    headers = {"X-Gitea-Event": "push", "X-Gitea-Signature": "0" * 64}
    tracemalloc.start()
    try:
        for _ in range(100):
            with pytest.raises(InvalidInput, match="5 MiB"):
                forge.read_event(headers, body)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_the_largest_body_that_is_allowed_is_read(forge: GiteaForge) -> None:
    padding = BODY_BYTES_MAX - len(encoded({**PAYLOADS["push"], "padding": ""}))
    assert read(forge, "push", {**PAYLOADS["push"], "padding": "x" * padding}) == HINTS["push"]


def test_a_replay_asks_the_forge_nothing_and_says_the_same(report_n: Report) -> None:
    gitea = FakeGitea(full_name=FULL_NAME)
    forge = gitea.forge()
    hints = set()
    for i in range(1_000):
        event = list(PAYLOADS)[i % len(PAYLOADS)]
        body = encoded(PAYLOADS[event])
        gitea.clock.now_s += 31_536.0  # a year in all
        hints.add((event, forge.read_event({**signed(event, body), "X-Gitea-Delivery": str(i)}, body)))
    report_n("E8 gitea", 1_000, len(gitea.ledger))
    assert gitea.ledger == []
    assert hints == set(HINTS.items())


def times_ns(values: tuple[str, str], body: bytes, seed: int) -> list[list[int]]:
    """How long each of two wrong signatures takes, in random order; what the machine held up is left out."""
    draw, taken = random.Random(seed), [list[int](), list[int]()]
    for _ in range(100_000):
        chosen = draw.getrandbits(1)
        headers: dict[str, str | None] = {"x": values[chosen]}
        before = time.perf_counter_ns()
        with contextlib.suppress(ForgeRefused):
            check_signature(SECRET, headers, body)
        taken[chosen].append(time.perf_counter_ns() - before)
    most = statistics.median(taken[0] + taken[1]) * 1.5
    return [[ns for ns in some if ns < most] for some in taken]


def welch_t(one: list[int], other: list[int]) -> float:
    error = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return abs(statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(error)


def test_how_long_a_wrong_signature_takes_is_reported(report_n: Report) -> None:
    """First against last letter wrong. A figure for the matrix, not an assertion: the machine is shared. A leak would
    show in every try, a disturbance does not."""
    body = b"x" * 64
    right = digest(body)
    first, last = ("0" if right[0] != "0" else "1") + right[1:], right[:-1] + ("0" if right[-1] != "0" else "1")
    alike = any(welch_t(*times_ns((first, last), body, seed)) < 4.5 for seed in range(3))
    report_n("E7 timing", 100_000, int(not alike))
