"""The contract against the fake: the same words as against the real one, without a server."""

from __future__ import annotations

import pytest

from tests.controller.forges.conformance import ForgeConformance
from tests.controller.forges.fake_gitea import FakeGitea
from tests.controller.forges.fake_host import FakeHost
from tests.controller.forges.host import ForgeHost


class TestFakeGitea(ForgeConformance):
    @pytest.fixture
    def host(self) -> ForgeHost:
        return FakeHost(FakeGitea())
