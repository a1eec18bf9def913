"""An App at GitHub: signed with its key, let in by a token that is renewed, told what it may do."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from controller.errors import InvalidInput
from controller.forges.forge import Account, Comment, ForgeRefused, Reaction
from controller.forges.github import GitHubForge
from tests.controller.forges.conformance import ForgeConformance
from tests.controller.forges.fake_host import FakeHost
from tests.controller.forges.github_server.installed import KEY, MINIMUM, AppServer, pem
from tests.controller.forges.github_server.server import GitHubServer
from tests.controller.forges.host import ForgeHost


class TestGitHubApp(ForgeConformance):
    @pytest.fixture
    def host(self) -> ForgeHost:
        return FakeHost(AppServer())


def asked_for_tokens(server: GitHubServer) -> int:
    return sum(seen.path.endswith("access_tokens") for seen in server.ledger)


async def test_one_token_serves_an_hour_and_the_next_is_there_before_it_ends() -> None:
    server = AppServer()
    forge = server.forge()
    for _ in range(110):
        await forge.pulls()
        server.clock.now_s += 60.0
    assert asked_for_tokens(server) == 2
    assert server.app is not None and len(server.app.tokens) == 2


async def test_a_token_that_was_taken_back_is_renewed() -> None:
    server = AppServer()
    forge = server.forge()
    await forge.pulls()
    assert server.app is not None
    server.app.tokens.clear()
    with pytest.raises(ForgeRefused):
        await forge.pulls()
    await forge.pulls()
    assert asked_for_tokens(server) == 2


async def test_an_app_that_is_not_installed_here_is_told_where() -> None:
    server = AppServer()
    assert server.app is not None
    server.app.installed = False
    with pytest.raises(ForgeRefused) as refused:
        await server.forge().pulls()
    assert refused.value.hint == "install the App on ops/infra"


async def test_another_key_is_refused_and_no_secret_is_told() -> None:
    server = AppServer()
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    with pytest.raises(ForgeRefused) as refused:
        await server.forge(server.binding(private_key=pem(other))).pulls()
    assert "PRIVATE KEY" not in f"{refused.value} {refused.value.hint}"


async def test_a_token_of_the_installation_stands_in_no_error() -> None:
    server = AppServer()
    forge = server.forge()
    await forge.pulls()
    assert server.app is not None
    [token] = server.app.tokens
    with pytest.raises(ForgeRefused) as refused:
        await forge.react(1, Comment(token, Account("3", "will"), "", ""), Reaction.EYES)
    assert token not in f"{refused.value} {refused.value.hint}"


async def test_what_the_app_lacks_and_what_it_could_do_without_is_named() -> None:
    few = {"metadata": "read", "contents": "read", "statuses": "write"}
    info = await AppServer(few).forge().about()
    assert info.rights == ("pull",)
    assert [line.rsplit("permission ", 1)[1] for line in info.missing[:2]] == [
        "Contents: write",
        "Pull requests: write",
    ]
    many = {**MINIMUM, "administration": "write", "actions": "read", "metadata": "write", "repository_hooks": "write"}
    info = await AppServer(many).forge().about()
    assert [line.split(",")[0] for line in info.excess] == [
        "the App has Actions: read",
        "the App has Administration: write",
        "the App has Metadata: write",
        "the App has Repository hooks: write",
    ]
    assert (await AppServer().forge().about()).excess == ()


def test_a_key_in_one_line_of_an_environment_variable_is_read() -> None:
    server = AppServer()
    GitHubForge.open(server.binding(private_key=pem(KEY).replace("\n", "\\n")))


@pytest.mark.parametrize("key", ["", "x", pem(KEY)[:200], pem(ec.generate_private_key(ec.SECP256R1()))])
def test_what_is_no_rsa_key_is_an_error_that_does_not_show_it(key: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        GitHubForge.open(AppServer().binding(private_key=key))
    assert "private_key" in str(wrong.value) and "BEGIN" not in str(wrong.value)


def test_one_credential_acts_not_two() -> None:
    with pytest.raises(InvalidInput, match="both"):
        GitHubForge.open(AppServer().binding(token="t"))
