"""A pull request that edits the rules is judged by those before it, from its review to its run (I4, E2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.blueprint.entry import Disruption
from controller.plan.limits import Gate, PruneLimits, Window
from controller.runtime.decide import ScopePolicy
from controller.runtime.run import RunWord
from controller.runtime.scope_policy import at_least
from tests.controller.runtime.estate import ALMA_YAML, DB, WEB, WEB_2, Estate, Repo, blueprint, estate

SHOP = "prod/shop.yaml"
MANY = [WEB, *(DB.replace("name: db", f"name: db{i}") for i in range(7))]
WIDE = "policy: {gate: off, prune: {max_count: 1000, max_percent: 100, percent_from: 1000}}\n"


def database(home: Estate) -> int:
    return sum("database" in key for key in home.world)


EDITS = {
    "the limits raised": "policy: {prune: {max_count: 1000, max_percent: 100}}\n",
    "percent from far on": "policy: {prune: {max_percent: 100, percent_from: 100000}}\n",
    "the gate off and the limits raised": WIDE,
    "a budget without end": WIDE + "  # budget: none\n",
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("door", ["pull request", "push", "two commits of one push"])
async def test_limits_that_a_change_brings_do_not_let_it_run(
    tmp_path: Path, edit: str, door: str, report_n: Callable[..., None]
) -> None:
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(*MANY)})
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
        assert database(home) == 7
        rules = {"alma.yaml": ALMA_YAML + EDITS[edit]}
        less = {SHOP: blueprint(WEB)}
        if door == "pull request":
            repo.push({**rules, **less}, "ipr/less")
            await home.settle()
            assert "7 of 8 objects would be deleted" in await home.comment(1)
            assert database(home) == 7
            await home.ask("ipr.merge", number=1)
        elif door == "push":
            repo.push({**rules, **less})
        else:
            repo.push(rules)
            repo.push(less)
        await home.settle()
        last = (await home.runs())[-1]
        assert last.word is RunWord.WAITING and last.over_budget
        assert database(home) == 7
    report_n("E2", 1)


async def test_rules_that_came_before_count_for_what_follows(tmp_path: Path, report_n: Callable[..., None]) -> None:
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(*MANY)})
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
        repo.push({"alma.yaml": ALMA_YAML + WIDE})
        await home.settle()
        repo.push({SHOP: blueprint(WEB)})
        await home.settle()
        assert database(home) == 0
    report_n("E2", 1)


# What holds a change back, and how the change itself would let itself go.
HOLDS = {
    "the gate opened": ("gate: strict", "gate: off"),
    "the gate loosened": ("gate: strict", "gate: destructive"),
    "approvals given up": ("approvals: {required: 1}", "approvals: {required: 0}"),
    "fewer approvals": ("approvals: {required: 3}", "approvals: {required: 1}"),
    "no owner any more": ('approvals: {owners: {"prod/**": [ops]}}', "gate: destructive"),
    "another owner": ('approvals: {owners: {"prod/**": [ops]}}', 'approvals: {owners: {"prod/**": [alice]}}'),
    "always open": ('windows: [{cron: "0 2 * * *", for: 1h}]', "gate: destructive"),
}


@pytest.mark.parametrize("rule", HOLDS)
@pytest.mark.parametrize("door", ["pull request", "push", "two commits of one push"])
async def test_a_rule_still_holds_the_change_that_ends_it(
    tmp_path: Path, rule: str, door: str, report_n: Callable[..., None]
) -> None:
    before, after = (ALMA_YAML + f"policy: {{{words}}}\n" for words in HOLDS[rule])
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
        repo.push({"alma.yaml": before})
        await home.settle()
        if door == "pull request":
            repo.push({"alma.yaml": after, SHOP: blueprint(WEB_2)}, "ipr/two")
            await home.settle()
            await home.ask("ipr.merge", number=1)
        elif door == "push":
            repo.push({"alma.yaml": after, SHOP: blueprint(WEB_2)})
        else:
            repo.push({"alma.yaml": after})
            repo.push({SHOP: blueprint(WEB_2)})
        await home.settle()
        goes = door == "pull request" and rule.startswith("the gate")  # reviewed, digest for digest: strict is content
        assert image(home) == ("web:2.0" if goes else "web:1.0")
        assert (await home.runs())[-1].word is (RunWord.DONE if goes else RunWord.WAITING)
    report_n("E2", 1)


def image(home: Estate) -> str:
    return str(home.world["simulation/container:prod-shop-web"]["fields"]["image"])


def window(cron: str) -> Window:
    return Window(cron, 3600, "UTC", Disruption.IN_PLACE)


def test_of_every_rule_the_strictest_counts_and_windows_are_those_of_the_last_deploy() -> None:
    now = ScopePolicy(Gate.OFF, PruneLimits(100, 90, 50), (window("* * * * *"),), approvals=0)
    between = ScopePolicy(Gate.DESTRUCTIVE, PruneLimits(5, 95, 60), (), approvals=2, owners=(("a/**", ("ops",)),))
    deployed = ScopePolicy(Gate.DESTRUCTIVE, PruneLimits(10, 25, 4), (window("0 2 * * *"),), approvals=1)
    made = at_least(now, [between, deployed], 0)
    assert (made.gate, made.prune, made.approvals) == (Gate.DESTRUCTIVE, PruneLimits(5, 25, 4), 2)
    assert made.windows == deployed.windows and made.owners == between.owners
    assert at_least(now, [], 3) == ScopePolicy(now.gate, now.prune, now.windows, approvals=3)
