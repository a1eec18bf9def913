"""The port strangers reach: health, readiness and signed webhooks; everything else is not there."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import stat
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from httpx2 import ASGITransport, AsyncClient

from controller.errors import RefusedByPolicy
from controller.forges.forge import ForgeBinding
from controller.forges.gitea import GiteaForge
from controller.journal.journal import Journal
from controller.operations.access import Actor
from controller.runtime.work_queue import WorkQueue
from controller.telemetry import Metrics
from controller.web.app import metrics_app, web_app
from controller.web.socket import serve_socket
from controller.web.webhooks import WebhookIntake
from tests.controller.runtime.clocks import VirtualClock

SECRET = "s3cret-of-the-hook"
PUSH = {"ref": "refs/heads/main", "repository": {"full_name": "ops/infra"}}


class Port:
    def __init__(self, client: AsyncClient, queue: WorkQueue, journal: Journal, metrics: Metrics) -> None:
        self.client, self.queue, self.journal, self.metrics = client, queue, journal, metrics
        self.missing: Mapping[str, str] = {}

    async def hook(self, body: bytes, signature: str | None = None, repository: str = "infra") -> int:
        signed = signature if signature is not None else hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Gitea-Event": "push", "X-Gitea-Signature": signed, "Content-Type": "application/json"}
        return (await self.client.post(f"/webhooks/{repository}", content=body, headers=headers)).status_code


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    config = {"kind": "gitea", "url": "http://127.0.0.1:1", "token": "t" * 40, "webhook_secret": SECRET}
    forge = GiteaForge.open(ForgeBinding("infra", "http://127.0.0.1:1/ops/infra.git", "main", config))
    journal = await Journal.open(f"sqlite:///{tmp_path / 'alma.db'}", now=lambda: datetime.now(UTC))
    queue, metrics = WorkQueue(VirtualClock()), Metrics()
    one: Port

    async def ready() -> Mapping[str, str]:
        return one.missing

    app = web_app(ready, WebhookIntake({"infra": forge}, journal, queue, lambda reason: None), metrics)
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://alma") as client:
        one = Port(client, queue, journal, metrics)
        yield one
    await forge.close()
    await journal.close()


def waiting(queue: WorkQueue) -> set[str]:
    keys = set()
    while (item := queue.due()) is not None:
        keys.add(item.key)
    return keys


async def test_health_and_readiness_answer(port: Port) -> None:
    assert (await port.client.get("/healthz")).text == "ok\n"
    assert (await port.client.get("/readyz")).status_code == 200
    port.missing = {"repository infra": "https://secret.example did not answer"}
    answer = await port.client.get("/readyz")
    assert answer.status_code == 503 and "secret.example" not in answer.text


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/docs", "/openapi.json", "/webhooks", "/webhooks/other", "/api/v1/iprs"]
)
async def test_nothing_else_is_there(port: Port, path: str) -> None:
    assert (await port.client.get(path)).status_code in (404, 405)


async def test_a_signed_webhook_is_durable_before_it_is_answered(port: Port) -> None:
    before = port.journal.head
    assert await port.hook(json.dumps(PUSH).encode()) == 202
    assert port.journal.head == before + 1
    assert waiting(port.queue) == {"repo:infra"}


async def test_the_same_webhook_five_times_is_one_look(port: Port) -> None:
    for _ in range(5):
        assert await port.hook(json.dumps(PUSH).encode()) == 202
    assert waiting(port.queue) == {"repo:infra"}


@pytest.mark.parametrize(
    ("body", "signature", "code"),
    [
        (b"{}", "00", 401),
        (b"{}", "", 401),
        (b"{", None, 400),
        (b"[]", None, 400),
        (b'"text"', None, 400),
        (b"\xff\xfe", None, 400),
    ],
)
async def test_a_wrong_webhook_is_a_4xx_and_wakes_nobody(
    port: Port, body: bytes, signature: str | None, code: int
) -> None:
    assert await port.hook(body, signature) == code
    assert waiting(port.queue) == set()


async def test_a_repository_without_a_secret_has_no_route(port: Port) -> None:
    assert await port.hook(json.dumps(PUSH).encode(), repository="unsigned") == 404


async def test_a_body_over_the_limit_is_not_read(port: Port) -> None:
    assert await port.hook(b"x" * (5 * 1024 * 1024 + 1)) == 413


async def test_a_webhook_that_cannot_be_made_durable_is_sent_again(port: Port) -> None:
    await port.journal.close()
    assert await port.hook(json.dumps(PUSH).encode()) == 503


async def test_requests_are_counted_by_route_not_by_path(port: Port) -> None:
    for path in ("/webhooks/a", "/webhooks/b", "/nonsense-1", "/nonsense-2"):
        await port.client.post(path, content=b"")
    text = (
        await AsyncClient(transport=ASGITransport(app=metrics_app(port.metrics)), base_url="http://m").get("/metrics")
    ).text
    assert 'route="/webhooks/{repository}"' in text
    assert "nonsense" not in text and "/webhooks/a" not in text


async def test_the_socket_knows_who_asks_and_answers_errors_as_data(tmp_path: Path) -> None:
    asked: list[tuple[Actor, str]] = []

    async def call(actor: Actor, verb: str, args: Mapping[str, object]) -> object:
        asked.append((actor, verb))
        if verb == "boom":
            raise RuntimeError("a defect")
        if verb == "no":
            raise RefusedByPolicy("not you", hint="ask")
        return {"args": dict(args)}

    server = await serve_socket(tmp_path / "alma.sock", call)
    assert stat.S_IMODE((tmp_path / "alma.sock").stat().st_mode) == 0o660
    assert await talk(tmp_path, b'{"verb": "status", "args": {"a": 1}}') == {"result": {"args": {"a": 1}}}
    assert (await talk(tmp_path, b'{"verb": "no"}'))["error"] == {"message": "not you", "hint": "ask", "exit_code": 4}
    assert (await talk(tmp_path, b'{"verb": "boom"}'))["error"]["exit_code"] == 1
    assert (await talk(tmp_path, b"garbage"))["error"]["exit_code"] == 3
    assert "controller" in asked[0][0].names
    server.close()


async def talk(folder: Path, line: bytes) -> dict[str, dict[str, object]]:
    reader, writer = await asyncio.open_unix_connection(str(folder / "alma.sock"))
    writer.write(line + b"\n")
    answer: dict[str, dict[str, object]] = json.loads(await reader.readline())
    writer.close()
    return answer
