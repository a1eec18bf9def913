"""The contract against a server of GitLab's API, in memory and over HTTP."""

from __future__ import annotations

import pytest
from pytest_httpserver import HTTPServer

from controller.forges.gitlab import GitLabForge
from tests.controller.forges.conformance import ForgeConformance
from tests.controller.forges.fake_host import FakeHost
from tests.controller.forges.gitlab_server.server import GitLabServer
from tests.controller.forges.host import ForgeHost
from tests.controller.forges.listening import listen, present


class TestGitLab(ForgeConformance):
    @pytest.fixture
    def host(self) -> ForgeHost:
        return FakeHost(GitLabServer())


class TestGitLabOverHttp(ForgeConformance):
    @pytest.fixture
    def host(self, httpserver: HTTPServer) -> ForgeHost:
        server = GitLabServer(present())
        url = listen(httpserver, server)
        return FakeHost(server, lambda binding: GitLabForge.open(server.binding(url=url)))
