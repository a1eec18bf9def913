"""The contract once more, with GitHub's own description of its API as judge of every request and every answer."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx2
import pytest

from controller.forges.forge import Annotating, Annotation, Forge, ForgeBinding
from controller.forges.github import GitHubForge
from tests.controller.forges.conformance import ForgeConformance
from tests.controller.forges.every_deed import every_deed
from tests.controller.forges.fake_host import FakeHost
from tests.controller.forges.github_server.installed import MINIMUM, AppServer
from tests.controller.forges.github_server.server import GitHubServer
from tests.controller.forges.host import ForgeHost
from tests.controller.forges.openapi import OpenApi, Undescribed, github_api
from tests.servers.descriptions import GITHUB_API, described

pytestmark = pytest.mark.github_api
Report = Callable[..., None]


@pytest.fixture(scope="module")
def api() -> OpenApi:
    folder = described(GITHUB_API)
    assert folder is not None
    return github_api(folder)


def opens(api: OpenApi, server: GitHubServer, operations: set[str]) -> Callable[[ForgeBinding], Forge]:
    """Forges whose every exchange is judged."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode().split("?", 1)[0].removeprefix("/api/v3")
        if path == "/api/graphql":  # not a part of the document
            return server.handle(request)
        name = api.check_request(request, path)
        operations.add(name)
        return api.completed(name, server.handle(request))

    return lambda binding: GitHubForge.open(binding, transport=httpx2.MockTransport(handle))


class TestDescribedGitHub(ForgeConformance):
    @pytest.fixture
    def host(self, api: OpenApi) -> ForgeHost:
        server = GitHubServer()
        return FakeHost(server, opens(api, server, set()))


async def test_every_deed_is_described(api: OpenApi, report_n: Report) -> None:
    server, operations = GitHubServer(), set[str]()
    forge = opens(api, server, operations)(server.binding())
    await every_deed(forge, server)
    app = AppServer()
    assert (await opens(api, app, operations)(app.binding()).about()).missing == ()
    checks = AppServer({**MINIMUM, "checks": "write"})
    annotating = opens(api, checks, operations)(checks.binding())
    assert isinstance(annotating, Annotating)
    many = [Annotation("prod/shop.yaml", n + 1, "warning", "finding", "mend it") for n in range(60)]
    await annotating.annotate(next(iter(checks.commits)), "60 findings", True, many)
    assert len(checks.check_runs[0]["output"]["annotations"]) == 60
    server.protection = {"url": "https://git.example"}
    await every_deed(forge, server)
    report_n("github operations", len(operations))
    assert len(operations) >= 28


def test_the_judge_refuses_what_is_not_described(api: OpenApi) -> None:
    def request(method: str, path: str, body: object = None) -> httpx2.Request:
        return httpx2.Request(method, f"https://api.github.com{path}", content=json.dumps(body) if body else b"")

    for method, path, body in (
        ("GET", "/nowhere", None),
        ("GET", "/user?limit=1", None),
        ("POST", "/repos/a/b/pulls", {"head": "x"}),
        ("POST", "/repos/a/b/pulls/1/reviews", {"event": "APPROVED"}),
        ("POST", "/repos/a/b/statuses/1", {"state": "success", "colour": "green"}),
    ):
        with pytest.raises(Undescribed):
            api.check_request(request(method, path, body), path.split("?")[0])
    answers: tuple[object, ...] = ({"id": "1"}, {"id": 1, "login": None}, [])
    for wrong in answers:
        with pytest.raises(Undescribed):
            api.completed("GET /user", httpx2.Response(200, json=wrong))
    with pytest.raises(Undescribed):
        api.completed("GET /user", httpx2.Response(418, json={}))
