"""The contract once more, with GitLab's own client as judge of every request and every answer."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx2
import pytest

from controller.forges.forge import Forge, ForgeBinding
from controller.forges.gitlab import GitLabForge
from tests.controller.forges.conformance import ForgeConformance
from tests.controller.forges.every_deed import every_deed
from tests.controller.forges.fake_host import FakeHost
from tests.controller.forges.gitlab_server.server import GitLabServer
from tests.controller.forges.go_types import GoClient, Undescribed, gitlab_client
from tests.controller.forges.host import ForgeHost
from tests.servers.descriptions import GITLAB_API, described

pytestmark = pytest.mark.gitlab_api
Report = Callable[..., None]


@pytest.fixture(scope="module")
def client() -> GoClient:
    folder = described(GITLAB_API)
    assert folder is not None
    return gitlab_client(folder)


def opens(client: GoClient, server: GitLabServer, operations: set[str]) -> Callable[[ForgeBinding], Forge]:
    """Forges whose every exchange is judged."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode().split("?", 1)[0].removeprefix("/api/v4")
        operation = client.check_request(request, path)
        operations.add(operation.name)
        answer = server.handle(request)
        client.check_answer(operation, answer)
        return answer

    return lambda binding: GitLabForge.open(binding, transport=httpx2.MockTransport(handle))


class TestDescribedGitLab(ForgeConformance):
    @pytest.fixture
    def host(self, client: GoClient) -> ForgeHost:
        server = GitLabServer()
        return FakeHost(server, opens(client, server, set()))


async def test_every_deed_is_described(client: GoClient, report_n: Report) -> None:
    server, operations = GitLabServer(), set[str]()
    forge = opens(client, server, operations)(server.binding())
    await every_deed(forge, server)
    server.train = []
    await every_deed(forge, server)
    report_n("gitlab operations", len(operations))
    assert len(operations) >= 25


def test_the_judge_refuses_what_is_not_described(client: GoClient) -> None:
    def request(method: str, path: str, body: object = None) -> httpx2.Request:
        return httpx2.Request(method, f"https://x{path}", content=json.dumps(body) if body else b"")

    for method, path, body in (
        ("GET", "/nowhere", None),
        ("GET", "/projects/1/merge_requests?colour=green", None),
        ("POST", "/projects/1/merge_requests/1/notes", {"text": "x"}),
        ("POST", "/projects/1/merge_requests/1/notes", {"body": 7}),
    ):
        with pytest.raises(Undescribed):
            client.check_request(request(method, path, body), path.split("?")[0])
    operation = client.check_request(request("GET", "/user"), "/user")
    answers: tuple[object, ...] = ({"id": "1"}, {"colour": "green"}, [])
    for answer in answers:
        with pytest.raises(Undescribed):
            client.check_answer(operation, httpx2.Response(200, json=answer))
