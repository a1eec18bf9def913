"""Forges are found by entry point; an unknown one is an error that names the known."""

from __future__ import annotations

import pytest

from controller.errors import InvalidInput
from controller.forges.forge import ForgeBinding
from controller.forges.gitea import GiteaForge
from controller.forges.github import GitHubForge
from controller.forges.gitlab import GitLabForge
from controller.forges.local import LocalForge
from controller.forges.registry import forge_class, forge_kinds, open_forge
from tests.controller.forges.fake_gitea import FakeGitea


def test_every_forge_of_this_version_is_there() -> None:
    assert set(forge_kinds()) == {"forgejo", "gitea", "github", "gitlab", "local"}
    assert forge_class("gitea") is forge_class("forgejo") is GiteaForge
    assert forge_class("github") is GitHubForge
    assert forge_class("gitlab") is GitLabForge
    assert forge_class("local") is LocalForge


async def test_a_forge_opens_by_its_kind() -> None:
    forge = open_forge("gitea", FakeGitea().binding())
    assert isinstance(forge, GiteaForge)
    await forge.close()


@pytest.mark.parametrize("kind", ["", "gitlabb", "../gitea", "GITEA"])
def test_an_unknown_kind_names_the_known_ones(kind: str) -> None:
    with pytest.raises(InvalidInput) as error:
        open_forge(kind, ForgeBinding("infra", "", "main"))
    assert "gitea" in error.value.hint
    assert "local" in error.value.hint


def test_a_binding_shows_no_secret() -> None:
    assert "t0k3n" not in repr(FakeGitea().binding())
