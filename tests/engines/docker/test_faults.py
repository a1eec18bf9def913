"""Every way a Docker host can answer wrongly, on every call: unknown is never absent (B2), a lost answer is never a
failure (B1), and no text of others leaves unredacted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from controller.plan.resource import Mark
from controller.plan.step import OpId, Prior, Step
from engines.docker import marks
from engines.docker.client import Failed
from engines.docker.engine import DockerEngine
from engines.engine import Ask, Conflict, EngineError, Refused, Transient, Unclear, Values
from tests.engines.docker.driving import INSTALL, SCOPE, Held, PlainSeal, binding, desired, entry, web
from tests.engines.docker.fake_host import CUT, RESET, SILENT, Answer, FakeHost

Report = Callable[..., None]
UID = "c" * 64
LABELS = marks.labels(Mark(INSTALL, SCOPE, "prod/shop/web", "op1234567890"))
LISTED = {"Id": UID, "Names": ["/prod-shop-web"], "Labels": LABELS, "State": "running", "Image": "x"}
INSPECTED = {
    "Id": UID,
    "Name": "/prod-shop-web",
    "Config": {"Image": "alma-test/web:1.0", "Labels": LABELS},
    "HostConfig": {"RestartPolicy": {"Name": "always"}},
    "State": {"Status": "running", "Running": True},
    "NetworkSettings": {},
}
CANARY = "c4nary-in-an-error"
READ_FAULTS: dict[str, Answer] = {
    "400": Answer(400, {"message": CANARY}),
    "401": Answer(401, {"message": CANARY}),
    "403": Answer(403, {"message": CANARY}),
    "409": Answer(409, {"message": CANARY}),
    "429": Answer(429, {"message": CANARY}, headers={"Retry-After": "7"}),
    "500": Answer(500, {"message": CANARY}),
    "502": Answer(502, raw=f"<html>{CANARY}</html>".encode()),
    "503": Answer(503, {"message": CANARY}, headers={"Retry-After": "7"}),
    "reset": Answer(way=RESET),
    "closed": Answer(way=SILENT),
    "cut JSON": Answer(body=[LISTED], way=CUT),
    "empty 200": Answer(raw=b""),
    "no JSON": Answer(raw=b"<html>"),
    "wrong shape": Answer(body="text"),
    "null": Answer(body=None),
    "redirect": Answer(302, {"message": CANARY}, headers={"Location": "http://127.0.0.1:1/"}),
}
READS = ["/containers/json", "/networks", "/volumes", f"/containers/{UID}/json", "/info"]
WRITE_FAULTS: dict[str, tuple[Answer, tuple[type[EngineError], ...]]] = {
    "400": (Answer(400, {"message": CANARY}), (Refused,)),
    "401": (Answer(401, {"message": CANARY}), (Refused,)),
    "403": (Answer(403, {"message": CANARY}), (Refused,)),
    "409": (Answer(409, {"message": CANARY}), (Conflict,)),
    "429": (Answer(429, {"message": CANARY}), (Transient,)),
    "500": (Answer(500, {"message": CANARY}), (Transient,)),
    "500 for good": (Answer(500, {"message": "port is already allocated " + CANARY}), (Refused,)),
    "502": (Answer(502, raw=CANARY.encode()), (Unclear,)),
    "503": (Answer(503, {"message": CANARY}, headers={"Retry-After": "7"}), (Transient,)),
    "504": (Answer(504, raw=b""), (Unclear,)),
    "reset": (Answer(way=RESET), (Unclear,)),
    "closed": (Answer(way=SILENT), (Unclear,)),
    "cut JSON": (Answer(body={"Id": UID, "Warnings": [CANARY]}, way=CUT), (Unclear,)),
}


@pytest.fixture
def host() -> Iterator[FakeHost]:
    made = FakeHost()
    made.say("GET", "/containers/json", [LISTED])
    made.say("GET", f"/containers/{UID}/json", INSPECTED)
    made.say("GET", "/containers/prod-shop-web/json", INSPECTED)
    yield made
    made.close()


def opened(host: FakeHost) -> DockerEngine:
    def redact(text: str) -> str:
        return text.replace(CANARY, "***")[:4096]

    return DockerEngine.open(replace(binding(host.url), redact=redact))


ASK = Ask(INSTALL, frozenset({SCOPE}))


@pytest.mark.parametrize("fault", READ_FAULTS)
@pytest.mark.parametrize("path", READS)
async def test_a_read_that_fails_is_a_gap_and_no_absence(
    path: str, fault: str, host: FakeHost, report_n: Report
) -> None:
    host.answers["GET", path] = READ_FAULTS[fault]
    engine = opened(host)
    try:
        snapshot = await engine.observe(ASK)
    except EngineError as error:
        assert CANARY not in str(error)
    else:
        assert snapshot.gaps, "unknown is not absent"
        assert all(CANARY not in g.reason for g in snapshot.gaps)
        if path == "/containers/json":
            assert any(g.kind == "docker/container" for g in snapshot.gaps)
    assert host.writes == []
    await engine.close()
    report_n("B2 docker", 1)


@pytest.mark.parametrize("listed", [[], [{"Id": "d" * 64, "Names": ["/other"], "Labels": {}}]])
async def test_a_list_that_hides_containers_is_a_gap(listed: list[Any], host: FakeHost, report_n: Report) -> None:
    """The host itself counts more than it lists: a filter in between, or a page."""
    host.say("GET", "/containers/json", listed)
    host.say("GET", "/info", {"Containers": 5})
    engine = opened(host)
    snapshot = await engine.observe(ASK)
    assert [g.kind for g in snapshot.gaps] == ["docker/container"]
    await engine.close()
    report_n("B2 docker", 1)


async def test_a_volume_list_with_warnings_is_a_gap(host: FakeHost) -> None:
    host.say("GET", "/volumes", {"Volumes": [], "Warnings": ["a plugin did not answer"]})
    engine = opened(host)
    assert [g.kind for g in (await engine.observe(ASK)).gaps] == ["docker/volume"]
    await engine.close()


async def planned(engine: DockerEngine) -> list[Step]:
    """A destroy, an update and a create: every write a container can meet, without files and networks."""
    destroyed = await engine.preview((), await engine.observe(ASK), SCOPE)
    wanted = desired([web("api", image="alma-test/web:1.0"), entry("data", "volume"), entry("front", "network")])
    created = await engine.preview(wanted, replace(await engine.observe(ASK), objects=()), SCOPE)
    return [s.for_run("run1") for e in (*destroyed, *created) for s in e.steps if s.request["call"] != "image.pull"]


PATHS = {
    "container.update": ("POST", f"/containers/{UID}/update"),
    "container.stop": ("POST", f"/containers/{UID}/stop"),
    "container.remove": ("DELETE", f"/containers/{UID}"),
    "container.create": ("POST", "/containers/create"),
    "volume.create": ("POST", "/volumes/create"),
    "network.create": ("POST", "/networks/create"),
}


@pytest.mark.parametrize("fault", WRITE_FAULTS)
@pytest.mark.parametrize("call", PATHS)
async def test_a_write_that_fails_says_what_to_do_next(call: str, fault: str, host: FakeHost, report_n: Report) -> None:
    """Nothing was done → Transient; a person must act → Refused; the answer was lost → Unclear. Sent once only."""
    engine = opened(host)
    step = next(s for s in await planned(engine) if s.request["call"] == call)
    answer, expected = WRITE_FAULTS[fault]
    host.answers[PATHS[call]] = answer
    with pytest.raises(expected) as raised:
        await engine.do(OpId("faultop11111"), step, Prior(), Values(), Held())
    assert CANARY not in str(raised.value)
    assert not isinstance(raised.value, Failed)
    assert len(host.writes) == 1
    await engine.close()
    report_n("B1 docker", 1)


async def test_an_error_after_it_acted_is_a_success(host: FakeHost, report_n: Report) -> None:
    """500 from stop, and the container is stopped: the host's own state is the answer."""
    engine = opened(host)
    step = next(s for s in await planned(engine) if s.request["call"] == "container.stop")
    host.answers[PATHS["container.stop"]] = Answer(500, {"message": "timeout"})
    stopped = {**INSPECTED, "State": {"Status": "exited", "Running": False}}
    prior = await engine.prior(step, PlainSeal())
    host.say("GET", f"/containers/{UID}/json", stopped)
    receipt = await engine.do(OpId("faultop11111"), step, prior, Values(), Held())
    assert (receipt.state.value, receipt.uid) == ("done", UID)
    await engine.close()
    report_n("B1 docker", 1)


async def test_nothing_is_sent_once_the_fence_is_lost(host: FakeHost) -> None:
    engine = opened(host)
    for step in await planned(engine):
        with pytest.raises(Transient):
            await engine.do(OpId("fencedop1111"), step, Prior(), Values(), Held(held=False))
    assert host.writes == []
    await engine.close()


async def test_a_host_that_is_not_there_is_transient() -> None:
    engine = DockerEngine.open(binding("unix:///nonexistent/docker.sock"))
    for ask in (engine.about(), engine.observe(ASK)):
        with pytest.raises(Transient, match="does not answer"):
            await ask
    await engine.close()
