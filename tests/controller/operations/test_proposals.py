"""The verbs that change a branch: a commit there, or a refusal and nothing (I30, E13)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from controller.forges.forge import Account, PullRequest
from controller.forges.local import LocalForge
from tests.controller.operations.talking import said, said_all
from tests.controller.runtime.estate import ALMA_YAML, WEB, Estate, Repo, blueprint, estate, git

SHOP = "prod/shop.yaml"
WIDE = (
    '{name: web, type: container, specs: {image: "web:1.1", ports: ["8080:80"], memory: 8GB, cpu: 4},'
    " health: {tcp: {port: 80}}}"
)
DB = (
    '{name: db, type: database, engine: postgresql, specs: {image: "postgres:17", ports: ["5432:5432"],'
    " cpu: 8, memory: 32GB}}"
)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(repo, tmp_path / "state") as opened:
        await opened.settle()
        repo.push({SHOP: blueprint(WIDE, DB)}, "ipr/shop")
        await opened.settle()
        yield opened


def tip(repo: Repo, branch: str = "ipr/shop") -> str:
    return git(repo.remote, "rev-parse", branch)


def content(repo: Repo, path: str = SHOP, branch: str = "ipr/shop") -> str:
    return git(repo.remote, "show", f"{branch}:{path}")


async def test_optimize_pushes_a_commit_that_saves_the_share_and_is_reviewed(
    home: Estate, repo: Repo, golden: Callable[[str, str, str], None], report_n: Callable[..., None]
) -> None:
    before, main = tip(repo), tip(repo, "main")
    text = await said(home, 1, "/alma optimize 30%")
    commit = tip(repo)
    golden("answers", "optimize.md", text.replace(commit[:12], "<commit>") + "\n")
    assert git(repo.remote, "rev-parse", f"{commit}^") == before and tip(repo, "main") == main
    assert git(repo.remote, "diff", "--name-only", before, commit) == SHOP
    assert "Asked for by os:root on pull request 1." in git(repo.remote, "log", "-1", "--format=%B", commit)
    review = await home.comment(1)
    assert commit in review and "optimize as" in review and "by root `(os:root)`" in review
    assert (await home.ipr(1)).head_sha == commit
    assert "30.10 EUR" in text and "30.10 EUR" in review
    report_n("E13 proposals", 1)


async def test_fix_mends_what_has_one_answer_and_leaves_the_rest(
    home: Estate, repo: Repo, golden: Callable[[str, str, str], None], report_n: Callable[..., None]
) -> None:
    assert "- `/alma fix`: mend 4 findings by a commit" in await home.comment(1)
    text = await said(home, 1, "/alma fix")
    assert "/alma fix" not in await home.comment(1)
    golden("answers", "fix.md", text.replace(tip(repo)[:12], "<commit>") + "\n")
    golden("answers", "fix.yaml", content(repo) + "\n")
    audit = await said(home, 1, "/alma audit")
    assert "`database-port-public`" not in audit and "`no-backup`" not in audit
    again = await said(home, 1, "/alma fix")
    assert "was refused" in again and "no finding here has a mend" in again
    report_n("E13 proposals", 2)


async def test_a_template_and_a_blueprint_from_words_are_new_files(
    home: Estate, repo: Repo, report_n: Callable[..., None]
) -> None:
    text = await said(home, 1, "/alma template redis-cluster cpu_per_instance=2 memory_per_instance=4GB")
    assert "prod/redis-cluster.yaml" in text, text
    assert "cpu_per_instance: 2" in content(repo, "prod/redis-cluster.yaml")
    assert "redis-cluster/replica" in await home.comment(1)
    twice = await said(home, 1, "/alma template redis-cluster")
    assert "is there already" in twice
    text = await said(home, 1, "/alma create an API gateway, it's small")
    assert "prod/api-gateway.yaml" in text, text
    assert "provider: simulation" in content(repo, "prod/api-gateway.yaml")
    report_n("E13 proposals", 3)


REFUSED = {
    "optimize all": "takes the share",
    "optimize 30% 40%": "takes the share",
    "optimize 30% -s base": "has no scope base",
    "template": "takes one name",
    "template nothing-like-it": "no template is called",
    "template redis-cluster cpu_per_instance=900": "whole number from 1 to 64",
    "template redis-cluster height=3": "has no parameter height",
    "template ../../alma": "no argument has",
    "template redis-cluster -s ../x": "needs a value",
    "create": "say what to create",
    "create a cache -s base": "has no scope base",
    "fix -s base": "has no scope base",
    "translate": "takes one engine",
    "translate simulation": "would be worse",  # both would publish one port
    "migrate kubernets": "did you mean kubernetes",
    "migrate docker": "has no such target",
}


async def test_what_cannot_be_proposed_is_refused_and_no_branch_moves(
    home: Estate, repo: Repo, report_n: Callable[..., None]
) -> None:
    before = git(repo.remote, "for-each-ref")
    answers = await said_all(home, 1, [f"/alma {line}" for line in REFUSED])
    for why, text in zip(REFUSED.values(), answers, strict=True):
        assert "was refused" in text and why in text, text
    assert git(repo.remote, "for-each-ref") == before
    report_n("E13 proposals", len(REFUSED))


async def test_a_commit_that_would_break_policy_is_not_pushed(
    repo: Repo, tmp_path: Path, report_n: Callable[..., None]
) -> None:
    """Prices and limits are the base's: a template over the budget stays out."""
    tight = f"{ALMA_YAML}policy:\n  budget: {{monthly_max: 100, currency: EUR}}\n"
    repo.push({"alma.yaml": tight})
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
        repo.push({SHOP: blueprint(WEB.replace("1.0", "1.1"))}, "ipr/shop")
        await home.settle()
        before = tip(repo)
        text = await said(home, 1, "/alma template ml-training")
        assert "was refused" in text and "would be worse" in text and tip(repo) == before
    report_n("E13 proposals", 1)


async def test_what_stands_for_itself_is_translated_beside(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "state") as home:
        repo.push(
            {"prod/more.yaml": blueprint("{name: data, type: volume, specs: {size: 1GB}}", name="more"), SHOP: None},
            "ipr/x",
        )
        await home.settle()
        text = await said(home, 1, "/alma translate simulation")
        assert "1 blueprint for simulation, beside" in text, text
        assert content(repo, "prod/more-simulation.yaml", "ipr/x").startswith("name: more-simulation\n")


async def test_prices_and_policy_are_no_one_s_to_propose(
    repo: Repo, tmp_path: Path, report_n: Callable[..., None]
) -> None:
    """The price file has a name that a template would take: what judges is never written (I4)."""
    repo.push({"alma.yaml": f"{ALMA_YAML}prices: prod/redis-cluster.yaml\n"})
    async with estate(repo, tmp_path / "state") as home:
        repo.push({SHOP: blueprint(WEB.replace("1.0", "1.1"))}, "ipr/shop")
        await home.settle()
        before = tip(repo)
        text = await said(home, 1, "/alma template redis-cluster")
        assert "is no blueprint of a scope" in text and tip(repo) == before
    report_n("E13 proposals", 1)


async def test_what_is_over_broken_or_does_not_merge_gets_no_commit(
    home: Estate, repo: Repo, report_n: Callable[..., None]
) -> None:
    repo.push({SHOP: "name: [\n"}, "ipr/broken")
    repo.push({SHOP: blueprint(WEB.replace("1.0", "1.2"))}, "ipr/conflict")
    repo.push({SHOP: blueprint(WEB.replace("1.0", "1.3"))})
    await home.settle()
    refs = git(repo.remote, "for-each-ref")
    for number in (2, 3):
        for verb in ("fix", "optimize", "translate simulation", "create a cache"):
            text = await said(home, number, f"/alma {verb}")
            assert "was refused" in text, text
    await home.ask("ipr.close", number=2)
    assert "is over" in await said(home, 2, "/alma fix")
    assert git(repo.remote, "for-each-ref") == refs
    report_n("E13 proposals", 9)


async def test_only_who_may_operate_changes_a_branch(home: Estate, repo: Repo, report_n: Callable[..., None]) -> None:
    before, forge = tip(repo), home.controller.forges["infra"]
    assert isinstance(forge, LocalForge)
    comment = await forge.comment(1, Account("os:nobody", "nobody"), "/alma optimize 30%")
    await home.settle()
    [text] = [c.body for c in await forge.comments(1) if f":answer:{comment.id} " in c.body]
    assert "needs the role operate" in text and tip(repo) == before
    report_n("E13 proposals", 1)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda pull: replace(pull, fork=True), "in a fork"),
        (lambda pull: replace(pull, head="main"), "is the tracked branch"),
    ],
)
async def test_a_fork_and_the_tracked_branch_are_never_written_to(
    home: Estate,
    repo: Repo,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[PullRequest], PullRequest],
    why: str,
    report_n: Callable[..., None],
) -> None:
    forge, refs = home.controller.forges["infra"], git(repo.remote, "for-each-ref")
    told = await forge.pull(1)
    assert told is not None
    monkeypatch.setattr(forge, "pull", _always(change(told)))
    text = await said(home, 1, "/alma optimize 30%")
    assert "was refused" in text and why in text
    assert git(repo.remote, "for-each-ref") == refs
    report_n("E13 proposals", 1)


def _always(told: PullRequest) -> Callable[[int], Awaitable[PullRequest]]:
    async def pull(number: int) -> PullRequest:
        return told

    return pull


async def test_a_wish_in_words_becomes_a_commit_on_the_resource_in_focus(
    home: Estate, repo: Repo, report_n: Callable[..., None]
) -> None:
    before = tip(repo)
    text = await said(home, 1, "/alma ask set its memory to 2GB")
    assert "which resource is meant" in text and "prod/shop/db" in text and "prod/shop/web" in text
    assert "was refused" in await said(home, 1, "/alma ask DROP THE DB NOW!!") and tip(repo) == before
    await home.ask("ipr.comment", number=1, body="the web server is too large")
    text = await said(home, 1, "/alma ask set its memory to 2GB")
    assert "Taken as: set `prod/shop/web" in text and "Pushed to this branch" in text, text
    assert "memory: 2GB" in content(repo)
    assert "so already" in await said(home, 1, "/alma set web memory=2GB")
    assert "by hand" in await said(home, 1, "/alma set web waivers=none")
    assert "EUR" in await said(home, 1, "/alma ask what does it cost?")
    counted = home.controller.install.metrics.registry.get_sample_value
    assert counted("alma_commands_total", {"verb": "ask", "result": "refused"}) == 2
    assert counted("alma_commands_total", {"verb": "ask", "result": "answered"}) == 2
    report_n("E13 proposals", 5)
