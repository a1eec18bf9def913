"""D18, E7, E8 at GitHub and GitLab: how a webhook must be let in, and what it may say.

The payloads were recorded by those who make the forges: GitHub's examples, and those of GitLab's client.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import orjson
import pytest
from starlette.datastructures import Headers

from controller.errors import InvalidInput
from controller.forges.forge import ForgeHint, ForgeRefused
from controller.forges.webhook import BODY_BYTES_MAX
from tests.controller.forges.fake_forge import SECRET
from tests.controller.forges.mutants import BODIES, REPLACEMENTS, places
from tests.controller.forges.webhook_kinds import EVENTS, HUB, HUB_API, KINDS, LAB, digest, encoded, read
from tests.servers.descriptions import GITHUB_WEBHOOKS, GITLAB_API, described

Report = Callable[..., None]
Json = dict[str, Any]


@pytest.mark.parametrize(("name", "event"), EVENTS)
def test_a_webhook_says_what_to_look_at(name: str, event: str) -> None:
    kind = KINDS[name]
    assert read(kind, kind.forge(), event, kind.payloads[event]) == kind.hints[event]


@pytest.mark.parametrize(
    ("name", "event", "change"),
    [
        ("github", "push", {"ref": "refs/tags/v1"}),
        ("github", "push", {"repository": {"full_name": "ops/other"}}),
        ("github", "issue_comment", {"issue": {"number": 7}}),
        ("github", "ping", {"repository": None}),
        ("github", "workflow_run", {"repository": HUB}),
        ("gitlab", "Push Hook", {"project": {"path_with_namespace": "ops/other"}}),
        ("gitlab", "Note Hook", {"object_attributes": {"noteable_type": "Issue"}}),
        ("gitlab", "Tag Push Hook", {"object_kind": "tag_push", "ref": "refs/tags/v1", "project": LAB}),
        ("gitlab", "Pipeline Hook", {}),
    ],
)
def test_what_is_valid_and_not_for_us_says_nothing(name: str, event: str, change: Json) -> None:
    kind = KINDS[name]
    assert read(kind, kind.forge(), event, {**kind.payloads.get(event, {}), **change}) is None


@pytest.mark.parametrize(
    ("name", "event", "change"),
    [
        ("github", "pull_request", {"number": 8}),
        ("github", "issue_comment", {"comment": {"issue_url": f"{HUB_API}/issues/8"}}),
        ("gitlab", "Push Hook", {"object_kind": "note"}),
        ("gitlab", "Note Hook", {"merge_request": {"id": 9_008, "iid": 8}}),
        ("gitlab", "Merge Request Hook", {"object_attributes": {"iid": 8, "url": "https://x/-/merge_requests/7"}}),
    ],
)
def test_what_disagrees_with_itself_is_invalid(name: str, event: str, change: Json) -> None:
    kind = KINDS[name]
    with pytest.raises(InvalidInput):
        read(kind, kind.forge(), event, {**kind.payloads[event], **change})


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("name", "event"), EVENTS)
def test_a_body_that_is_no_such_document_is_invalid(name: str, event: str, body: bytes) -> None:
    kind = KINDS[name]
    if name == "github" and body == b"{}":  # of no repository, as what an App gets about itself
        assert kind.forge().read_event(kind.headers(event, body), body) is None
        return
    with pytest.raises(InvalidInput):
        kind.forge().read_event(kind.headers(event, body), body)


@pytest.mark.parametrize("name", KINDS)
def test_without_an_event_of_this_forge_it_is_invalid(name: str) -> None:
    kind, body = KINDS[name], b"{}"
    shown = {kind.shown: kind.headers("push", body)[kind.shown]}
    for other in ({}, {"X-Gitea-Event": "push"}):
        with pytest.raises(InvalidInput):
            kind.forge().read_event({**shown, **other}, body)


def wrong_values(right: str, body: bytes) -> dict[str, str]:
    """Ways not to be us."""
    return {
        "empty": "",
        "blank": " ",
        "zeros": "0" * 64,
        "of another secret": digest(body, "another repository's secret"),
        "of an empty secret": digest(body, ""),
        "of another body": digest(body + b" "),
        "signed without a prefix, of another body": f"sha256={digest(body + b'x')}",
        "truncated": right[:-1],
        "half": right[: len(right) // 2],
        "one letter": right[:1],
        "longer": right + "0",
        "twice": f"{right}, {right}",
        "other case": right.swapcase(),
        "one letter off": ("x" if right[0] != "x" else "y") + right[1:],
        "quoted": f'"{right}"',
        "space before": f" {right}",
        "space after": f"{right} ",
        "nul": right + "\0",
        "sha1": "sha1=" + hmac.new(SECRET.encode(), body, "sha1").hexdigest(),
        "sha512": "sha512=" + hmac.new(SECRET.encode(), body, "sha512").hexdigest(),
        "prefix alone": "sha256=",
        "prefix twice": f"sha256={right}",
        "plain hash": hashlib.sha256(body).hexdigest(),
        "not ascii": "ä" * 64,
        "surrogate": "\ud800" * 64,
        "a megabyte": "a" * 2**20,
    }


@pytest.mark.parametrize("name", KINDS)
def test_only_the_secret_of_this_repository_opens_the_door(name: str, report_n: Report) -> None:
    kind = KINDS[name]
    event, payload = next(iter(kind.payloads.items()))
    body = encoded(payload)
    right = kind.headers(event, body)
    without = {key: value for key, value in right.items() if key != kind.shown}
    cases = [{**without, kind.shown: value} for value in wrong_values(right[kind.shown], body).values()]
    cases += [without, {**without, "X-Gitea-Signature": digest(body)}, {**without, "Authorization": SECRET}]
    cases += [{**without, "X-Hub-Signature": value} for value in wrong_values(right[kind.shown], body).values()]
    other = {"github": "X-Gitlab-Token", "gitlab": "X-Hub-Signature-256"}[name]
    cases += [{**without, other: SECRET}, {**without, other: f"sha256={digest(body)}"}]
    refused = 0
    for headers in cases:
        with pytest.raises(ForgeRefused) as refusal:
            kind.forge().read_event(headers, body)
        text = f"{refusal.value} {refusal.value.hint}"
        refused += not any(len(v) > 6 and v in text for v in (SECRET, digest(body), right[kind.shown]))
    report_n(f"E7 {name}", len(cases), len(cases) - refused)
    assert refused == len(cases) >= 50


@pytest.mark.parametrize("name", KINDS)
def test_what_lets_in_and_came_twice_is_refused(name: str) -> None:
    kind, body = KINDS[name], b"{}"
    right = kind.headers("push", body)[kind.shown]
    event = next(key for key in kind.headers("push", body) if key.endswith("-Event"))
    for first, second in (("0" * 64, right), (right, "0" * 64), (right, right)):
        pairs = [(event, "push"), (kind.shown, first), (kind.shown, second)]
        headers = Headers(raw=[(key.lower().encode(), value.encode()) for key, value in pairs])
        with pytest.raises(ForgeRefused):
            kind.forge().read_event(headers, body)


@pytest.mark.parametrize("name", KINDS)
def test_without_a_secret_every_webhook_is_refused(name: str) -> None:
    kind, body = KINDS[name], b"{}"
    forge = kind.forge(webhook_secret="")
    for value in ("", digest(body, ""), f"sha256={digest(body, '')}", SECRET):
        with pytest.raises(ForgeRefused):
            forge.read_event({**kind.headers("push", body), kind.shown: value}, body)


@pytest.mark.parametrize("name", KINDS)
def test_a_body_above_the_limit_is_refused(name: str) -> None:
    kind = KINDS[name]
    with pytest.raises(InvalidInput, match="5 MiB"):
        kind.forge().read_event({}, b" " * (BODY_BYTES_MAX + 1))


@pytest.mark.parametrize("name", KINDS)
def test_a_replay_asks_the_forge_nothing_and_says_the_same(name: str, report_n: Report) -> None:
    kind = KINDS[name]
    server = kind.server()
    forge, events, wrong = server.forge(), list(kind.payloads), 0
    for i in range(1_000):
        event = events[i % len(events)]
        body = encoded(kind.payloads[event])
        server.clock.now_s += 31_536.0  # a year in all
        again = {**kind.headers(event, body), "X-GitHub-Delivery": str(i), "Idempotency-Key": str(i)}
        wrong += forge.read_event(again, body) != kind.hints[event]
    report_n(f"E8 {name}", 1_000, wrong + len(server.ledger))
    assert (wrong, server.ledger) == (0, [])


# The recorded ones.

_HUB_EVENTS = ("push", "pull_request", "pull_request_review", "pull_request_review_comment", "issue_comment")
_LAB_EVENTS = {
    "Push Hook": "push",
    "Tag Push Hook": "tag_push",
    "Merge Request Hook": "merge_request",
    "Note Hook": "note_merge_request",
}
RECORDED = [
    *(pytest.param("github", event, marks=pytest.mark.github_api) for event in _HUB_EVENTS),
    *(pytest.param("gitlab", event, marks=pytest.mark.gitlab_api) for event in _LAB_EVENTS),
]


@lru_cache(maxsize=1)
def hub_examples() -> Json:
    folder = described(GITHUB_WEBHOOKS)
    assert folder is not None
    listed = json.loads((folder / "api.github.com" / "index.json").read_bytes())
    return {one["name"]: one["examples"] for one in listed}


def recorded(name: str, event: str) -> Json:
    """The richest one of its kind."""
    if name == "gitlab":
        folder = described(GITLAB_API)
        assert folder is not None
        lab: Json = json.loads((folder / "testdata" / "webhooks" / f"{_LAB_EVENTS[event]}.json").read_bytes())
        return lab
    payload: Json = max(hub_examples()[event], key=lambda one: len(json.dumps(one)))
    if event == "issue_comment":  # every recorded one is on an issue
        payload = {**payload, "issue": {**payload["issue"], "pull_request": {"url": payload["issue"]["url"]}}}
    return payload


def wanted(name: str, payload: Json) -> ForgeHint | None:
    """Found another way than the code does."""
    if "ref" in payload:
        ref = payload["ref"]
        return ForgeHint(branch=ref.removeprefix("refs/heads/")) if ref.startswith("refs/heads/") else None
    about = [payload[key] for key in ("pull_request", "issue", "merge_request", "object_attributes") if key in payload]
    return ForgeHint(pull=about[0]["number" if name == "github" else "iid"])


def full_name(payload: Json) -> str:
    return str(payload["repository"].get("full_name") or payload["project"]["path_with_namespace"])


def mutants(payload: Json) -> Iterator[Json]:
    """The document with one place changed, and then as it was again."""
    for path in list(places(payload)):
        holder: Any = payload
        for key in path[:-1]:
            holder = holder[key]
        kept, last = holder[path[-1]], path[-1]
        for new in REPLACEMENTS:
            holder[last] = new
            yield payload
        holder[last] = kept
        if isinstance(holder, dict):
            del holder[last]
            yield payload
            holder[last] = kept


@pytest.mark.parametrize(("name", "event"), RECORDED)
def test_any_recorded_field_may_be_anything_and_no_wrong_hint_comes_of_it(
    name: str, event: str, report_n: Report
) -> None:
    kind, payload = KINDS[name], recorded(name, event)
    forge, expected = kind.forge(full_name(payload)), wanted(name, payload)
    assert read(kind, forge, event, payload) == expected
    points, wrong = 0, []
    for mutant in mutants(payload):
        try:
            body = orjson.dumps(mutant)
        except TypeError:  # a number that does not fit its encoder
            body = encoded(mutant)
        try:
            hint = forge.read_event(kind.headers(event, body), body)
        except (InvalidInput, ForgeRefused):
            hint = None
        points += 1
        if hint not in (None, expected):
            wrong.append((hint, body[:200]))
    report_n(f"D18 {name}", points, len(wrong))
    assert wrong == []
    assert points >= 300
