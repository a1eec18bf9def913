"""A branch that takes signed commits only: what nobody known signed is not deployed, not even read (I47)."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.errors import AlmaError, InvalidInput
from controller.plan.health import SyncState
from tests.controller.operations.talking import said
from tests.controller.runtime.estate import ALMA_YAML, WEB, WEB_2, Estate, Repo, blueprint, estate, git
from tests.servers.signing import Workshop

pytestmark = pytest.mark.signing
SHOP = "prod/shop.yaml"


@pytest.fixture(scope="module")
def shop() -> Iterator[Workshop]:
    with tempfile.TemporaryDirectory(prefix="sg") as root:
        made = Workshop(Path(root))
        made.ssh_key("alice")
        made.ssh_key("mallory")
        yield made
        made.close()


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """Begun before signatures were asked for."""
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})


def required(repo: Repo, shop: Workshop, **more: Any) -> dict[str, Any]:
    alice = shop.ssh_file("alice").with_suffix(".pub").read_text().strip()
    signatures = {"keys": ({"name": "alice", "ssh": alice},), **more}
    local = {"name": "infra", "url": str(repo.remote), "forge": {"kind": "local"}, "signatures": signatures}
    return {"repositories": (local,)}


def sign(repo: Repo, name: str, shop: Workshop) -> str:
    """Signs the commit that the checkout is at, and pushes it."""
    chosen = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={shop.ssh_file(name)}")
    git(repo.work, *chosen, "commit", "-q", "--amend", "--no-edit", "-S")
    branch = git(repo.work, "branch", "--show-current")
    git(repo.work, "push", "-q", "-f", "origin", branch)
    return git(repo.work, "rev-parse", "HEAD")


@pytest.fixture
async def home(repo: Repo, shop: Workshop, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(repo, tmp_path / "state") as opened:
        await opened.settle()
    async with estate(repo, tmp_path / "state", **required(repo, shop)) as opened:
        await opened.settle()
        yield opened


def image(home: Estate) -> str:
    return str(home.world["simulation/container:prod-shop-web"]["fields"]["image"])


async def test_what_was_deployed_before_stays_and_what_is_signed_follows(
    home: Estate, repo: Repo, shop: Workshop, report_n: Callable[..., None]
) -> None:
    assert (await home.scope()).sync is SyncState.SYNCED
    git(repo.work, "checkout", "-q", "main")
    (repo.work / SHOP).write_text(blueprint(WEB_2))
    git(repo.work, "commit", "-qam", "newer")
    head = sign(repo, "alice", shop)
    await home.settle()
    assert image(home) == "web:2.0"
    assert (await home.scope()).good_revision == head
    report_n("E22", 1)


@pytest.mark.parametrize("name", ["", "mallory"])
async def test_what_nobody_known_signed_is_not_deployed_and_says_the_next_step(
    home: Estate, repo: Repo, shop: Workshop, name: str, report_n: Callable[..., None]
) -> None:
    head = repo.push({SHOP: blueprint(WEB_2)})
    head = sign(repo, name, shop) if name else head
    await home.settle()
    scope = await home.scope()
    assert image(home) == "web:1.0"
    assert f"commit {head[:12]}" in scope.message
    assert "vouch for it on the server: repositories.infra.signatures" in scope.message
    repo.push({"README": "more"})
    sign(repo, "alice", shop)
    await home.settle()
    assert image(home) == "web:1.0"  # a signed commit above does not cover the one below
    report_n("E22", 2)


async def test_not_even_the_rules_of_an_unsigned_head_are_read_and_healing_goes_on(
    home: Estate, repo: Repo, report_n: Callable[..., None]
) -> None:
    repo.push({"alma.yaml": "version: 1\nscopes:\n  - {name: other, path: prod, self_heal: false}\n"})
    await home.settle()
    assert not (await home.scope()).orphaned
    file = home.state / "simulation" / "sim.json"
    file.write_text(file.read_text().replace("web:1.0", "web:tampered"))
    await home.settle(1200)
    assert image(home) == "web:1.0"
    report_n("E22", 1)


async def test_a_rollback_does_not_wait_for_a_signature(repo: Repo, shop: Workshop, tmp_path: Path) -> None:
    first = git(repo.work, "rev-parse", "HEAD")
    repo.push({SHOP: blueprint(WEB_2)})
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
    async with estate(repo, tmp_path / "state", **required(repo, shop)) as home:
        repo.push({"README": "unsigned"})
        await home.settle()
        await home.ask("rollback", scope="prod", revision=first)
        await home.settle()
        assert image(home) == "web:1.0"


async def test_a_scope_that_was_never_deployed_waits_for_a_commit_that_the_administrator_names(
    repo: Repo, shop: Workshop, tmp_path: Path, report_n: Callable[..., None]
) -> None:
    head = git(repo.work, "rev-parse", "HEAD")
    async with estate(repo, tmp_path / "state", **required(repo, shop)) as home:
        await home.settle()
        assert not home.world
        assert f"commit {head[:12]} is not signed" in (await home.scope()).message
    async with estate(repo, tmp_path / "state", **required(repo, shop, since=head)) as home:
        await home.settle()
        assert image(home) == "web:1.0"
    report_n("E22", 2)


async def test_the_review_says_it_before_the_merge(home: Estate, repo: Repo, shop: Workshop) -> None:
    head = repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    told = await home.comment(1)
    assert head[:12] in told and "is not signed" in told
    sign(repo, "alice", shop)
    await home.settle()
    assert "is not signed" not in await home.comment(1)


async def test_alma_proposes_no_commit_where_only_signed_ones_count(home: Estate, repo: Repo, shop: Workshop) -> None:
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    sign(repo, "alice", shop)
    await home.settle()
    before = git(repo.remote, "rev-parse", "ipr/two")
    assert "only signed commits are deployed here" in await said(home, 1, "/alma set web memory=512MB")
    assert git(repo.remote, "rev-parse", "ipr/two") == before


async def test_alma_puts_no_unsigned_merge_on_the_branch(home: Estate, repo: Repo, shop: Workshop) -> None:
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    sign(repo, "alice", shop)
    await home.settle()
    before = git(repo.remote, "rev-parse", "main")
    with pytest.raises(AlmaError, match="takes signed commits only"):
        await home.ask("ipr.merge", number=1)
    assert git(repo.remote, "rev-parse", "main") == before


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ({"name": "alice", "ssh": "ssh-ed25519 AAAA"}, "the key of alice is no public key"),
        ({"name": "alice", "gpg": "/not/there.asc"}, "/not/there.asc cannot be read"),
    ],
)
async def test_a_key_that_cannot_be_used_stops_the_start(
    repo: Repo, tmp_path: Path, key: dict[str, str], why: str
) -> None:
    local = {"name": "infra", "url": str(repo.remote), "forge": {"kind": "local"}, "signatures": {"keys": (key,)}}
    with pytest.raises(InvalidInput, match=why):
        async with estate(repo, tmp_path / "state", repositories=(local,)):
            pass
