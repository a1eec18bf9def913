"""Two repositories that name one scope: the first keeps it, and the second is told so wherever its people look."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.runtime.records import RepositoryRecord
from controller.runtime.work_queue import Priority
from tests.controller.runtime.estate import ALMA_YAML, WEB, WEB_2, Estate, Repo, blueprint, estate

SHOP = "prod/shop.yaml"


@pytest.fixture
def second(tmp_path: Path) -> Repo:
    """Names the scope of the first one, and one of its own."""
    both = ALMA_YAML + "  - {name: mine, path: mine}\n"
    files = {"alma.yaml": both, SHOP: blueprint(WEB_2), "mine/shop.yaml": blueprint(WEB.replace("8080", "81"))}
    return Repo.make(tmp_path / "second", files)


@pytest.fixture
async def home(second: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    first = Repo.make(tmp_path / "first", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})
    local = {"kind": "local"}
    repositories = (
        {"name": "infra", "url": str(first.remote), "forge": local},
        {"name": "second", "url": str(second.remote), "forge": local},
    )
    allow = {"infra": {"targets": ("sim",)}, "second": {"targets": ("sim",)}}
    async with estate(first, tmp_path / "state", repositories=repositories, allow=allow) as opened:
        await opened.settle()
        await look(opened)
        yield opened


async def look(home: Estate, seconds: float = 30) -> None:
    home.controller.queue.add("repo:second", Priority.WEBHOOK)
    await home.settle(seconds)


def image(home: Estate, name: str) -> str:
    return str(home.world[f"simulation/container:{name}"]["fields"]["image"])


async def test_status_names_both_and_the_next_step_and_nothing_of_the_first_is_touched(home: Estate) -> None:
    told = {r["name"]: r["problem"] for r in (await home.ask("status"))["repositories"]}
    assert told["infra"] == ""
    assert "scope prod belongs to repository infra" in told["second"] and "second names it too" in told["second"]
    assert "another name" in told["second"]
    assert image(home, "prod-shop-web") == "web:1.0"
    assert (await home.scope("prod")).repository == "infra"
    assert image(home, "mine-shop-web") == "web:1.0", "its other scopes are deployed"


async def test_its_pull_request_is_refused_in_words(home: Estate, second: Repo) -> None:
    second.push({SHOP: blueprint(WEB)}, "ipr/two")
    await look(home)
    text = str((await home.ask("ipr.show", repository="second", number=1))["comment"])
    assert "refused" in text and "belongs to repository" in text and "infra" in text
    await home.ask("ipr.merge", repository="second", number=1)
    await look(home, 60)
    text = str((await home.ask("ipr.show", repository="second", number=1))["comment"])
    assert text.count("Final state: done") == 1
    assert len([r for r in await home.runs() if r.scope == "prod"]) == 1


async def test_the_problem_ends_when_the_second_one_gives_its_scope_another_name(home: Estate, second: Repo) -> None:
    renamed = ALMA_YAML.replace("name: prod", "name: shop") + "  - {name: mine, path: mine}\n"
    second.push({"alma.yaml": renamed, SHOP: blueprint(WEB_2.replace("8080", "82"))})
    await look(home, 60)
    record = await home.controller.install.records.get(RepositoryRecord, "second")
    assert record and (record.problem, record.taken) == ("", ())
    assert image(home, "shop-shop-web") == "web:2.0"
    assert image(home, "prod-shop-web") == "web:1.0"
