"""Encrypted secrets of every kind, through review, merge, failure and undo: no sink holds one (I26)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from controller.plan.codec import to_json
from controller.runtime.records import RunRecord, ScopeRecord
from controller.runtime.run import RunWord
from tests.controller.runtime.estate import ALMA_YAML, WEB, Estate, Repo, blueprint, estate
from tests.controller.test_redact import CANARIES, ENCODINGS
from tests.servers.sops import Sops

SHOP, FILE = "prod/shop.yaml", "prod/app.yaml"


def using(image: str, more: str = "") -> str:
    env = ", ".join(f'K_{kind.upper()}: {{secret: "sops:app.yaml#{kind}"}}' for kind in CANARIES)
    return blueprint(WEB.replace("web:1.0", image).replace("cpu: 1", f"cpu: 1{more}, env: {{{env}}}"))


async def sinks(home: Estate, state: Path, said: str) -> dict[str, str]:
    """Everything that leaves the controller or stays on its disk, by name."""
    install = home.controller.install
    shown = await home.ask("ipr.show", number=1)
    return {
        "comments": "\n".join(c["body"] for c in shown["comments"]),
        "pull request": json.dumps(shown, default=str, ensure_ascii=False),
        "status": json.dumps(await home.ask("status"), default=str, ensure_ascii=False),
        "scopes": json.dumps([to_json(r) for r in await install.records.all(ScopeRecord)], ensure_ascii=False),
        "runs": json.dumps([to_json(r) for r in await install.records.all(RunRecord)], ensure_ascii=False),
        "metrics": generate_latest(install.metrics.registry).decode(),
        "log and output": said,
        "journal": journal_of(state),
        "platform": json.dumps(home.world, ensure_ascii=False),
        "secrets' own text": f"{install.secrets!r} {install.key!r} {install.settings.allow!r}",
    }


async def test_no_sink_holds_a_canary_in_any_encoding(
    sops: Sops, tmp_path: Path, capsys: pytest.CaptureFixture[str], report_n: Callable[..., None]
) -> None:
    """E9."""
    identity, recipient = sops.identity("key")
    changed = {kind: f"{value}+new" for kind, value in CANARIES.items()}
    files = {
        "alma.yaml": ALMA_YAML,
        SHOP: using("web:1.0"),
        FILE: sops.encrypt("app.yaml", yaml.safe_dump(CANARIES, allow_unicode=True), "--age", recipient),
    }
    repo = Repo.make(tmp_path / "git", files)
    allow = {"targets": ("sim",), "secrets": ("sops:**",), "sops": {"age": (f"file:{sops.root}/key",)}}
    async with estate(repo, tmp_path / "state", allow={"infra": allow}) as home:
        await home.settle()
        text = sops.encrypt("app.yaml", yaml.safe_dump(changed, allow_unicode=True), "--age", recipient)
        repo.push({FILE: text, SHOP: using("web:9.9", ", simulate: {health: never}")}, "ipr/new")
        await home.settle()
        await home.ask("ipr.merge", number=1)
        await home.settle(120)
        assert [r.word for r in await home.runs()][:2] == [RunWord.DONE, RunWord.UNDONE]
        out, err = capsys.readouterr()
        held = await sinks(home, tmp_path / "state", out + err)
        assert all(held.values()), "a sink that is empty proves nothing"
        assert install_holds(home, changed["plain"]), "the values were there to be leaked"
    wanted = {**CANARIES, "identity": identity.splitlines()[2]}
    hits = [
        (kind, sink, name)
        for kind, value in wanted.items()
        for name, encode in ENCODINGS.items()
        for sink, shown in held.items()
        if encode(value) in shown
    ]
    report_n("E9 secrets of SOPS", len(wanted) * len(ENCODINGS) * len(held), len(hits))
    assert hits == []


def journal_of(state: Path) -> str:
    return "".join(f.read_bytes().decode("latin-1") for f in sorted(state.glob("alma.db*")))


def install_holds(home: Estate, value: str) -> bool:
    return value in home.controller.install.secrets.known()
