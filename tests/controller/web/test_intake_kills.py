"""A8: killed at any moment of the intake, what a forge was told 2xx for is in the journal of the next process."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from controller.journal.journal import Journal
from tests.controller.web.intake_server import SECRET

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]

_SIDE_BY_SIDE = 20
_LIVES = 10
_SERVER = (sys.executable, "-m", "tests.controller.web.intake_server")


@dataclass
class Forge:
    """Sends pushes to branches of ever new names, and remembers which were acknowledged."""

    state: Path
    acknowledged: set[str] = field(default_factory=set)
    sent: int = 0

    async def life(self, acknowledgements: int) -> None:
        """One process of the intake, killed once it has acknowledged so many."""
        server = _started(self.state)
        assert server.stdout is not None
        enough = len(self.acknowledged) + acknowledgements
        try:
            port = int(await asyncio.to_thread(server.stdout.readline))
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                await asyncio.gather(*(self._send(client, server, enough) for _ in range(_SIDE_BY_SIDE)))
        finally:
            server.kill()
            server.wait()
            server.stdout.close()

    async def _send(self, client: httpx2.AsyncClient, server: subprocess.Popen[str], enough: int) -> None:
        while len(self.acknowledged) < enough:
            self.sent += 1
            branch = f"b{self.sent}"
            try:
                answer = await client.post("/webhooks/infra", content=_body(branch), headers=_headers(branch))
            except httpx2.HTTPError:
                return  # it died meanwhile
            assert answer.status_code == 202
            self.acknowledged.add(branch)
        server.kill()


def _started(state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([*_SERVER, str(state)], stdout=subprocess.PIPE, text=True)


def _body(branch: str) -> bytes:
    return json.dumps({"ref": f"refs/heads/{branch}", "repository": {"full_name": "ops/infra"}}).encode()


def _headers(branch: str) -> dict[str, str]:
    signed = hmac.new(SECRET.encode(), _body(branch), hashlib.sha256).hexdigest()
    return {"X-Gitea-Event": "push", "X-Gitea-Signature": signed, "Content-Type": "application/json"}


async def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path, report_n: Callable[..., None], full: bool) -> None:
    chance, forge = random.Random(8), Forge(tmp_path)
    for _ in range(_LIVES):
        await forge.life(chance.randint(1000, 1500) if full else chance.randint(100, 300))
    journal = await Journal.open(f"sqlite:///{tmp_path / 'alma.db'}", now=lambda: datetime.now(UTC))
    try:
        known = {row.body["branch"] for row in await journal.read("webhook:infra")}
        assert not (await journal.verify()).damages
    finally:
        await journal.close()
    lost = forge.acknowledged - known
    report_n("A8 webhook intake", len(forge.acknowledged), len(lost))
    assert not lost
