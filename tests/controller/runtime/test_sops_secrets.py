"""Secrets that stand encrypted in the repository: from Git to the platform, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.plan.health import SyncState
from tests.controller.runtime.estate import ALMA_YAML, WEB, Estate, Repo, blueprint, estate
from tests.servers.sops import Sops

SHOP, FILE = "prod/shop.yaml", "prod/secrets/app.yaml"
PLAIN = "db:\n    password: Can4ry-one\nother: Can4ry-two\n"


def using(ref: str, name: str = "web") -> str:
    one = WEB.replace("cpu: 1", f'cpu: 1, env: {{PASSWORD: {{secret: "{ref}"}}}}').replace("name: web", f"name: {name}")
    return one.replace("8080", "8080" if name == "web" else "8081")


WEB_SECRET = using("sops:secrets/app.yaml#db/password")
API_SECRET = using("sops:/prod/secrets/app.yaml#other", "api")


@dataclass
class Home:
    """An estate whose repository holds an encrypted file, and what is needed to write another."""

    estate: Estate
    repo: Repo
    sops: Sops
    identity: str
    recipient: str
    state: Path

    def edited(self, key: str, value: str) -> str:
        return self.sops.edit("app.yaml", (self.repo.work / FILE).read_text(), key, value, self.identity)

    def holds(self, value: str, name: str = "web") -> bool:
        """True if this is the value the platform has."""
        found = self.estate.world[f"simulation/container:prod-shop-{name}"]["fields"]["env.PASSWORD"]
        return bool(found["$masked"]["keyed_hash"] == self.estate.controller.install.key.mask(value).keyed_hash)


@pytest.fixture
async def home(sops: Sops, tmp_path: Path) -> AsyncIterator[Home]:
    identity, recipient = sops.identity("key")
    text = sops.encrypt("app.yaml", PLAIN, "--age", recipient)
    files = {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB_SECRET, API_SECRET), FILE: text}
    repo = Repo.make(tmp_path / "git", files)
    async with opened(repo, tmp_path / "state", f"file:{sops.root}/key") as home:
        await home.settle()
        yield Home(home, repo, sops, identity, recipient, tmp_path / "state")


def opened(repo: Repo, state: Path, identity: str, *secrets: str) -> AbstractAsyncContextManager[Estate]:
    allow = {"targets": ("sim",), "secrets": secrets or ("sops:prod/**",), "sops": {"age": (identity,)}}
    return estate(repo, state, allow={"infra": allow})


async def test_a_merge_brings_the_values_to_the_platform(home: Home) -> None:
    assert (await home.estate.scope()).sync is SyncState.SYNCED
    assert home.holds("Can4ry-one")
    assert home.holds("Can4ry-two", "api")


async def test_a_pull_request_shows_who_gets_another_secret_and_no_value(home: Home) -> None:
    home.repo.push({FILE: home.edited('["db"]["password"]', '"Can4ry-new"')}, "ipr/new")
    await home.estate.settle()
    comment = await home.estate.comment(1)
    plan = comment.partition("#### Plan")[2].partition("#### Findings")[0]
    assert "prod/shop/web" in plan
    assert plan.count("env.PASSWORD  (secret)") == 2
    assert "prod/shop/api" not in plan
    await home.estate.ask("ipr.merge", number=1)
    await home.estate.settle()
    assert home.holds("Can4ry-new")
    assert home.holds("Can4ry-two", "api")
    for shown in [c["body"] for c in (await home.estate.ask("ipr.show", number=1))["comments"]]:
        assert "Can4ry" not in shown


async def test_nothing_that_is_kept_holds_a_value_or_the_identity(home: Home) -> None:
    home.repo.push({FILE: home.edited('["other"]', '"Can4ry-new"')})
    await home.estate.settle()
    assert home.holds("Can4ry-new", "api")
    kept = [f for f in home.state.rglob("*") if f.is_file() and f.parent.name != "simulation"]
    assert any(f.name == "alma.db" for f in kept)
    for file in kept:
        data = file.read_bytes()
        assert b"Can4ry" not in data, file
        assert b"AGE-SECRET-KEY" not in data, file


async def test_what_is_only_encrypted_anew_changes_nothing(home: Home) -> None:
    runs = len(await home.estate.runs())
    home.repo.push({FILE: home.sops.encrypt("app.yaml", PLAIN, "--age", home.recipient)})
    await home.estate.settle()
    assert (await home.estate.scope()).sync is SyncState.SYNCED
    assert [r.changes for r in (await home.estate.runs())[runs:] if r.changes] == []


async def test_going_back_brings_back_the_value_of_that_commit(home: Home) -> None:
    before = (home.repo.work / FILE).read_text()
    home.repo.push({FILE: home.edited('["other"]', '"Can4ry-new"')})
    await home.estate.settle()
    home.repo.push({FILE: before})
    await home.estate.settle()
    assert home.holds("Can4ry-two", "api")


@pytest.mark.parametrize(
    ("ref", "word"),
    [
        ("sops:secrets/app.yaml#db/pasword", "no key pasword in prod/secrets/app.yaml at db; did you mean password?"),
        ("sops:secrets/none.yaml#a", "there is no file prod/secrets/none.yaml"),
        ("sops:/other/app.yaml#a", "/other/app.yaml is not below the scope's folder prod"),
        ("sops:../../up.yaml#a", "../../up.yaml is not below the scope's folder prod"),
        ("sops:shop.yaml#name", "prod/shop.yaml is no YAML or JSON file that SOPS encrypted"),
        ("sops:secrets/app.yaml#db", "db in prod/secrets/app.yaml is no single value; name one below it"),
    ],
)
async def test_a_reference_that_names_nothing_is_told_where_it_stands(home: Home, ref: str, word: str) -> None:
    text = blueprint(using(ref), API_SECRET)
    home.repo.push({SHOP: text}, "ipr/wrong")
    await home.estate.settle()
    comment = await home.estate.comment(1)
    line = text.splitlines()[3]
    told = comment.replace("\\", "").replace("`", "")
    assert f"{SHOP}:4:{line.index('PASSWORD') + 1}: resources.0.specs.env.PASSWORD: " in told
    assert word in told
    assert home.holds("Can4ry-one")


async def test_a_file_that_was_tampered_with_stops_the_change_and_says_so(home: Home) -> None:
    text = (home.repo.work / FILE).read_text()
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("other: "))
    lines[at] = lines[at].replace("data:", "data:AAAA")
    home.repo.push({FILE: "\n".join(lines) + "\n"})
    await home.estate.settle()
    record = await home.estate.scope()
    assert record.sync is not SyncState.SYNCED
    assert "the MAC is wrong" in str(record.message)
    assert home.holds("Can4ry-two", "api")


@pytest.mark.parametrize(
    ("identity", "secrets", "word"),
    [
        ("key", ("sops:prod/secrets/other.yaml#*",), "is not among what this repository may use"),
        ("key", ("env:APP_*",), "is not among what this repository may use"),
        ("wrong", (), "is not encrypted for this server: add its age recipient"),
    ],
)
async def test_what_the_server_does_not_grant_is_not_decrypted(
    sops: Sops, tmp_path: Path, identity: str, secrets: tuple[str, ...], word: str
) -> None:
    _, recipient = sops.identity("key")
    sops.identity("wrong")
    files = {
        "alma.yaml": ALMA_YAML,
        SHOP: blueprint(WEB_SECRET),
        FILE: sops.encrypt("app.yaml", PLAIN, "--age", recipient),
    }
    repo = Repo.make(tmp_path / "git", files)
    async with opened(repo, tmp_path / "state", f"file:{sops.root}/{identity}", *secrets) as home:
        await home.settle()
        assert word in str((await home.scope()).message)
        assert home.world == {}


async def test_the_identity_itself_is_no_secret_of_a_blueprint(sops: Sops, tmp_path: Path) -> None:
    sops.identity("key")
    files = {"alma.yaml": ALMA_YAML, SHOP: blueprint(using(f"file:{sops.root}/key"))}
    repo = Repo.make(tmp_path / "git", files)
    async with opened(repo, tmp_path / "state", f"file:{sops.root}/key", "file:/**") as home:
        await home.settle()
        assert "belongs to the server's own configuration" in str((await home.scope()).message)
        assert home.world == {}
