"""The contract against a server of GitHub's API, in memory and over HTTP."""

from __future__ import annotations

import pytest
from pytest_httpserver import HTTPServer

from controller.forges.github import GitHubForge
from tests.controller.forges.conformance import ForgeConformance
from tests.controller.forges.fake_host import FakeHost
from tests.controller.forges.github_server.server import GitHubServer
from tests.controller.forges.host import ForgeHost
from tests.controller.forges.listening import listen, present


class TestGitHub(ForgeConformance):
    @pytest.fixture
    def host(self) -> ForgeHost:
        return FakeHost(GitHubServer())


class TestGitHubOverHttp(ForgeConformance):
    @pytest.fixture
    def host(self, httpserver: HTTPServer) -> ForgeHost:
        server = GitHubServer(present())
        url = listen(httpserver, server)
        return FakeHost(server, lambda binding: GitHubForge.open(server.binding(url=url)))
